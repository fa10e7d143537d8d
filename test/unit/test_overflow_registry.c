/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POLICIES 4
#define CLIENTS 8

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];
static char traces[64];

static void on_trace(struct sse_registry *source, struct sse_emitter *emitter, enum sse_trace step,
                     void *user)
{
    size_t length = strlen(traces);

    (void)source, (void)user;
    if (length + 2 >= sizeof(traces) || (step != SSE_TRACE_EVICTED && step != SSE_TRACE_ENDED))
        return;
    for (size_t i = 0; i < CLIENTS; i++) {
        if (clients[i].emitter == emitter)
            traces[length + 1] = (char)('0' + i);
    }
    traces[length] = step == SSE_TRACE_EVICTED ? 'v' : 'e';
}

static void open_registry(struct sse_registry_options options)
{
    options.size = sizeof(options);
    options.host = &host.host;
    options.on_trace = on_trace;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
    memset(traces, 0, sizeof(traces));
    registry = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

static struct fake_client *join(size_t which, enum sse_overflow overflow, size_t bytes, size_t messages)
{
    const struct sse_str topic = sse_str("t");
    struct fake_client *client = &clients[which];

    fake_client_init(client, &host, SSE_DRAIN_CALLBACK);
    client->options.overflow = overflow;
    client->options.queue_bytes = bytes;
    client->options.queue_messages = messages;
    client->sink.room = 0;
    fake_client_open(client);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, &topic, 1, sse_str(NULL), NULL), 0);
    return client;
}

static struct sse_delivery publish(const char *data, const char *key)
{
    const struct sse_event event = {.data = sse_str(data), .key = sse_str(key)};
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    assert_int_equal(sse_registry_publish(registry, sse_str("t"), &event, &delivery), 0);
    return delivery;
}

static void expect(struct sse_delivery delivery, size_t written, size_t queued, size_t dropped, size_t closed)
{
    assert_int_equal(delivery.written, written);
    assert_int_equal(delivery.queued, queued);
    assert_int_equal(delivery.dropped, dropped);
    assert_int_equal(delivery.closed, closed);
}

static struct sse_registry_stats stats(void)
{
    struct sse_registry_stats result = {.size = sizeof(result)};

    assert_int_equal(sse_registry_stats(registry, &result), 0);
    return result;
}

static void each_policy_has_its_count(void **state)
{
    (void)state;
    open_registry((struct sse_registry_options){.size = 0});
    for (size_t i = 0; i < POLICIES; i++)
        join(i, (enum sse_overflow)i, 0, 1);
    expect(publish("a", NULL), 0, 4, 0, 0);
    expect(publish("b", NULL), 0, 1, 1, 2);
    expect(publish("c", NULL), 0, 1, 1, 0);
    assert_int_equal(stats().dropped, 1 + 2 + 2 + 1);
    assert_int_equal(stats().queued, 4 + 1 + 1);
    assert_int_equal(stats().closed[SSE_REASON_OVERFLOW], 2);
    assert_int_equal(stats().emitters, 2);
    assert_int_equal(stats().backlog_bytes, 2 * strlen("data: a\n\n"));
    fake_client_make_room(&clients[SSE_OVERFLOW_DROP_NEWEST], SIZE_MAX);
    expect(publish("d", NULL), 1, 1, 0, 0);
    fake_client_make_room(&clients[SSE_OVERFLOW_DROP_OLDEST], SIZE_MAX);
    expect(publish("e", NULL), 2, 0, 0, 0);
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_CLOSE]), "");
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_DROP_NEWEST]),
                        "data: a\n\ndata: d\n\ndata: e\n\n");
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_DROP_OLDEST]), "data: d\n\ndata: e\n\n");
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_COALESCE]), "");
    assert_int_equal(stats().backlog_bytes, 0);
    assert_int_equal(stats().dropped, 1 + 2 + 3 + 1);
    assert_int_equal(stats().written, 5);
    assert_int_equal(clients[SSE_OVERFLOW_CLOSE].completion.error, -ENOBUFS);
    assert_int_equal(clients[SSE_OVERFLOW_COALESCE].completion.dropped, 1);
}

/* The rest of a message that has begun to leave makes no way for a published one either. */
static void a_torn_event_is_finished(void **state)
{
    (void)state;
    open_registry((struct sse_registry_options){.size = 0});
    join(0, SSE_OVERFLOW_DROP_OLDEST, 0, 2)->sink.room = 3;
    join(1, SSE_OVERFLOW_COALESCE, 0, 2)->sink.room = 3;
    expect(publish("a", "k"), 0, 2, 0, 0);
    expect(publish("b", "k"), 0, 2, 0, 0);
    expect(publish("c", "k"), 0, 2, 0, 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fake_client_info(&clients[i]).dropped, 1);
        fake_client_make_room(&clients[i], SIZE_MAX);
        assert_string_equal(fake_client_text(&clients[i]), "data: a\n\ndata: c\n\n");
    }
    assert_int_equal(stats().dropped, 2);
}

/* A slow client that coalesces sees the newest value of each key, and ids in their order. */
static void a_slow_client_sees_the_newest_of_each_key(void **state)
{
    (void)state;
    open_registry((struct sse_registry_options){.history = {.events = 100}, .epoch = sse_str("E")});
    join(0, SSE_OVERFLOW_COALESCE, 0, 3);
    for (size_t i = 0; i < 10; i++) {
        char data[8];

        (void)snprintf(data, sizeof(data), "%zu", i);
        expect(publish(data, (const char *const[]){"x", "y", "z"}[i % 3]), 0, 1, 0, 0);
    }
    assert_int_equal(stats().dropped, 7);
    fake_client_make_room(&clients[0], SIZE_MAX);
    assert_string_equal(fake_client_text(&clients[0]), "data: 7\nid: E-0000000000000008\n\n"
                                                       "data: 8\nid: E-0000000000000009\n\n"
                                                       "data: 9\nid: E-000000000000000a\n\n");
}

static void an_event_over_the_limit_is_dropped_or_ends(void **state)
{
    (void)state;
    open_registry((struct sse_registry_options){.size = 0});
    for (size_t i = 0; i < POLICIES; i++)
        join(i, (enum sse_overflow)i, 20, 0);
    expect(publish("small", NULL), 0, 4, 0, 0);
    expect(publish("larger than 20 bytes", "key"), 0, 0, 2, 2);
    assert_int_equal(clients[SSE_OVERFLOW_CLOSE].completion.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(clients[SSE_OVERFLOW_CLOSE].completion.error, -EMSGSIZE);
    assert_int_equal(clients[SSE_OVERFLOW_COALESCE].completion.error, -EMSGSIZE);
    for (size_t i = SSE_OVERFLOW_DROP_NEWEST; i <= SSE_OVERFLOW_DROP_OLDEST; i++) {
        assert_int_equal(clients[i].completions, 0);
        assert_int_equal(fake_client_info(&clients[i]).dropped, 1);
        fake_client_make_room(&clients[i], SIZE_MAX);
        assert_string_equal(fake_client_text(&clients[i]), "data: small\n\n");
    }
    assert_int_equal(stats().dropped, 4);
}

/* The third message is the first that a queue needs memory for. */
static void without_memory_for_a_queue_others_go_on(void **state)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct sse_message *message;

    (void)state;
    open_registry((struct sse_registry_options){.size = 0});
    for (size_t i = 0; i < POLICIES; i++)
        join(i, (enum sse_overflow)i, 0, 0);
    join(4, SSE_OVERFLOW_CLOSE, 0, 0)->sink.room = SIZE_MAX;
    expect(publish("a", NULL), 1, 4, 0, 0);
    assert_int_equal(sse_message_new(&message, &(struct sse_event){.data = sse_str("c")}, 1, &host.host), 0);
    fake_host_fail_at(&host, 1, true);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, &delivery), 0);
    fake_host_fail_at(&host, 0, false);
    sse_message_unref(message);
    expect(delivery, 1, 0, 2, 2);
    assert_int_equal(clients[SSE_OVERFLOW_CLOSE].completion.error, -ENOMEM);
    assert_int_equal(clients[SSE_OVERFLOW_COALESCE].completion.error, -ENOMEM);
    assert_int_equal(clients[SSE_OVERFLOW_CLOSE].completion.reason, SSE_REASON_OVERFLOW);
    assert_string_equal(fake_client_text(&clients[4]), "data: a\n\ndata: c\n\n");
    expect(publish("d", NULL), 1, 2, 0, 0);
    assert_int_equal(stats().dropped, 1 + 1 + 1 + 1);
}

static void a_batch_is_dropped_as_a_whole(void **state)
{
    const struct sse_event events[] = {
        {.data = sse_str("1")}, {.data = sse_str("2")}, {.comment = sse_str("3")}};
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct sse_message *batch;

    (void)state;
    open_registry((struct sse_registry_options){.size = 0});
    join(0, SSE_OVERFLOW_DROP_OLDEST, 0, 2);
    join(1, SSE_OVERFLOW_DROP_NEWEST, 0, 2);
    assert_int_equal(sse_message_new(&batch, events, COUNT(events), &host.host), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), batch, &delivery), 0);
    sse_message_unref(batch);
    expect(delivery, 0, 1, 1, 0);
    assert_int_equal(fake_client_info(&clients[0]).dropped, 3);
    assert_int_equal(fake_client_info(&clients[1]).dropped, 3);
    expect(publish("x", NULL), 0, 1, 1, 0);
    assert_int_equal(fake_client_info(&clients[0]).dropped, 6);
    assert_int_equal(fake_client_info(&clients[1]).dropped, 4);
    assert_int_equal(stats().dropped, 10);
}

/* Every receiver is in exactly one of the four counts; every event accepted is written, dropped or
 * waits. */
static void every_delivery_is_accounted_for(void **state)
{
    size_t closed = 0, receivers = 0;

    (void)state;
    open_registry((struct sse_registry_options){.size = 0});
    for (size_t i = 0; i < CLIENTS; i++)
        join(i, (enum sse_overflow)(i % POLICIES), 0, 3 + i);
    for (size_t round = 0; round < 500; round++) {
        uint64_t random = host.host.random(host.host.user);
        size_t count = sse_registry_count(registry, sse_str("t"));
        size_t waiting = 0;
        struct sse_delivery delivery = publish("x", (const char *const[]){NULL, "k", "l"}[random % 3]);

        assert_int_equal(delivery.written + delivery.queued + delivery.dropped + delivery.closed, count);
        receivers += count;
        closed += delivery.closed;
        if (round % 3 == 0)
            fake_client_make_room(&clients[random >> 8 & 7], (random >> 16) % 60);
        for (size_t i = 0; i < CLIENTS; i++)
            waiting += fake_client_info(&clients[i]).queued_messages;
        assert_int_equal(stats().written + stats().dropped + waiting, receivers - closed);
    }
    assert_int_equal(closed, stats().closed[SSE_REASON_OVERFLOW]);
    assert_true(closed > 0);
    assert_int_equal(stats().emitters, CLIENTS - closed);
}

/* Over the budget, not at it; the largest backlog first; no more than it takes. */
static void the_largest_backlog_goes_first(void **state)
{
    (void)state;
    open_registry((struct sse_registry_options){.backlog_bytes = 100});
    for (size_t i = 0; i < 3; i++)
        join(i, SSE_OVERFLOW_CLOSE, 0, 0);
    assert_int_equal(sse_emitter_send(clients[1].emitter, &(struct sse_event){.data = sse_str("0123456")}),
                     0);
    expect(publish("01", NULL), 0, 3, 0, 0);
    assert_int_equal(stats().backlog_bytes, 15 + 3 * 10);
    expect(publish("0123456", NULL), 0, 3, 0, 0);
    assert_int_equal(stats().backlog_bytes, 90);
    expect(publish("", NULL), 0, 3, 0, 0);
    assert_string_equal(traces, "v1e1");
    assert_int_equal(stats().backlog_bytes, 2 * (10 + 15 + 8));
    assert_int_equal(clients[1].completion.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(clients[1].completion.error, -ENOBUFS);
    assert_int_equal(clients[1].completion.dropped, 4);
    assert_int_equal(clients[1].errors, 1);
    assert_int_equal(stats().emitters, 2);
    assert_int_equal(stats().closed[SSE_REASON_OVERFLOW], 1);
    expect(publish("012345678", NULL), 0, 2, 0, 0);
    assert_int_equal(stats().backlog_bytes, 100);
    assert_int_equal(stats().emitters, 2);
}

static int send(size_t which, const char *data)
{
    return sse_emitter_send(clients[which].emitter, &(struct sse_event){.data = sse_str(data)});
}

/* Whatever brings the bytes: an event for one, a replay, a farewell. */
static void every_call_keeps_the_budget(void **state)
{
    const struct sse_event farewell = {.data = sse_str("0123456789")};
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .farewell = &farewell, .drain_ms = 1000};
    const struct sse_str topic = sse_str("t");

    (void)state;
    open_registry(
        (struct sse_registry_options){.backlog_bytes = 100, .history = {.events = 9}, .epoch = sse_str("E")});
    for (size_t i = 0; i < 3; i++)
        join(i, SSE_OVERFLOW_CLOSE, 0, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(send(i, "0123456789012345"), 0);
    assert_int_equal(stats().backlog_bytes, 72);
    assert_int_equal(send(2, "0123456789012345"), 0);
    assert_int_equal(stats().backlog_bytes, 96);
    assert_int_equal(send(0, ""), 0);
    assert_string_equal(traces, "v2e2");
    assert_int_equal(stats().backlog_bytes, 56);
    assert_int_equal(sse_emitter_complete_with_error(clients[0].emitter, -EPIPE), 0);
    assert_int_equal(sse_emitter_complete_with_error(clients[1].emitter, -EPIPE), 0);
    for (size_t i = 0; i < 3; i++)
        expect(publish("0123456789", NULL), 0, 0, 0, 0);
    memset(traces, 0, sizeof(traces));
    fake_client_init(&clients[3], &host, SSE_DRAIN_CALLBACK);
    clients[3].sink.room = 0;
    fake_client_open(&clients[3]);
    assert_int_equal(
        sse_registry_subscribe(registry, clients[3].emitter, &topic, 1, sse_str("E-0000000000000000"), NULL),
        0);
    assert_string_equal(traces, "v3e3");
    assert_int_equal(stats().backlog_bytes, 0);
    fake_client_free(&clients[0]);
    fake_client_free(&clients[1]);
    memset(traces, 0, sizeof(traces));
    join(0, SSE_OVERFLOW_CLOSE, 0, 0);
    join(1, SSE_OVERFLOW_CLOSE, 0, 0);
    assert_int_equal(send(0, "0123456789012345678901234567890123456"), 0);
    assert_int_equal(send(1, "012345678901234567890123456"), 0);
    assert_int_equal(stats().backlog_bytes, 80);
    assert_int_equal(sse_registry_shutdown(registry, &options), 0);
    assert_string_equal(traces, "v0e0");
    assert_int_equal(stats().backlog_bytes, 35 + 18);
}

/* What every sink takes at once never waits, however many there are. */
static void a_broadcast_that_is_taken_is_no_backlog(void **state)
{
    (void)state;
    open_registry((struct sse_registry_options){.backlog_bytes = 30});
    for (size_t i = 0; i < 4; i++)
        join(i, SSE_OVERFLOW_CLOSE, 0, 0)->sink.room = SIZE_MAX;
    expect(publish("0123456789", NULL), 4, 0, 0, 0);
    clients[2].sink.room = 0;
    expect(publish("0123456789", NULL), 3, 1, 0, 0);
    assert_int_equal(send(0, "0123456789"), 0);
    assert_string_equal(traces, "");
    assert_int_equal(send(2, "0123456789"), 0);
    assert_string_equal(traces, "v2e2");
}

static void send_to_the_first(struct fake_sink *sink, void *user)
{
    (void)user;
    sink->on_write = NULL;
    assert_int_equal(sse_emitter_send(clients[0].emitter, &(struct sse_event){.data = sse_str("0123456789")}),
                     0);
}

/* Whoever looks while a publish is under way must not take those that it has yet to write to for slow. */
static void who_is_about_to_be_written_to_is_spared(void **state)
{
    (void)state;
    open_registry((struct sse_registry_options){.backlog_bytes = 40});
    for (size_t i = 0; i < 4; i++)
        join(i, SSE_OVERFLOW_CLOSE, 0, 0)->sink.room = i ? SIZE_MAX : 0;
    assert_int_equal(
        sse_registry_unsubscribe(registry, clients[0].emitter, (const struct sse_str[]){sse_str("t")}, 1), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(
            sse_emitter_send(clients[0].emitter, &(struct sse_event){.data = sse_str("0123456789")}), 0);
    clients[1].sink.on_write = send_to_the_first;
    expect(publish("an event that is longer than all that waits for the first of them", NULL), 3, 0, 0, 0);
    assert_string_equal(traces, "v0e0");
    assert_int_equal(stats().emitters, 3);
    assert_int_equal(stats().backlog_bytes, 0);
}

static void publish_inside(struct fake_sink *sink, void *user)
{
    struct sse_delivery *delivery = user;

    sink->on_write = NULL;
    *delivery = publish("a large event, published from inside the sink", NULL);
}

/* It cannot be taken apart while its sink looks at the bytes, but it pays alone. */
static void an_evicted_emitter_in_its_sink_pays_alone(void **state)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    (void)state;
    open_registry((struct sse_registry_options){.backlog_bytes = 400});
    for (size_t i = 0; i < 4; i++)
        join(i, SSE_OVERFLOW_CLOSE, 0, 0);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(
            sse_emitter_send(clients[2].emitter, &(struct sse_event){.data = sse_str("0123456789")}), 0);
    clients[2].sink.on_write = publish_inside;
    clients[2].sink.user = &delivery;
    (void)sse_emitter_flush(clients[2].emitter);
    expect(delivery, 0, 4, 0, 0);
    assert_string_equal(traces, "v2e2");
    assert_int_equal(stats().emitters, 3);
    assert_int_equal(stats().backlog_bytes,
                     3 * strlen("data: a large event, published from inside the sink\n\n"));
    assert_int_equal(clients[2].completion.dropped, 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_policy_has_its_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_event_is_finished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slow_client_sees_the_newest_of_each_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_over_the_limit_is_dropped_or_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_for_a_queue_others_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_is_dropped_as_a_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_delivery_is_accounted_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_call_keeps_the_budget, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broadcast_that_is_taken_is_no_backlog, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_largest_backlog_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_about_to_be_written_to_is_spared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_evicted_emitter_in_its_sink_pays_alone, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
