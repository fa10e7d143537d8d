/* SPDX-License-Identifier: MIT */
/* One of a thousand clients reads nothing. The others' streams are complete, nobody waits for it, and it needs no
 * more memory than its limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define CROWD 1000
#define STALLED 617
#define EVENTS 400
#define LIMIT 4096
/* Less than the events for the stalled client. Four times as much is more than one event for all clients. */
#define BUDGET ((size_t)24 << 10)
/* The ring of a queue, and the newest message. */
#define SLACK 4096

static struct fake_client *crowd;
static struct fake_client *stalled;
static char *expected;

static int open_crowd(void **state)
{
    (void)set_up(state);
    crowd = calloc(CROWD, sizeof(*crowd));
    expected = calloc(EVENTS, 200);
    assert_non_null(crowd);
    assert_non_null(expected);
    stalled = &crowd[STALLED];
    return 0;
}

static int close_crowd(void **state)
{
    fake_clients_free(crowd, CROWD);
    free(crowd);
    free(expected);
    return tear_down(state);
}

static void open_all(enum sse_overflow overflow, size_t queue_bytes, size_t budget)
{
    use_registry((struct sse_registry_options){.backlog_bytes = budget});
    for (size_t i = 0; i < CROWD; i++) {
        fake_client_init(&crowd[i], &platform, SSE_OUTPUT_CALLBACK);
        crowd[i].loop = &loop;
        crowd[i].options.registry = registry;
        crowd[i].options.overflow = overflow;
        crowd[i].options.queue_bytes = queue_bytes;
        crowd[i].options.queue_messages = (size_t)EVENTS * 2;
        crowd[i].options.stall_ms = 30000;
        if (&crowd[i] == stalled)
            crowd[i].output.room = 2 + 7;
        assert_int_equal(join(&crowd[i], "t", absent), 0);
    }
    (void)fake_loop_settle(&loop);
}

/* After one turn, all other clients have the event. */
static void publish_all(size_t limit)
{
    size_t size = 0, before = 0;

    for (unsigned i = 0; i < EVENTS; i++) {
        char data[80];
        struct sse_event event = {.data = {.ptr = data}, .key = sse_str(i % 2 ? "odd" : "even")};
        struct sse_delivery delivery;

        event.data.len = (size_t)snprintf(data, sizeof(data), "%-70u", i);
        delivery = publish_event('t', event);
        assert_in_range(delivery.receivers, CROWD - 1, CROWD);
        assert_true(delivery.dropped + delivery.ended <= 1);
        (void)fake_loop_turn(&loop);
        assert_int_equal(fake_client_info(&crowd[0]).events, i + 1);
        assert_int_equal(fake_client_info(&crowd[CROWD - 1]).events, i + 1);
        assert_true(stats().backlog_bytes <= limit);
        if (!i)
            before = atomic_load(&platform.bytes);
        assert_true(atomic_load(&platform.bytes) <= before + 3 * limit + SLACK);
        size += (size_t)sprintf(expected + size, "data: %s\n\n", data);
    }
    (void)fake_loop_settle(&loop);
}

static void expect_others_complete(void)
{
    for (size_t i = 0; i < CROWD; i++) {
        if (&crowd[i] == stalled)
            continue;
        expect_open(&crowd[i]);
        assert_string_equal(fake_client_events(&crowd[i]), expected);
        assert_int_equal(fake_client_info(&crowd[i]).dropped, 0);
    }
}

/* Fault 18. */
static void ends_when_its_queue_is_full(void **state)
{
    (void)state;
    open_all(SSE_OVERFLOW_END, LIMIT, 0);
    publish_all(LIMIT);
    expect_others_complete();
    expect_end(stalled, SSE_REASON_OVERFLOW, -ENOBUFS);
}

static void loses_events_and_continues(void **state)
{
    for (int overflow = SSE_OVERFLOW_DROP_NEWEST; overflow <= SSE_OVERFLOW_COALESCE; overflow++) {
        struct sse_emitter_info info;

        open_all((enum sse_overflow)overflow, LIMIT, 0);
        publish_all(LIMIT);
        expect_others_complete();
        info = fake_client_info(stalled);
        assert_int_equal(info.state, SSE_STATE_OPEN);
        assert_int_equal(info.queued_messages + info.dropped, EVENTS);
        assert_true(info.dropped > 0 && info.queued_bytes <= LIMIT);
        fake_client_make_room(stalled, SIZE_MAX);
        (void)fake_loop_settle(&loop);
        assert_int_equal(fake_client_info(stalled).events, EVENTS - info.dropped);
        close_crowd(state);
        open_crowd(state);
    }
}

static void ends_when_the_budget_is_passed(void **state)
{
    (void)state;
    open_all(SSE_OVERFLOW_END, (size_t)1 << 20, BUDGET);
    publish_all(BUDGET);
    expect_others_complete();
    expect_end(stalled, SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(stats().backlog_bytes, 0);
}

static void ends_at_its_stall_timeout(void **state)
{
    (void)state;
    open_all(SSE_OVERFLOW_END, (size_t)1 << 20, 0);
    publish_all((size_t)1 << 20);
    advance_ms(30000);
    expect_others_complete();
    expect_end(stalled, SSE_REASON_STALLED, -ETIMEDOUT);
    assert_int_equal(stats().backlog_bytes, 0);
}

#define CROWD_TEST(function) cmocka_unit_test_setup_teardown(function, open_crowd, close_crowd)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CROWD_TEST(ends_when_its_queue_is_full),
        CROWD_TEST(loses_events_and_continues),
        CROWD_TEST(ends_when_the_budget_is_passed),
        CROWD_TEST(ends_at_its_stall_timeout),
    };

    return cmocka_run_group_tests_name("one stalled client among 1,000", tests, NULL, NULL);
}
