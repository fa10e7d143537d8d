/* SPDX-License-Identifier: MIT */
/* A reader peeks at the whole queue, which is over its limit. Nothing may be dropped, and the loop is idle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_stage.h"
#include "letters.h"

#define LIMIT 2
#define LETTERS "abcdefgh"
#define COUNT (sizeof(LETTERS) - 1)

/* The peek shows the whole queue, four times the limit. */
static void look_at_all(enum sse_overflow policy)
{
    struct iovec iov[COUNT];

    fake_client_init(&client, &fake, SSE_OUTPUT_PULL);
    client.loop = &loop;
    client.options.overflow = policy;
    client.options.queue_messages = LIMIT;
    fake_client_open(&client);
    (void)fake_loop_settle(&loop);
    assert_int_equal(fake_client_pull(&client), 0);
    fake_client_forget(&client);
    send_letters(&client, LETTERS);
    assert_int_equal(sse_emitter_peek(client.emitter, iov, (int)COUNT), COUNT);
}

/* One turn notifies the reader, and one applies the limit. Then nothing is due before it consumes. */
static void expect_rest(void)
{
    int again = 0;

    for (int turns = 0; turns < 5; turns++)
        again += !fake_loop_turn(&loop);
    assert_in_range(again, 0, 1);
    assert_int_equal(fake_loop_turn(&loop), -1);
    expect_open(&client, 0, COUNT);
}

static void peeked_bytes_do_not_keep_the_loop_awake(void **state)
{
    (void)state;
    for (int policy = SSE_OVERFLOW_DROP_NEWEST; policy <= SSE_OVERFLOW_DROP_OLDEST; policy++) {
        look_at_all((enum sse_overflow)policy);
        expect_rest();
        assert_int_equal(sse_emitter_consume(client.emitter, COUNT * LETTER_SIZE), 0);
        assert_int_equal(fake_loop_settle(&loop), -1);
        expect_open(&client, 0, 0);
        fake_client_free(&client);
    }
}

/* The queue is still over its limit, and the reader has given up its peek. */
static void events_that_are_no_longer_peeked_are_dropped(void **state)
{
    (void)state;
    for (int policy = SSE_OVERFLOW_DROP_NEWEST; policy <= SSE_OVERFLOW_DROP_OLDEST; policy++) {
        look_at_all((enum sse_overflow)policy);
        expect_rest();
        assert_int_equal(sse_emitter_consume(client.emitter, LETTER_SIZE), 0);
        assert_int_equal(fake_loop_settle(&loop), -1);
        expect_open(&client, COUNT - 1 - LIMIT, LIMIT);
        assert_int_equal(fake_client_pull(&client), 0);
        expect_letters(&client, policy == SSE_OVERFLOW_DROP_OLDEST ? "gh" : "bc");
        fake_client_free(&client);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(peeked_bytes_do_not_keep_the_loop_awake),
        TEST(events_that_are_no_longer_peeked_are_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
