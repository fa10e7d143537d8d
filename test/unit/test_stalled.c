/* SPDX-License-Identifier: MIT */
/* One client among a thousand that takes nothing: the streams of the others are complete, nobody waits
 * for it, and it costs no more memory than its limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 1000
#define STALLED 617
#define EVENTS 200
#define LIMIT 4096
/* The ring of a queue, and the message that came last. */
#define SLACK 4096

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client *clients;
static struct fake_client *stalled;
static char *expected;

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    clients = calloc(CLIENTS, sizeof(*clients));
    expected = calloc(EVENTS, 200);
    assert_non_null(clients);
    assert_non_null(expected);
    stalled = &clients[STALLED];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS; i++)
        fake_client_free(&clients[i]);
    sse_registry_unref(registry);
    registry = NULL;
    free(clients);
    free(expected);
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

static void open_all(enum sse_overflow overflow, size_t queue_bytes, size_t budget)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .host = &host.host, .backlog_bytes = budget};
    const struct sse_str topic = sse_str("t");

    assert_int_equal(sse_registry_new(&registry, &options), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        fake_client_init(&clients[i], &host, SSE_DRAIN_CALLBACK);
        clients[i].options.overflow = overflow;
        clients[i].options.queue_bytes = queue_bytes;
        clients[i].options.queue_messages = (size_t)EVENTS * 2;
        clients[i].options.stall_ms = 30000;
        if (&clients[i] == stalled)
            clients[i].sink.room = 7;
        fake_client_open(&clients[i]);
        assert_int_equal(sse_registry_subscribe(registry, clients[i].emitter, &topic, 1, sse_str(""), NULL),
                         0);
    }
}

static size_t backlog(void)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};

    assert_int_equal(sse_registry_stats(registry, &stats), 0);
    return stats.backlog_bytes;
}

/* Each event is with all the others when the call returns. */
static void publish_all(size_t limit)
{
    size_t size = 0, before = 0;

    for (unsigned i = 0; i < EVENTS; i++) {
        struct sse_delivery delivery = {.size = sizeof(delivery)};
        char data[80];
        struct sse_event event = {.data = {.ptr = data}, .key = sse_str(i % 2 ? "odd" : "even")};

        event.data.len = (size_t)snprintf(data, sizeof(data), "%-70u", i);
        assert_int_equal(sse_registry_publish(registry, sse_str("t"), &event, &delivery), 0);
        assert_int_equal(delivery.written, CLIENTS - 1);
        assert_true(delivery.queued + delivery.dropped + delivery.closed <= 1);
        assert_true(backlog() <= limit);
        if (!i)
            before = atomic_load(&host.bytes);
        assert_true(atomic_load(&host.bytes) <= before + 3 * limit + SLACK);
        size += (size_t)sprintf(expected + size, "data: %s\n\n", data);
    }
}

static void expect_others_complete(void)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        if (&clients[i] == stalled)
            continue;
        assert_int_equal(clients[i].completions, 0);
        assert_string_equal(fake_client_text(&clients[i]), expected);
        assert_int_equal(fake_client_info(&clients[i]).dropped, 0);
    }
}

static void ends_when_its_queue_is_full(void **state)
{
    (void)state;
    open_all(SSE_OVERFLOW_CLOSE, LIMIT, 0);
    publish_all(LIMIT);
    expect_others_complete();
    assert_int_equal(stalled->completion.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(stalled->completion.error, -ENOBUFS);
}

static void loses_events_and_goes_on(void **state)
{
    (void)state;
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
        assert_int_equal(fake_client_info(stalled).events, EVENTS - info.dropped);
        tear_down(state);
        set_up(state);
    }
}

static void ends_when_all_wait_for_too_much(void **state)
{
    (void)state;
    open_all(SSE_OVERFLOW_CLOSE, (size_t)1 << 20, LIMIT);
    publish_all(LIMIT);
    expect_others_complete();
    assert_int_equal(stalled->completion.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(backlog(), 0);
}

static void ends_when_it_takes_nothing_for_too_long(void **state)
{
    (void)state;
    open_all(SSE_OVERFLOW_CLOSE, (size_t)1 << 20, 0);
    publish_all((size_t)1 << 20);
    fake_host_advance_ms(&host, 30000);
    assert_int_equal(sse_registry_tick(registry), 0);
    expect_others_complete();
    assert_int_equal(stalled->completion.reason, SSE_REASON_STALL);
    assert_int_equal(backlog(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ends_when_its_queue_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(loses_events_and_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_when_all_wait_for_too_much, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_when_it_takes_nothing_for_too_long, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("one stalled client among 1,000", tests, NULL, NULL);
}
