/* SPDX-License-Identifier: MIT */
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

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CLIENTS 6
#define STEPS_MAX 64

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];

/* A letter for each step and the number of its client. */
static char steps[STEPS_MAX];

static void on_trace(struct sse_registry *source, struct sse_emitter *emitter, enum sse_trace step,
                     void *user)
{
    struct sse_registry_stats seen = {.size = sizeof(seen)};
    size_t length = strlen(steps);

    assert_ptr_equal(source, registry);
    assert_ptr_equal(user, steps);
    assert_true(length + 3 < sizeof(steps));
    assert_in_range(step, SSE_TRACE_ADDED, SSE_TRACE_REMOVED);
    steps[length] = "?asgrvex"[step];
    for (size_t i = 0; i < CLIENTS; i++) {
        if (clients[i].emitter == emitter)
            steps[length + 1] = (char)('0' + i);
    }
    /* No lock is held. */
    assert_int_equal(sse_registry_stats(source, &seen), 0);
    assert_true(fake_client_info(sse_emitter_user(emitter)).size > 0);
}

static void use_registry(struct sse_registry_options options)
{
    sse_registry_unref(registry);
    registry = NULL;
    options.size = sizeof(options);
    options.host = &host.host;
    options.epoch = sse_str("E");
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
    memset(steps, 0, sizeof(steps));
    registry = NULL;
    use_registry((struct sse_registry_options){.size = 0});
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

static struct fake_client *prepare(size_t which, enum sse_drain drain)
{
    if (clients[which].emitter)
        fake_client_free(&clients[which]);
    fake_client_init(&clients[which], &host, drain);
    return &clients[which];
}

static int subscribe(size_t which, const char *topic, const char *id)
{
    const struct sse_str name = sse_str(topic);

    return sse_registry_subscribe(registry, clients[which].emitter, &name, 1, sse_str(id), NULL);
}

static struct fake_client *enter(struct fake_client *client)
{
    fake_client_open(client);
    assert_int_equal(subscribe((size_t)(client - clients), "t", NULL), 0);
    return client;
}

static struct fake_client *join(size_t which, size_t room)
{
    prepare(which, SSE_DRAIN_CALLBACK)->sink.room = room;
    return enter(&clients[which]);
}

static struct sse_delivery publish(const char *data)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    const struct sse_event event = {.data = sse_str(data)};

    assert_int_equal(sse_registry_publish(registry, sse_str("t"), &event, &delivery), 0);
    return delivery;
}

static struct sse_registry_stats stats(void)
{
    struct sse_registry_stats result = {.size = sizeof(result)};

    memset((char *)&result + sizeof(result.size), 0xa5, sizeof(result) - sizeof(result.size));
    assert_int_equal(sse_registry_stats(registry, &result), 0);
    assert_int_equal(result.size, sizeof(result));
    return result;
}

static void a_new_registry_counts_nothing(void **state)
{
    const struct sse_registry_stats nothing = {.size = sizeof(nothing)};
    struct sse_registry_stats found = stats();
    struct sse_registry_stats unknown = {.size = sizeof(unknown) - 1, .added = 5};

    (void)state;
    assert_memory_equal(&found, &nothing, sizeof(found));
    assert_int_equal(sse_registry_stats(registry, NULL), -EINVAL);
    assert_int_equal(sse_registry_stats(NULL, &found), -EINVAL);
    assert_int_equal(sse_registry_stats(registry, &unknown), -EINVAL);
    assert_int_equal(unknown.added, 5);
}

static void what_is_there_at_present(void **state)
{
    const struct sse_str topic = sse_str("t");

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 10}});
    join(0, 0);
    join(1, SIZE_MAX);
    assert_int_equal(subscribe(1, "u", NULL), 0);
    assert_int_equal(stats().emitters, 2);
    assert_int_equal(stats().topics, 2);
    (void)publish("1");
    assert_int_equal(stats().backlog_bytes, strlen("data: 1\nid: E-0000000000000001\n\n"));
    assert_int_equal(stats().history_events, 1);
    assert_true(stats().history_bytes > strlen("data: 1\nid: E-0000000000000001\n\n"));
    assert_int_equal(sse_emitter_detach(clients[1].emitter), 0);
    assert_int_equal(stats().emitters, 1);
    assert_int_equal(stats().topics, 1);
    fake_client_make_room(&clients[0], 5);
    assert_int_equal(stats().backlog_bytes, strlen("data: 1\nid: E-0000000000000001\n\n") - 5);
    assert_int_equal(sse_registry_remove(registry, clients[0].emitter), 0);
    assert_int_equal(stats().backlog_bytes, 0);
    assert_int_equal(stats().emitters, 0);
    assert_int_equal(sse_registry_add(registry, clients[0].emitter), 0);
    assert_int_equal(stats().backlog_bytes, strlen("data: 1\nid: E-0000000000000001\n\n") - 5);
    assert_int_equal(sse_registry_unsubscribe(registry, clients[0].emitter, &topic, 1), 0);
    assert_int_equal(stats().topics, 1);
    assert_int_equal(sse_emitter_complete_with_error(clients[0].emitter, -EPIPE), 0);
    assert_int_equal(stats().backlog_bytes, 0);
    assert_int_equal(stats().emitters, 0);
    assert_int_equal(stats().added, 3);
}

/* Head and what was sent before belong to nobody; heartbeats are bytes and no events. */
static void what_is_written_is_counted_in_events_and_bytes(void **state)
{
    const struct sse_event batch[] = {
        {.data = sse_str("a")}, {.data = sse_str("b")}, {.comment = sse_str("c")}};
    struct sse_registry_stats before;
    struct sse_message *message;
    size_t sent;

    (void)state;
    prepare(0, SSE_DRAIN_CALLBACK)->options.head = sse_str("HEAD");
    clients[0].options.retry_ms = 5;
    clients[0].options.heartbeat_ms = 1000;
    clients[0].options.framing = SSE_FRAMING_CHUNKED;
    enter(&clients[0]);
    join(1, SIZE_MAX);
    assert_int_equal(stats().bytes, 0);
    sent = clients[0].sink.size;
    assert_int_equal(sse_message_new(&message, batch, COUNT(batch), &host.host), 0);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, NULL), 0);
    assert_int_equal(sse_registry_broadcast_message(registry, message, NULL), 0);
    sse_message_unref(message);
    assert_int_equal(stats().written, 2 * 2 * 3);
    assert_int_equal(sse_emitter_send(clients[1].emitter, &batch[0]), 0);
    assert_int_equal(stats().written, 2 * 2 * 3 + 1);
    fake_host_advance_ms(&host, 1000);
    assert_int_equal(sse_registry_tick(registry), 0);
    assert_int_equal(stats().written, 2 * 2 * 3 + 1);
    assert_int_equal(stats().bytes, clients[0].sink.size - sent + clients[1].sink.size);
    assert_int_equal(stats().published, 2);
    before = stats();
    assert_int_equal(sse_registry_remove(registry, clients[1].emitter), 0);
    assert_int_equal(sse_emitter_send(clients[1].emitter, &batch[0]), 0);
    assert_int_equal(stats().written, before.written);
    assert_int_equal(stats().bytes, before.bytes);
}

static void publish_again(struct fake_client *client, void *user)
{
    unsigned *left = user;

    (void)client;
    if ((*left)--)
        (void)publish("nested");
}

static void publishes_are_counted_wherever_they_come_from(void **state)
{
    unsigned left = 2;

    (void)state;
    (void)publish("to nobody");
    assert_int_equal(sse_registry_broadcast(registry, &(struct sse_event){.data = sse_str("x")}, NULL), 0);
    assert_int_equal(stats().published, 2);
    assert_int_equal(sse_registry_broadcast(registry, &(struct sse_event){.type = sse_str("x")}, NULL),
                     -EINVAL);
    assert_int_equal(
        sse_registry_publish(registry, sse_str(""), &(struct sse_event){.data = sse_str("x")}, NULL),
        -EINVAL);
    fake_host_fail_at(&host, 1, true);
    assert_int_equal(sse_registry_broadcast(registry, &(struct sse_event){.data = sse_str("x")}, NULL),
                     -ENOMEM);
    fake_host_fail_at(&host, 0, false);
    assert_int_equal(stats().published, 2);
    join(0, 0)->act = publish_again;
    clients[0].act_user = &left;
    join(1, 0)->act = publish_again;
    clients[1].act_user = &left;
    (void)publish("outer");
    assert_int_equal(stats().published, 5);
    assert_int_equal(stats().queued, 6);
    assert_int_equal(stats().written, 0);
}

static void dropped_is_what_never_left(void **state)
{
    (void)state;
    prepare(0, SSE_DRAIN_CALLBACK)->sink.room = 0;
    clients[0].options.overflow = SSE_OVERFLOW_DROP_OLDEST;
    clients[0].options.queue_messages = 2;
    enter(&clients[0]);
    join(1, 9 + 4);
    (void)publish("1");
    (void)publish("2");
    assert_int_equal(stats().dropped, 0);
    assert_int_equal(stats().queued, 3);
    (void)publish("3");
    assert_int_equal(stats().dropped, 1);
    assert_int_equal(sse_emitter_complete_with_error(clients[1].emitter, -EPIPE), 0);
    assert_int_equal(stats().dropped, 1 + 2);
    assert_int_equal(clients[1].completion.dropped, 2);
    fake_client_make_room(&clients[0], SIZE_MAX);
    assert_int_equal(stats().dropped, 3);
    assert_int_equal(stats().written, 1 + 2);
    assert_int_equal(stats().published, 3);
}

/* Of a batch that was torn, the client has the events before the tear; the others were dropped. */
static void each_event_of_a_torn_batch_is_counted_once(void **state)
{
    const struct sse_event batch[] = {{.data = sse_str("1")}, {.data = sse_str("2")}, {.data = sse_str("3")}};
    struct sse_message *message;

    (void)state;
    prepare(0, SSE_DRAIN_CALLBACK)->sink.room = strlen("data: 1\n\ndata: 2\n\nda");
    enter(&clients[0]);
    assert_int_equal(sse_message_new(&message, batch, COUNT(batch), &host.host), 0);
    assert_int_equal(sse_registry_broadcast_message(registry, message, NULL), 0);
    sse_message_unref(message);
    assert_int_equal(stats().written, 0);
    assert_int_equal(sse_emitter_complete_with_error(clients[0].emitter, -EPIPE), 0);
    assert_int_equal(clients[0].completion.events, 2);
    assert_int_equal(clients[0].completion.dropped, 1);
    assert_int_equal(stats().written, 2);
    assert_int_equal(stats().dropped, 1);
}

static void replays_and_gaps(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 3}, .gap_type = sse_str("gap")});
    for (size_t i = 0; i < 5; i++)
        (void)publish("x");
    for (size_t i = 0; i < 4; i++)
        fake_client_open(prepare(i, SSE_DRAIN_CALLBACK));
    assert_int_equal(subscribe(0, "t", NULL), 0);
    assert_int_equal(subscribe(1, "t", "E-0000000000000003"), 0);
    assert_int_equal(stats().replays, 1);
    assert_int_equal(stats().replayed, 2);
    assert_int_equal(subscribe(2, "t", "E-0000000000000005"), 0);
    assert_int_equal(stats().replays, 2);
    assert_int_equal(stats().gaps, 0);
    assert_int_equal(subscribe(3, "t", "E-0000000000000001"), 0);
    assert_int_equal(stats().replays, 2);
    assert_int_equal(stats().replayed, 5);
    assert_int_equal(stats().gaps, 1);
    /* The event that tells of the gap was written too. */
    assert_int_equal(stats().written, 2 + 3 + 1);
    assert_int_equal(stats().queued, 0);
}

static void every_reason_has_its_count(void **state)
{
    const struct sse_shutdown_options shutdown = {.size = sizeof(shutdown)};
    uint64_t total = 0;

    (void)state;
    for (int reason = SSE_REASON_COMPLETED; reason <= SSE_REASON_SHUTDOWN; reason++) {
        struct fake_client *client = prepare(0, SSE_DRAIN_CALLBACK);

        client->options.lifetime_ms = reason == SSE_REASON_LIFETIME ? 10 : SSE_TIMER_OFF;
        client->options.stall_ms = reason == SSE_REASON_STALL ? 10 : SSE_TIMER_OFF;
        client->options.drain_ms = 10;
        client->options.queue_messages = reason == SSE_REASON_OVERFLOW ? 1 : 2;
        client->sink.room =
            reason == SSE_REASON_STALL || reason == SSE_REASON_DRAIN || reason == SSE_REASON_OVERFLOW
                ? 0
                : SIZE_MAX;
        client->sink.error_at =
            reason == SSE_REASON_PEER_GONE || reason == SSE_REASON_IO_ERROR ? 0 : SIZE_MAX;
        client->sink.error = reason == SSE_REASON_PEER_GONE ? -ECONNRESET : -EIO;
        enter(client);
        (void)publish("1");
        (void)publish("2");
        if (reason == SSE_REASON_COMPLETED)
            (void)sse_emitter_complete(client->emitter);
        if (reason == SSE_REASON_DRAIN && !client->completions)
            (void)sse_emitter_complete(client->emitter);
        if (reason == SSE_REASON_APPLICATION)
            (void)sse_emitter_complete_with_error(client->emitter, -ENOENT);
        if (reason == SSE_REASON_DETACHED)
            (void)sse_emitter_detach(client->emitter);
        if (reason == SSE_REASON_SHUTDOWN)
            assert_int_equal(sse_registry_shutdown(registry, &shutdown), 0);
        fake_host_advance_ms(&host, 10);
        assert_int_equal(sse_registry_tick(registry), 0);
        assert_int_equal(client->completions, 1);
        assert_int_equal(stats().closed[client->completion.reason],
                         1 + (client->completion.reason != (enum sse_reason)reason));
        total = 0;
        for (size_t i = 0; i < COUNT(stats().closed); i++)
            total += stats().closed[i];
        assert_int_equal(total, reason);
    }
    for (int reason = SSE_REASON_COMPLETED; reason <= SSE_REASON_SHUTDOWN; reason++)
        assert_int_equal(stats().closed[reason], 1);
    assert_int_equal(stats().closed[SSE_REASON_NONE], 0);
}

/* One that was taken out in time is not the registry's to count. */
static void those_that_were_removed_are_not_counted(void **state)
{
    (void)state;
    join(0, SIZE_MAX);
    assert_int_equal(sse_registry_remove(registry, clients[0].emitter), 0);
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(stats().closed[SSE_REASON_COMPLETED], 0);
    assert_int_equal(stats().added, 1);
}

/* The bucket that grew by this many, all others being as before. */
static void expect_bucket(const struct sse_registry_stats *before, size_t bucket, uint64_t more)
{
    struct sse_registry_stats after = stats();

    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; i++)
        assert_int_equal(after.latency[i], before->latency[i] + (i == bucket ? more : 0));
}

static void let_time_pass(struct fake_sink *sink, void *user)
{
    (void)sink;
    atomic_fetch_add(&host.now, *(uint64_t *)user);
}

static const struct {
    uint64_t nanoseconds;
    size_t bucket;
} times[] = {
    {0, 0},
    {1, 1},
    {2, 2},
    {3, 2},
    {4, 3},
    {7, 3},
    {8, 4},
    {1023, 10},
    {1024, 11},
    {1000000, 20},
    {UINT64_C(1) << 40, 41},
    {(UINT64_C(1) << 62) - 1, 62},
    {UINT64_C(1) << 62, 63},
    {(UINT64_C(1) << 63) + 5, 63},
};

/* From the publish until the sink has taken the last byte, while the publisher waits for it. */
static void the_time_of_a_direct_write(void **state)
{
    uint64_t nanoseconds;

    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        struct sse_registry_stats before = stats();

        join(0, SIZE_MAX)->sink.on_write = let_time_pass;
        clients[0].sink.user = &nanoseconds;
        nanoseconds = times[i].nanoseconds;
        atomic_store(&host.now, 1000);
        assert_int_equal(publish("1").written, 1);
        expect_bucket(&before, times[i].bucket, 1);
    }
}

/* Or until it was flushed or pulled, whoever did that. */
static void the_time_of_a_delivery_that_waited(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        struct sse_registry_stats before;

        join(0, 0);
        enter(prepare(1, SSE_DRAIN_PULL));
        before = stats();
        atomic_store(&host.now, 1000);
        assert_int_equal(publish("1").queued, 2);
        expect_bucket(&before, 0, 0);
        atomic_fetch_add(&host.now, times[i].nanoseconds);
        fake_client_make_room(&clients[0], SIZE_MAX);
        expect_bucket(&before, times[i].bucket, 1);
        assert_int_equal(fake_client_pull(&clients[1]), 0);
        expect_bucket(&before, times[i].bucket, 2);
    }
}

/* How old a replay is says nothing of how fast deliveries are. */
static void replays_have_no_time(void **state)
{
    struct sse_registry_stats before;

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 9}});
    (void)publish("1");
    (void)publish("2");
    fake_host_advance_ms(&host, 5000);
    before = stats();
    fake_client_open(prepare(0, SSE_DRAIN_PULL));
    assert_int_equal(subscribe(0, "t", "E-0000000000000000"), 0);
    atomic_store(&host.now, 1000);
    (void)publish("3");
    atomic_fetch_add(&host.now, 4);
    assert_int_equal(fake_client_pull(&clients[0]), 0);
    assert_int_equal(stats().written, before.written + 3);
    expect_bucket(&before, 3, 1);
    (void)publish("4");
    atomic_fetch_add(&host.now, 4);
    assert_int_equal(fake_client_pull(&clients[0]), 0);
    expect_bucket(&before, 3, 2);
}

/* A batch is one delivery; what was not published, or not written whole, is none. */
static void every_delivery_has_one_time(void **state)
{
    const struct sse_event batch[] = {{.data = sse_str("a")}, {.data = sse_str("b")}};
    uint64_t sum = 0, nanoseconds = 100;
    struct sse_message *message;
    unsigned left = 3;

    (void)state;
    prepare(0, SSE_DRAIN_CALLBACK)->options.head = sse_str("HEAD");
    clients[0].options.retry_ms = 5;
    enter(&clients[0])->sink.on_write = let_time_pass;
    clients[0].sink.user = &nanoseconds;
    join(1, 5);
    enter(prepare(2, SSE_DRAIN_PULL))->act = publish_again;
    clients[2].act_user = &left;
    join(3, SIZE_MAX);
    assert_int_equal(fake_client_pull(&clients[2]), 0);
    assert_int_equal(sse_emitter_send(clients[0].emitter, &batch[0]), 0);
    assert_int_equal(sse_message_new(&message, batch, COUNT(batch), &host.host), 0);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, NULL), 0);
    sse_message_unref(message);
    (void)fake_client_pull(&clients[2]);
    (void)publish("again");
    (void)fake_client_pull(&clients[2]);
    fake_client_make_room(&clients[1], 20);
    assert_int_equal(sse_emitter_complete_with_error(clients[1].emitter, -EPIPE), 0);
    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; i++)
        sum += stats().latency[i];
    /* Of five publishes, 0, 2 and 3 received all, and 1 the batch. */
    assert_int_equal(stats().published, 4);
    assert_int_equal(fake_client_info(&clients[1]).events, 2);
    assert_int_equal(sum, 3 * 4 + 1);
}

/* A clock that goes back, which it should not, harms no count. */
static void a_clock_that_goes_back(void **state)
{
    struct sse_registry_stats before;

    (void)state;
    join(0, 0);
    before = stats();
    (void)publish("1");
    atomic_fetch_sub(&host.now, 500);
    fake_client_make_room(&clients[0], SIZE_MAX);
    expect_bucket(&before, 0, 1);
}

static void use_traced_registry(struct sse_registry_options options)
{
    options.on_trace = on_trace;
    options.user = steps;
    use_registry(options);
}

static void expect_steps(const char *expected)
{
    assert_string_equal(steps, expected);
    memset(steps, 0, sizeof(steps));
}

static void every_step_is_traced(void **state)
{
    const struct sse_str topic = sse_str("t");

    (void)state;
    use_traced_registry((struct sse_registry_options){.history = {.events = 2}, .backlog_bytes = 80});
    fake_client_open(prepare(0, SSE_DRAIN_CALLBACK));
    assert_int_equal(sse_registry_add(registry, clients[0].emitter), 0);
    expect_steps("a0");
    assert_int_equal(subscribe(0, "t", NULL), 0);
    expect_steps("s0");
    (void)publish("1");
    (void)publish("2");
    (void)publish("3");
    expect_steps("");
    fake_client_open(prepare(1, SSE_DRAIN_CALLBACK));
    assert_int_equal(subscribe(1, "t", "E-0000000000000002"), 0);
    expect_steps("a1s1r1");
    fake_client_open(prepare(2, SSE_DRAIN_CALLBACK));
    assert_int_equal(subscribe(2, "t", "E-0000000000000001"), 0);
    expect_steps("a2s2r2");
    fake_client_open(prepare(3, SSE_DRAIN_CALLBACK));
    assert_int_equal(subscribe(3, "t", "E-0000000000000000"), 0);
    expect_steps("a3s3g3r3");
    fake_client_open(prepare(4, SSE_DRAIN_CALLBACK));
    assert_int_equal(subscribe(4, "t", "unknown"), 0);
    expect_steps("a4s4g4");
    assert_int_equal(subscribe(4, "u", NULL), 0);
    expect_steps("s4");
    assert_int_equal(sse_registry_unsubscribe(registry, clients[4].emitter, &topic, 1), 0);
    expect_steps("");
    assert_int_equal(sse_registry_remove(registry, clients[4].emitter), 0);
    expect_steps("x4");
    assert_int_equal(sse_registry_remove(registry, clients[4].emitter), -ENOENT);
    assert_int_equal(sse_emitter_complete(clients[4].emitter), 0);
    expect_steps("");
    assert_int_equal(sse_emitter_complete(clients[3].emitter), 0);
    assert_int_equal(sse_emitter_complete_with_error(clients[2].emitter, -EPIPE), 0);
    expect_steps("e3e2");
    clients[1].sink.room = 0;
    (void)publish("a text of more than a half");
    (void)publish("a text of more than a half");
    expect_steps("v1e1");
}

/* Nothing happened, so there is nothing to tell. */
static void failures_are_not_traced(void **state)
{
    (void)state;
    use_traced_registry((struct sse_registry_options){.emitters_max = 1, .topic_emitters_max = 1});
    fake_client_open(prepare(0, SSE_DRAIN_CALLBACK));
    fake_client_open(prepare(1, SSE_DRAIN_CALLBACK));
    fake_host_fail_at(&host, 1, true);
    assert_int_equal(subscribe(0, "t", "unknown"), -ENOMEM);
    fake_host_fail_at(&host, 0, false);
    assert_int_equal(subscribe(0, "", NULL), -EINVAL);
    expect_steps("");
    assert_int_equal(subscribe(0, "t", NULL), 0);
    assert_int_equal(subscribe(1, "t", NULL), -EAGAIN);
    assert_int_equal(sse_registry_add(registry, clients[0].emitter), -EALREADY);
    expect_steps("a0s0");
    assert_int_equal(stats().refused, 1);
}

/* Overflow may drop the end of a replay, and what follows it is live all the same. */
static void what_follows_a_dropped_replay_has_a_time(void **state)
{
    struct sse_registry_stats before;
    struct fake_client *client = prepare(0, SSE_DRAIN_CALLBACK);

    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 9}});
    (void)publish("1");
    (void)publish("2");
    before = stats();
    client->options.overflow = SSE_OVERFLOW_DROP_OLDEST;
    client->options.queue_messages = 2;
    client->sink.room = 0;
    fake_client_open(client);
    assert_int_equal(subscribe(0, "t", "E-0000000000000000"), 0);
    (void)publish("3");
    (void)publish("4");
    atomic_fetch_add(&host.now, 4);
    fake_client_make_room(client, strlen("data: 3\nid: E-0000000000000003\n\n"));
    assert_int_equal(fake_client_info(client).events, 1);
    expect_bucket(&before, 3, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_registry_counts_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_there_at_present, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_is_counted_in_events_and_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(publishes_are_counted_wherever_they_come_from, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dropped_is_what_never_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_event_of_a_torn_batch_is_counted_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replays_and_gaps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_reason_has_its_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_that_were_removed_are_not_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_time_of_a_direct_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replays_have_no_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_time_of_a_delivery_that_waited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_delivery_has_one_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clock_that_goes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_step_is_traced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_are_not_traced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_follows_a_dropped_replay_has_a_time, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
