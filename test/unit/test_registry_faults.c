/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_host.h"
#include "fake_sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* More than a publish notes on its stack. */
#define CLIENT_COUNT 20
#define ABSENT ((struct sse_str){.ptr = NULL})

struct client {
    struct fake_host own; /* for a client that runs short of memory alone */
    struct fake_sink sink;
    struct sse_emitter *emitter;
    int completions;
    enum sse_reason reason;
    int error;
};

static struct fake_host fake;
static struct sse_registry *registry;
static struct client clients[CLIENT_COUNT];

static ssize_t take(void *user, const struct iovec *iov, int count)
{
    return fake_sink_write(&((struct client *)user)->sink, iov, count);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;

    (void)emitter;
    client->completions++;
    client->reason = completion->reason;
    client->error = completion->error;
}

static struct sse_emitter_options options_for(struct client *client, enum sse_drain drain)
{
    fake_sink_free(&client->sink);
    client->completions = 0;
    return (struct sse_emitter_options){
        .size = sizeof(struct sse_emitter_options),
        .host = &fake.host,
        .drain = drain,
        .write = take,
        .on_completion = on_completion,
        .user = client,
    };
}

static struct client *start_with(size_t index, const struct sse_emitter_options *options)
{
    assert_int_equal(sse_emitter_new(&clients[index].emitter, options), 0);
    return &clients[index];
}

static struct client *start(size_t index, enum sse_drain drain)
{
    struct sse_emitter_options options = options_for(&clients[index], drain);

    return start_with(index, &options);
}

static void leave(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    client->emitter = NULL;
    sse_emitter_unref(emitter);
}

static int setup(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &fake.host};

    (void)state;
    fake_host_init(&fake);
    memset(clients, 0, sizeof(clients));
    registry = NULL;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        leave(&clients[i]);
        fake_sink_free(&clients[i].sink);
    }
    sse_registry_unref(registry);
    fake_host_check_no_leak(&fake);
    return 0;
}

static int subscribe_to(struct sse_registry *to, struct client *client, const char *topic)
{
    const struct sse_str name = sse_str(topic);

    return sse_registry_subscribe(to, client->emitter, &name, 1, ABSENT, NULL);
}

static struct sse_delivery publish(const char *topic, const char *data)
{
    const struct sse_event event = {.data = sse_str(data)};
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    assert_int_equal(sse_registry_publish(registry, sse_str(topic), &event, &delivery), 0);
    return delivery;
}

static void expect_delivery(struct sse_delivery delivery, size_t written, size_t queued, size_t closed)
{
    assert_int_equal(delivery.written, written);
    assert_int_equal(delivery.queued, queued);
    assert_int_equal(delivery.dropped, 0);
    assert_int_equal(delivery.closed, closed);
}

/* How much an event costs, however many receive it. */
static void test_allocations(void **state)
{
    struct sse_emitter *many[200];
    struct sse_emitter_options options = options_for(&clients[0], SSE_DRAIN_CALLBACK);
    const struct sse_event event = {.data = sse_str("x")};
    const struct sse_str topic = sse_str("t");
    struct sse_message *message;

    (void)state;
    assert_int_equal(sse_message_new(&message, &event, 1, &fake.host), 0);
    for (size_t i = 0; i < 200; i++) {
        size_t before;

        assert_int_equal(sse_emitter_new(&many[i], &options), 0);
        assert_int_equal(sse_registry_subscribe(registry, many[i], &topic, 1, ABSENT, NULL), 0);
        (void)publish("t", "the list of receivers has grown");
        before = fake.allocations;
        expect_delivery(publish("t", "x"), i + 1, 0, 0);
        assert_int_equal(fake.allocations, before + 1);
        assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
        assert_int_equal(fake.allocations, before + 2);
        assert_int_equal(sse_registry_broadcast_message(registry, message, NULL), 0);
        assert_int_equal(sse_registry_publish_message(registry, topic, message, NULL), 0);
        assert_int_equal(fake.allocations, before + 2);
    }
    for (size_t i = 0; i < 200; i++)
        sse_emitter_unref(many[i]);
    assert_int_equal(sse_registry_count(registry, topic), 200);
    sse_registry_unref(registry);
    registry = NULL;
    assert_int_equal(clients[0].completions, 200);
    sse_message_unref(message);
}

/* A steady stream to clients that take it in time needs no memory at all. */
static void test_steady_pull_needs_no_memory(void **state)
{
    const struct sse_event event = {.data = sse_str("x")};
    struct sse_message *message;
    char buffer[64];
    size_t before = 0;

    (void)state;
    assert_int_equal(sse_message_new(&message, &event, 1, &fake.host), 0);
    for (size_t i = 0; i < CLIENT_COUNT; i++)
        assert_int_equal(subscribe_to(registry, start(i, SSE_DRAIN_PULL), "t"), 0);
    for (int round = 0; round < 100; round++) {
        assert_int_equal(sse_registry_broadcast_message(registry, message, NULL), 0);
        if (!round)
            before = fake.allocations;
        for (size_t i = 0; i < CLIENT_COUNT; i++)
            assert_int_equal(sse_emitter_read(clients[i].emitter, buffer, sizeof(buffer)), 9);
    }
    assert_int_equal(fake.allocations, before);
    sse_message_unref(message);
}

/* What a call that fails may not change. */
struct picture {
    size_t members;
    size_t subscribers;
    size_t new_subscribers;
};

static struct picture picture;

static struct picture take_picture(void)
{
    return (struct picture){
        .members = sse_registry_count(registry, ABSENT),
        .subscribers = sse_registry_count(registry, sse_str("a")),
        .new_subscribers =
            sse_registry_count(registry, sse_str("x")) + sse_registry_count(registry, sse_str("y")),
    };
}

/* Whether a call is to be made again: it had no memory, and has changed nothing. */
static bool again(int error)
{
    struct picture now = take_picture();

    if (error != -ENOMEM) {
        assert_int_equal(error, 0);
        picture = now;
        return false;
    }
    assert_int_equal(now.members, picture.members);
    assert_int_equal(now.subscribers, picture.subscribers);
    assert_int_equal(now.new_subscribers, picture.new_subscribers);
    return !fake.fail_from_there_on;
}

static int count_visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    (*(size_t *)user)++;
    return 0;
}

/* An emitter that a publish could not give its event has ended; all others have it. */
static void check_delivery(struct sse_delivery delivery, size_t subscribers)
{
    size_t closed = 0;

    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        if (clients[i].completions) {
            assert_int_equal(clients[i].reason, SSE_REASON_OVERFLOW);
            assert_int_equal(clients[i].error, -ENOMEM);
            clients[i].completions = 0;
            leave(&clients[i]);
            closed++;
        }
    }
    assert_int_equal(delivery.closed, closed);
    assert_int_equal(delivery.written + delivery.queued + delivery.closed, subscribers);
}

static int publish_often(struct sse_registry *to, const char *topic)
{
    const struct sse_event event = {.id = sse_str("7"), .data = sse_str("x")};
    int error = 0;

    for (int i = 0; !error && i < 12; i++) {
        struct sse_delivery delivery = {.size = sizeof(delivery)};
        size_t subscribers = sse_registry_count(to, sse_str(topic));

        do
            error = sse_registry_publish(to, sse_str(topic), &event, &delivery);
        while (again(error));
        if (!error)
            check_delivery(delivery, subscribers);
    }
    return error;
}

static int make_registry(struct sse_registry **made)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &fake.host};
    int error;

    do
        error = sse_registry_new(made, &options);
    while (again(error));
    return error;
}

/* A third of the clients pull, and another does not take what is sent. */
static int make_client(size_t index)
{
    struct sse_emitter_options options = options_for(&clients[index], SSE_DRAIN_CALLBACK);
    int error;

    if (index % 3 == 0)
        options.drain = SSE_DRAIN_PULL;
    do
        error = sse_emitter_new(&clients[index].emitter, &options);
    while (again(error));
    if (index % 3 == 1)
        clients[index].sink.room = 0;
    return error;
}

static int join(struct sse_registry *to, size_t index)
{
    static const struct sse_str topics[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"a", 1}};
    int error;

    do
        error = sse_registry_subscribe(to, clients[index].emitter, topics, index % 5, ABSENT, NULL);
    while (again(error));
    return error;
}

/* A member that has subscriptions already. */
static int join_more(size_t index)
{
    static const struct sse_str topics[] = {{"x", 1}, {"a", 1}, {"y", 1}};
    int error;

    do
        error = sse_registry_subscribe(registry, clients[index].emitter, topics, 3, ABSENT, NULL);
    while (again(error));
    return error;
}

static int add(struct sse_registry *to, size_t index)
{
    int error;

    do
        error = sse_registry_add(to, clients[index].emitter);
    while (again(error));
    return error;
}

static int walk(void)
{
    size_t visits = 0;
    int error;

    do
        error = sse_registry_each(registry, ABSENT, count_visit, &visits);
    while (again(error));
    assert_int_equal(visits, error ? 0 : sse_registry_count(registry, ABSENT));
    return error;
}

/* Two registries. An error means that there is no memory any more. */
static int scenario(struct sse_registry **second)
{
    int error = make_registry(&registry);

    if (!error)
        error = make_registry(second);
    for (size_t i = 0; !error && i < CLIENT_COUNT; i++) {
        error = make_client(i);
        if (!error && i % 5 == 0)
            error = add(i < 10 ? registry : *second, i);
        else if (!error)
            error = join(i < 10 ? registry : *second, i);
    }
    for (size_t i = 1; !error && i < 5; i++)
        error = join_more(i);
    if (!error)
        error = publish_often(registry, "a");
    if (!error)
        error = publish_often(*second, "a");
    return error ? error : walk();
}

static void run_scenario(size_t nth, bool for_good, bool *failed)
{
    struct sse_registry *second = NULL;

    fake_host_init(&fake);
    memset(clients, 0, sizeof(clients));
    registry = NULL;
    fake_host_fail_at(&fake, nth, for_good);
    picture = take_picture();
    assert_true(scenario(&second) == 0 || for_good);
    *failed = fake.attempts >= nth;
    /* What needs no memory works without any. */
    assert_true(!registry || sse_registry_tick(registry) == 0);
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        if (registry && clients[i].emitter && i % 2)
            (void)sse_registry_remove(registry, clients[i].emitter);
    }
    sse_registry_unref(second);
    (void)teardown(NULL);
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    for (int for_good = 0; for_good < 2; for_good++) {
        bool failed = true;
        size_t nth;

        for (nth = 1; failed; nth++)
            run_scenario(nth, for_good, &failed);
        assert_true(nth > 50);
    }
}

static void test_each_without_memory(void **state)
{
    size_t visits = 0;

    (void)state;
    assert_int_equal(subscribe_to(registry, start(0, SSE_DRAIN_CALLBACK), "t"), 0);
    fake_host_fail_at(&fake, 1, true);
    assert_int_equal(sse_registry_each(registry, ABSENT, count_visit, &visits), -ENOMEM);
    fake_host_fail_at(&fake, 0, false);
    assert_int_equal(visits, 0);
}

/* Nothing is sent if the event cannot be made, or its receivers not be noted. */
static void test_publish_without_memory(void **state)
{
    const struct sse_event event = {.data = sse_str("x")};
    struct sse_delivery delivery = {.size = sizeof(delivery), .queued = 77};

    (void)state;
    for (size_t i = 0; i < CLIENT_COUNT; i++)
        assert_int_equal(subscribe_to(registry, start(i, SSE_DRAIN_CALLBACK), "t"), 0);
    for (size_t nth = 1; nth <= 2; nth++) {
        fake_host_fail_at(&fake, nth, false);
        assert_int_equal(sse_registry_publish(registry, sse_str("t"), &event, &delivery), -ENOMEM);
        assert_int_equal(delivery.queued, 77);
        assert_int_equal(clients[0].sink.calls, 0);
    }
    fake_host_fail_at(&fake, 0, false);
    expect_delivery(publish("t", "x"), CLIENT_COUNT, 0, 0);
    assert_int_equal(clients[0].sink.size, 9);
}

/* Each client has memory of its own; that of one is at its end when its queue has to grow. */
static void test_one_receiver_without_memory(void **state)
{
    (void)state;
    for (size_t unlucky = 0; unlucky < CLIENT_COUNT; unlucky++) {
        for (size_t i = 0; i < CLIENT_COUNT; i++) {
            struct sse_emitter_options options = options_for(&clients[i], SSE_DRAIN_CALLBACK);

            fake_host_init(&clients[i].own);
            options.host = &clients[i].own.host;
            assert_int_equal(subscribe_to(registry, start_with(i, &options), "t"), 0);
            clients[i].sink.room = 0;
        }
        expect_delivery(publish("t", "1"), 0, CLIENT_COUNT, 0);
        fake_host_fail_at(&clients[unlucky].own, 1, true);
        expect_delivery(publish("t", "2"), 0, CLIENT_COUNT - 1, 1);
        for (size_t i = 0; i < CLIENT_COUNT; i++) {
            assert_int_equal(clients[i].completions, i == unlucky);
            clients[i].sink.room = SIZE_MAX;
            assert_int_equal(sse_emitter_flush(clients[i].emitter), i == unlucky ? -ENOMEM : 0);
            assert_int_equal(clients[i].sink.size, i == unlucky ? 0 : 18);
        }
        assert_int_equal(clients[unlucky].reason, SSE_REASON_OVERFLOW);
        assert_int_equal(clients[unlucky].error, -ENOMEM);
        for (size_t i = 0; i < CLIENT_COUNT; i++) {
            (void)sse_registry_remove(registry, clients[i].emitter);
            leave(&clients[i]);
            fake_host_check_no_leak(&clients[i].own);
        }
    }
}

static void test_one_dead_sink(void **state)
{
    static const int errors[] = {-EPIPE, -ECONNRESET, -EIO, -ENOSPC, -ETIMEDOUT};

    (void)state;
    for (size_t dead = 0; dead < CLIENT_COUNT; dead++) {
        int error = errors[dead % 5];

        for (size_t i = 0; i < CLIENT_COUNT; i++)
            assert_int_equal(subscribe_to(registry, start(i, SSE_DRAIN_CALLBACK), "t"), 0);
        clients[dead].sink.error_at = dead % 9;
        clients[dead].sink.error = error;
        expect_delivery(publish("t", "1"), CLIENT_COUNT - 1, 0, 1);
        expect_delivery(publish("t", "2"), CLIENT_COUNT - 1, 0, 0);
        assert_int_equal(clients[dead].reason, error == -EPIPE || error == -ECONNRESET ? SSE_REASON_PEER_GONE
                                                                                       : SSE_REASON_IO_ERROR);
        assert_int_equal(clients[dead].error, error);
        for (size_t i = 0; i < CLIENT_COUNT; i++) {
            assert_int_equal(clients[i].completions, i == dead);
            assert_int_equal(clients[i].sink.size, i == dead ? dead % 9 : 18);
            (void)sse_registry_remove(registry, clients[i].emitter);
            leave(&clients[i]);
        }
    }
}

#define STUCK_BYTES ((size_t)256 << 10)
#define EVENTS 20000

static void test_stuck_client_costs_what_its_queue_may_hold(void **state)
{
    struct sse_emitter_options options = options_for(&clients[0], SSE_DRAIN_CALLBACK);
    char data[1001];
    size_t before, most = 0, queued = 0;

    (void)state;
    memset(data, 'x', sizeof(data));
    data[1000] = '\0';
    options.queue_bytes = STUCK_BYTES;
    assert_int_equal(subscribe_to(registry, start_with(0, &options), "t"), 0);
    clients[0].sink.room = 100;
    for (size_t i = 1; i < CLIENT_COUNT; i++)
        assert_int_equal(subscribe_to(registry, start(i, SSE_DRAIN_CALLBACK), "t"), 0);
    before = fake.bytes;
    for (int i = 0; i < EVENTS; i++) {
        struct sse_delivery delivery = publish("t", data);

        assert_int_equal(delivery.written, CLIENT_COUNT - 1);
        queued += delivery.queued;
        most = fake.bytes > most ? fake.bytes : most;
        for (size_t j = 1; j < CLIENT_COUNT; j++) {
            assert_int_equal(clients[j].sink.size, 1008);
            clients[j].sink.size = 0;
        }
    }
    /* What an event costs beside its bytes is small against these. */
    assert_true(most - before <= STUCK_BYTES + STUCK_BYTES / 5);
    assert_true(most - before >= STUCK_BYTES - 1008);
    assert_int_equal(queued, (STUCK_BYTES + 100) / 1008);
    assert_int_equal(clients[0].reason, SSE_REASON_OVERFLOW);
    assert_int_equal(clients[0].error, -ENOBUFS);
    assert_int_equal(clients[0].sink.size, 100);
    leave(&clients[0]);
    assert_true(fake.bytes <= before);
}

/* A client that never reads is ended by its timer, and others go on. */
static void test_stuck_client_stalls(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(subscribe_to(registry, start(i, SSE_DRAIN_CALLBACK), "t"), 0);
    clients[1].sink.room = 5;
    for (int seconds = 0; seconds < 40; seconds++) {
        expect_delivery(publish("t", "x"), 2, seconds < 30, 0);
        fake_host_advance_ms(&fake, 1000);
        assert_int_equal(sse_registry_tick(registry), 0);
        assert_int_equal(clients[1].completions, seconds >= 29);
    }
    assert_int_equal(clients[1].reason, SSE_REASON_STALL);
    assert_int_equal(clients[1].sink.size, 5);
    assert_int_equal(clients[0].sink.size, 40 * 9);
}

#define FAULT_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_allocations),
        FAULT_TEST(test_steady_pull_needs_no_memory),
        cmocka_unit_test(test_every_allocation_fails),
        FAULT_TEST(test_each_without_memory),
        FAULT_TEST(test_publish_without_memory),
        FAULT_TEST(test_one_receiver_without_memory),
        FAULT_TEST(test_one_dead_sink),
        FAULT_TEST(test_stuck_client_costs_what_its_queue_may_hold),
        FAULT_TEST(test_stuck_client_stalls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
