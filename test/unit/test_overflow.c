/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "letters.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POLICIES 4
#define SIZE LETTER_SIZE

static struct fake_platform fake;

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

/* Opens a client with its own thread, and writes the first byte of the body. After that its output has room for
 * this many bytes. */
static void open_with_room(struct fake_client *client, size_t room)
{
    fake_client_open(client);
    if (client->options.output == SSE_OUTPUT_PULL)
        assert_int_equal(fake_client_pull(client), 0);
    else
        assert_int_equal(sse_emitter_flush(client->emitter), 0);
    fake_client_forget(client);
    client->output.room = room;
}

/* Its output is full. */
static struct fake_client *open_full(struct fake_client *client, enum sse_overflow overflow, size_t messages)
{
    fake_client_init(client, &fake, SSE_OUTPUT_CALLBACK);
    client->options.overflow = overflow;
    client->options.queue_messages = messages;
    open_with_room(client, 0);
    return client;
}

static void close_ends_a_client_that_would_miss_an_event(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_END, 2);
    client.output.room = SIZE + 5;
    assert_int_equal(send_letter(&client, 'a'), 0);
    assert_int_equal(send_letter(&client, 'b'), 0);
    assert_int_equal(send_letter(&client, 'c'), 0);
    assert_int_equal(fake_client_info(&client).queued_bytes, 2 * SIZE - 5);
    assert_int_equal(send_letter(&client, 'd'), -ENOBUFS);
    expect_overflow(&client, -ENOBUFS, 2);
    assert_int_equal(client.completion.events, 1);
    assert_int_equal(client.completion.bytes, 2 + SIZE + 5);
    assert_string_equal(client.last_id, "a");
    assert_int_equal(send_letter(&client, 'e'), -EIO);
    fake_client_make_room(&client, SIZE_MAX);
    assert_int_equal(client.output.size, SIZE + 5);
    expect_overflow(&client, -ENOBUFS, 2);
    fake_client_free(&client);
}

static void drop_newest_keeps_queued_events(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_DROP_NEWEST, 2);
    assert_int_equal(send_letter(&client, 'a'), 0);
    assert_int_equal(send_letter(&client, 'b'), 0);
    assert_int_equal(send_letter(&client, 'c'), -ENOBUFS);
    assert_int_equal(send_letter(&client, 'd'), -ENOBUFS);
    expect_open(&client, 2, 2);
    fake_client_make_room(&client, SIZE_MAX);
    assert_int_equal(send_letter(&client, 'e'), 0);
    expect_open(&client, 2, 0);
    expect_letters(&client, "abe");
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    assert_int_equal(client.completion.dropped, 2);
    assert_int_equal(client.completion.events, 3);
    fake_client_free(&client);
}

static void drop_oldest_keeps_new_events(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_DROP_OLDEST, 3);
    send_letters(&client, "abcdefg");
    expect_open(&client, 4, 3);
    fake_client_make_room(&client, SIZE_MAX);
    expect_open(&client, 4, 0);
    expect_letters(&client, "efg");
    fake_client_free(&client);
}

/* Several small events are dropped for a large one, but no more than needed. */
static void bytes_are_a_limit_too(void **state)
{
    const struct sse_event large = {.data = sse_str("ABCDEFGHIJKLMNOP")};
    const struct sse_event last = {.data = sse_str("Z")};
    struct fake_client client;

    (void)state;
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.options.overflow = SSE_OVERFLOW_DROP_OLDEST;
    client.options.queue_bytes = 4 * SIZE;
    open_with_room(&client, 0);
    send_letters(&client, "abcd");
    expect_open(&client, 0, 4);
    assert_int_equal(sse_emitter_send(client.emitter, &large), 0);
    expect_open(&client, 2, 3);
    assert_int_equal(fake_client_info(&client).queued_bytes, 2 * SIZE + 24);
    /* Six bytes are free, and nine are needed. */
    assert_int_equal(sse_emitter_send(client.emitter, &last), 0);
    expect_open(&client, 3, 3);
    fake_client_make_room(&client, SIZE_MAX);
    assert_string_equal(fake_client_text(&client), "data: d\nid: d\n\ndata: ABCDEFGHIJKLMNOP\n\ndata: Z\n\n");
    fake_client_free(&client);
}

/* The newer event is queued at the end, so ids stay in order, whether the queue is full or not. */
static void coalescing_keeps_the_order_of_ids(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_COALESCE, 3);
    assert_int_equal(send_keyed_letter(&client, 'a', "x"), 0);
    assert_int_equal(send_keyed_letter(&client, 'b', "y"), 0);
    assert_int_equal(send_keyed_letter(&client, 'c', "x"), 0);
    expect_open(&client, 1, 2);
    assert_int_equal(send_letter(&client, 'd'), 0);
    assert_int_equal(send_keyed_letter(&client, 'e', "y"), 0);
    expect_open(&client, 2, 3);
    assert_int_equal(send_keyed_letter(&client, 'f', "x"), 0);
    expect_open(&client, 3, 3);
    fake_client_make_room(&client, SIZE_MAX);
    expect_letters(&client, "def");
    assert_int_equal(send_keyed_letter(&client, 'g', "x"), 0);
    expect_letters(&client, "defg");
    expect_open(&client, 3, 0);
    fake_client_free(&client);
}

/* An empty key is a key. An absent key never equals another one. */
static void keys_are_compared_whole(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_COALESCE, 8);
    assert_int_equal(send_letter(&client, 'a'), 0);
    assert_int_equal(send_letter(&client, 'b'), 0);
    assert_int_equal(send_keyed_letter(&client, 'c', ""), 0);
    assert_int_equal(send_keyed_letter(&client, 'd', "x"), 0);
    assert_int_equal(send_keyed_letter(&client, 'e', "xy"), 0);
    expect_open(&client, 0, 5);
    assert_int_equal(send_keyed_letter(&client, 'f', ""), 0);
    assert_int_equal(send_keyed_letter(&client, 'g', "xy"), 0);
    expect_open(&client, 2, 5);
    fake_client_make_room(&client, SIZE_MAX);
    expect_letters(&client, "abdfg");
    fake_client_free(&client);
}

static void coalescing_ends_the_stream_if_there_is_still_no_room(void **state)
{
    struct fake_client client;

    (void)state;
    open_full(&client, SSE_OVERFLOW_COALESCE, 2);
    assert_int_equal(send_keyed_letter(&client, 'a', "x"), 0);
    assert_int_equal(send_keyed_letter(&client, 'b', "y"), 0);
    assert_int_equal(send_keyed_letter(&client, 'c', "z"), -ENOBUFS);
    expect_overflow(&client, -ENOBUFS, 2);
    fake_client_free(&client);

    open_full(&client, SSE_OVERFLOW_COALESCE, 1);
    assert_int_equal(send_keyed_letter(&client, 'a', "x"), 0);
    assert_int_equal(send_letter(&client, 'b'), -ENOBUFS);
    expect_overflow(&client, -ENOBUFS, 1);
    fake_client_free(&client);
}

/* For each policy, the first event is truncated at each possible place. */
static void a_partly_written_event_is_never_dropped(void **state)
{
    const enum sse_overflow policies[] = {SSE_OVERFLOW_DROP_OLDEST, SSE_OVERFLOW_COALESCE};

    (void)state;
    for (size_t i = 0; i < COUNT(policies); i++) {
        for (size_t room = 1; room < SIZE; room++) {
            struct fake_client client;

            open_full(&client, policies[i], 2);
            client.output.room = room;
            assert_int_equal(send_keyed_letter(&client, 'a', "x"), 0);
            assert_int_equal(send_keyed_letter(&client, 'b', "x"), 0);
            expect_open(&client, 0, 2);
            assert_int_equal(send_keyed_letter(&client, 'c', "x"), 0);
            expect_open(&client, 1, 2);
            fake_client_make_room(&client, SIZE_MAX);
            expect_letters(&client, "ac");
            fake_client_free(&client);
        }
    }
}

/* Events are not dropped for one that would not fit even then. */
static void nothing_is_dropped_if_that_makes_no_room(void **state)
{
    const struct sse_event large = {.data = sse_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ")};
    const struct sse_event too_large = {.data =
                                            sse_str("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWX")};
    struct fake_client client;

    (void)state;
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.options.overflow = SSE_OVERFLOW_DROP_OLDEST;
    client.options.queue_bytes = 4 * SIZE;
    open_with_room(&client, 1);
    assert_int_equal(sse_emitter_send(client.emitter, &large), 0);
    assert_int_equal(send_letter(&client, 'a'), 0);
    assert_int_equal(sse_emitter_send(client.emitter, &large), -ENOBUFS);
    expect_open(&client, 1, 2);
    assert_int_equal(sse_emitter_send(client.emitter, &too_large), -ENOBUFS);
    expect_open(&client, 2, 2);
    fake_client_make_room(&client, SIZE_MAX);
    assert_string_equal(fake_client_text(&client), "data: ABCDEFGHIJKLMNOPQRSTUVWXYZ\n\ndata: a\nid: a\n\n");
    fake_client_free(&client);
}

/* Head and retry are not dropped, and do not use the events' part of the queue. */
static void head_and_retry_do_not_count(void **state)
{
    const struct sse_http_options http = {.size = sizeof(http)};
    const size_t head_size = (size_t)sse_http_head(NULL, 0, &http);

    (void)state;
    for (size_t room = 0; room < head_size + strlen("retry: 5\n"); room += 7) {
        struct fake_client client;
        char head[512];

        fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
        client.options.overflow = SSE_OVERFLOW_DROP_OLDEST;
        client.options.queue_messages = 3;
        client.options.http = &http;
        client.options.retry_ms = 5;
        client.output.room = room;
        fake_client_open(&client);
        send_letters(&client, "abcde");
        expect_open(&client, 2, 3 + (room < head_size) + 1);
        fake_client_make_room(&client, SIZE_MAX);
        assert_int_equal(sse_http_head(head, sizeof(head), &http), head_size);
        assert_memory_equal(fake_client_text(&client), head, head_size);
        assert_string_equal(fake_client_text(&client) + head_size,
                            "retry: 5\ndata: c\nid: c\n\ndata: d\nid: d\n\ndata: e\nid: e\n\n");
        fake_client_free(&client);
    }
}

/* An event that could never be sent affects neither the queue nor the emitter. */
static void too_large_an_event_changes_nothing(void **state)
{
    (void)state;
    for (int policy = 0; policy < POLICIES; policy++) {
        char text[600];
        struct sse_event large = {.data = {text, 60}, .key = sse_str("x")};
        struct sse_message *message;
        struct fake_client client;

        memset(text, 'L', sizeof(text));
        fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
        client.options.overflow = (enum sse_overflow)policy;
        client.options.queue_bytes = 4 * SIZE;
        open_with_room(&client, 0);
        assert_int_equal(sse_emitter_send(client.emitter, &large), -EMSGSIZE);
        assert_int_equal(send_keyed_letter(&client, 'a', "x"), 0);
        assert_int_equal(send_keyed_letter(&client, 'b', "y"), 0);
        assert_int_equal(sse_emitter_send(client.emitter, &large), -EMSGSIZE);
        large.data.len = sizeof(text);
        assert_int_equal(sse_emitter_send(client.emitter, &large), -EMSGSIZE);
        assert_int_equal(sse_message_new(&message, &large, 1, &fake.platform), 0);
        assert_int_equal(sse_emitter_send_message(client.emitter, message), -EMSGSIZE);
        sse_message_unref(message);
        expect_open(&client, 0, 2);
        fake_client_make_room(&client, SIZE_MAX);
        expect_letters(&client, "ab");
        fake_client_free(&client);
    }
}

static void without_memory_a_send_changes_nothing(void **state)
{
    (void)state;
    for (int policy = 0; policy < POLICIES; policy++) {
        const struct sse_event event = {.data = sse_str("n"), .key = sse_str("new")};
        struct sse_message *message;
        struct fake_client client;

        open_full(&client, (enum sse_overflow)policy, 4);
        assert_int_equal(sse_message_new(&message, &event, 1, &fake.platform), 0);
        assert_int_equal(send_keyed_letter(&client, 'a', "x"), 0);
        fake_platform_fail_at(&fake, 1, true);
        assert_int_equal(sse_emitter_send_message(client.emitter, message), -ENOMEM);
        assert_int_equal(send_keyed_letter(&client, 'c', "x"), -ENOMEM);
        fake_platform_fail_at(&fake, 0, false);
        expect_open(&client, 0, 1);
        assert_int_equal(send_keyed_letter(&client, 'b', "y"), 0);
        assert_int_equal(send_keyed_letter(&client, 'd', "z"), 0);
        fake_client_make_room(&client, SIZE_MAX);
        expect_letters(&client, "abd");
        sse_message_unref(message);
        fake_client_free(&client);
    }
}

/* The ring is full, and cannot grow. An event that is dropped from its middle makes room all the same. */
static void without_memory_nothing_is_dropped_in_vain(void **state)
{
    static const struct {
        enum sse_overflow policy;
        const char *letters;
    } rows[] = {{SSE_OVERFLOW_DROP_OLDEST, "acdefghijklmnopq"}, {SSE_OVERFLOW_COALESCE, "abdefghijklmnopq"}};
    const struct sse_event event = {.data = sse_str("q"), .id = sse_str("q"), .key = sse_str("c")};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_message *message;
        struct fake_client client;

        open_full(&client, rows[i].policy, 16)->output.room = 5;
        for (char letter = 'a'; letter <= 'p'; letter++)
            assert_int_equal(send_keyed_letter(&client, letter, (const char[]){letter, '\0'}), 0);
        assert_int_equal(sse_message_new(&message, &event, 1, &fake.platform), 0);
        fake_platform_fail_at(&fake, 1, true);
        assert_int_equal(sse_emitter_send_message(client.emitter, message), 0);
        fake_platform_fail_at(&fake, 0, false);
        expect_open(&client, 1, 16);
        fake_client_make_room(&client, SIZE_MAX);
        expect_letters(&client, rows[i].letters);
        sse_message_unref(message);
        fake_client_free(&client);
    }
}

/* Every event is written, dropped or queued, and the ids that arrive ascend. */
static void check_balance(struct fake_client *client, uint64_t offered)
{
    struct sse_emitter_info info = fake_client_info(client);
    const char *at = fake_client_text(client);
    unsigned long last = 0;

    assert_int_equal(info.events + info.dropped + info.queued_messages, offered);
    while ((at = strstr(at, "\nid: "))) {
        char *end;
        unsigned long id = strtoul(at + strlen("\nid: "), &end, 10);

        assert_true(id > last || *end != '\n');
        last = id;
        at = end;
    }
}

static void every_event_is_accounted_for(void **state)
{
    static const char *const keys[] = {"x", "y", "z", NULL};

    (void)state;
    for (int policy = SSE_OVERFLOW_DROP_NEWEST; policy <= SSE_OVERFLOW_DROP_OLDEST; policy++) {
        struct fake_client client;

        open_full(&client, (enum sse_overflow)policy, 5);
        for (uint64_t i = 1; i <= 600; i++) {
            uint64_t random = fake.platform.random(fake.platform.user);
            char id[24];
            struct sse_event event = {.data = sse_str("x"), .key = sse_str(keys[random % 4])};

            (void)snprintf(id, sizeof(id), "%" PRIu64, i);
            event.id = sse_str(id);
            (void)sse_emitter_send(client.emitter, &event);
            if (random >> 8 & 1)
                fake_client_make_room(&client, (size_t)(random >> 16) % 30);
            check_balance(&client, i);
        }
        assert_true(fake_client_info(&client).dropped > 50);
        assert_true(fake_client_info(&client).events > 50);
        fake_client_free(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(close_ends_a_client_that_would_miss_an_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(drop_newest_keeps_queued_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(drop_oldest_keeps_new_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_are_a_limit_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(coalescing_keeps_the_order_of_ids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_compared_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(coalescing_ends_the_stream_if_there_is_still_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_partly_written_event_is_never_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_dropped_if_that_makes_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_and_retry_do_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_large_an_event_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_a_send_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_dropped_in_vain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_event_is_accounted_for, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
