/* SPDX-License-Identifier: MIT */
/* What happens to an emitter while a send writes to its socket: the sending thread passes the work on to the loop.
 * Other threads would only meet this moment by chance. So this program replaces send(2) and acts inside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connection/emitter.h"

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <sys/socket.h>

static const struct sse_event event = {.data = {"x", 1}};
static struct fake_platform fake;
static struct fake_loop loop;
static struct fake_client client;
static struct descriptor_pair pair;
static void (*meanwhile)(void);

ssize_t send(int descriptor, const void *bytes, size_t size, int flags)
{
    void (*act)(void) = meanwhile;

    meanwhile = NULL;
    if (act)
        act();
    return sendto(descriptor, bytes, size, flags, NULL, 0);
}

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    pair_open(&pair, PAIR_STREAM);
    fake_client_init(&client, &fake, SSE_OUTPUT_FD);
    client.loop = &loop;
    client.options.fd = pair.server;
    client.options.heartbeat_ms = 15000;
    client.options.stall_ms = 60000;
    fake_client_open(&client);
    (void)fake_loop_settle(&loop);
    pair_expect(&pair, ":\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_client_free(&client);
    fake_loop_close(&loop);
    pair_close(&pair);
    fake_platform_check_no_leak(&fake);
    return 0;
}

/* Sends, and lets the loop take the turns that it is woken for. */
static void send_while(void (*act)(void))
{
    unsigned wakes = atomic_load(&loop.wakes);

    meanwhile = act;
    assert_int_equal(sse_emitter_send(client.emitter, &event), 0);
    assert_null(meanwhile);
    assert_int_equal(atomic_load(&loop.wakes), wakes + (act != NULL));
    pair_expect(&pair, "data: x\n\n");
    if (act)
        (void)fake_loop_settle(&loop);
}

static void a_send_alone_wakes_nobody(void **state)
{
    (void)state;
    send_while(NULL);
    assert_true(pair_is_quiet(&pair));
}

static void complete(void)
{
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
}

static void a_complete_during_a_send(void **state)
{
    (void)state;
    send_while(complete);
    assert_int_equal(client.completions, 1);
    assert_int_equal(client.completion.reason, SSE_REASON_COMPLETED);
    assert_int_equal(client.completion.events, 1);
    assert_true(pair_has_ended(&pair));
}

/* Marks the emitter as a polled loop does. */
static void report_input(void)
{
    pthread_mutex_lock(&client.emitter->lock);
    client.emitter->has_input = true;
    pthread_mutex_unlock(&client.emitter->lock);
}

static void report_error(void)
{
    pthread_mutex_lock(&client.emitter->lock);
    client.emitter->is_gone = true;
    pthread_mutex_unlock(&client.emitter->lock);
}

static void input_is_handled_afterwards(void **state)
{
    (void)state;
    assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
    send_while(report_input);
    assert_int_equal(client.completions, 0);
    pair_expect(&pair, ":\n");
}

static void an_error_is_handled_afterwards(void **state)
{
    (void)state;
    send_while(report_error);
    assert_int_equal(client.completions, 1);
    assert_int_equal(client.completion.reason, SSE_REASON_DISCONNECTED);
    assert_int_equal(client.completion.error, -ECONNRESET);
}

static void send_another(void)
{
    assert_int_equal(sse_emitter_send(client.emitter, &event), 0);
}

/* The sending thread does not write for others: the loop does. */
static void events_of_others_are_left_to_the_loop(void **state)
{
    (void)state;
    send_while(send_another);
    pair_expect(&pair, "data: x\n\n");
    assert_int_equal(fake_client_info(&client).events, 2);
}

static void take_a_turn(void)
{
    (void)fake_loop_turn(&loop);
}

/* The turn that the heartbeat was due for finds the emitter busy, with bytes queued: only they have a deadline. */
static void the_next_heartbeat_is_not_late(void **state)
{
    (void)state;
    fake_platform_advance_ms(&fake, 15000);
    send_while(take_a_turn);
    fake_platform_advance_ms(&fake, 15000);
    (void)fake_loop_settle(&loop);
    pair_expect(&pair, ":\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_send_alone_wakes_nobody),
        TEST(a_complete_during_a_send),
        TEST(input_is_handled_afterwards),
        TEST(an_error_is_handled_afterwards),
        TEST(events_of_others_are_left_to_the_loop),
        TEST(the_next_heartbeat_is_not_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
