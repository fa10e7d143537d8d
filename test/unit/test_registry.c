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

#define CLIENT_COUNT 10
#define ABSENT ((struct sse_str){.ptr = NULL})

struct client {
    struct fake_sink sink;
    struct sse_emitter *emitter;
    int completions;
    enum sse_reason reason;
    int error;
    void (*on_completion)(struct client *client);
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
    if (client->on_completion)
        client->on_completion(client);
}

static struct sse_emitter_options options_for(struct client *client, enum sse_drain drain)
{
    fake_sink_init(&client->sink);
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
    struct client *client = &clients[index];

    assert_int_equal(sse_emitter_new(&client->emitter, options), 0);
    return client;
}

static struct client *start(size_t index, enum sse_drain drain)
{
    struct sse_emitter_options options = options_for(&clients[index], drain);

    return start_with(index, &options);
}

/* Gives the test's reference back. */
static void leave(struct client *client)
{
    sse_emitter_unref(client->emitter);
    client->emitter = NULL;
}

static int setup(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .host = &fake.host};

    (void)state;
    fake_host_init(&fake);
    memset(clients, 0, sizeof(clients));
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

static int subscribe(struct client *client, const char *topic)
{
    struct sse_str topics = sse_str(topic);

    return sse_registry_subscribe(registry, client->emitter, &topics, 1, ABSENT, NULL);
}

static struct sse_event event_of(const char *data)
{
    return (struct sse_event){.data = sse_str(data)};
}

static struct sse_delivery publish(const char *topic, const char *data)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct sse_event event = event_of(data);

    if (topic)
        assert_int_equal(sse_registry_publish(registry, sse_str(topic), &event, &delivery), 0);
    else
        assert_int_equal(sse_registry_broadcast(registry, &event, &delivery), 0);
    return delivery;
}

static void expect_delivery(struct sse_delivery delivery, size_t written, size_t queued, size_t closed)
{
    assert_int_equal(delivery.written, written);
    assert_int_equal(delivery.queued, queued);
    assert_int_equal(delivery.dropped, 0);
    assert_int_equal(delivery.closed, closed);
}

static void expect_bytes(const struct client *client, const char *bytes)
{
    assert_int_equal(client->sink.size, strlen(bytes));
    if (*bytes)
        assert_memory_equal(client->sink.bytes, bytes, strlen(bytes));
}

static size_t count_of(const char *topic)
{
    return sse_registry_count(registry, sse_str(topic));
}

static int visit_nobody(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    (void)user;
    return 7;
}

static void test_arguments(void **state)
{
    struct sse_registry *made = NULL;
    struct sse_registry_options bad_size = {.size = 1};
    const struct sse_host bad_host = {.size = 1};
    struct sse_registry_options bad = {.size = sizeof(bad), .host = &bad_host};
    struct sse_emitter *emitter = start(0, SSE_DRAIN_CALLBACK)->emitter;
    struct sse_str topic = sse_str("t");
    struct sse_event event = event_of("x");
    struct sse_message *message;

    (void)state;
    assert_int_equal(sse_registry_new(NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_new(&made, &bad_size), -EINVAL);
    assert_int_equal(sse_registry_new(&made, &bad), -EINVAL);
    assert_null(made);
    assert_int_equal(sse_registry_new(&made, NULL), 0);
    assert_ptr_equal(sse_registry_ref(made), made);
    sse_registry_unref(made);
    sse_registry_unref(made);
    assert_null(sse_registry_ref(NULL));
    sse_registry_unref(NULL);
    assert_int_equal(sse_message_new(&message, &event, 1, NULL), 0);
    assert_int_equal(sse_registry_add(NULL, emitter), -EINVAL);
    assert_int_equal(sse_registry_add(registry, NULL), -EINVAL);
    assert_int_equal(sse_registry_remove(NULL, emitter), -EINVAL);
    assert_int_equal(sse_registry_remove(registry, NULL), -EINVAL);
    assert_int_equal(sse_registry_subscribe(NULL, emitter, &topic, 1, ABSENT, NULL), -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, NULL, &topic, 1, ABSENT, NULL), -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, emitter, NULL, 1, ABSENT, NULL), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(NULL, emitter, &topic, 1), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(registry, NULL, &topic, 1), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(registry, emitter, NULL, 1), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(registry, emitter, &topic, 0), -EINVAL);
    assert_int_equal(sse_registry_publish(NULL, topic, &event, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish(registry, topic, NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish(registry, ABSENT, &event, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish(registry, sse_str(""), &event, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish_message(NULL, topic, message, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish_message(registry, topic, NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish_message(registry, sse_str(""), message, NULL), -EINVAL);
    assert_int_equal(sse_registry_broadcast(NULL, &event, NULL), -EINVAL);
    assert_int_equal(sse_registry_broadcast(registry, NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_broadcast_message(NULL, message, NULL), -EINVAL);
    assert_int_equal(sse_registry_broadcast_message(registry, NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_each(NULL, ABSENT, visit_nobody, NULL), -EINVAL);
    assert_int_equal(sse_registry_each(registry, ABSENT, NULL, NULL), -EINVAL);
    assert_int_equal(sse_registry_each(registry, sse_str(""), visit_nobody, NULL), -EINVAL);
    assert_int_equal(sse_registry_next_timeout(NULL), -EINVAL);
    assert_int_equal(sse_registry_tick(NULL), -EINVAL);
    assert_int_equal(sse_registry_count(NULL, ABSENT), 0);
    assert_null(sse_registry_next_ready(NULL));
    assert_int_equal(count_of(NULL), 0);
    sse_message_unref(message);
}

static void test_membership(void **state)
{
    struct client *client = start(0, SSE_DRAIN_CALLBACK);
    struct sse_registry *other;
    struct sse_str topic = sse_str("t");

    (void)state;
    assert_int_equal(sse_registry_new(&other, NULL), 0);
    assert_int_equal(sse_registry_remove(registry, client->emitter), -ENOENT);
    assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, &topic, 1), -ENOENT);
    assert_int_equal(sse_registry_add(registry, client->emitter), 0);
    assert_int_equal(count_of(NULL), 1);
    assert_int_equal(sse_registry_add(registry, client->emitter), -EALREADY);
    assert_int_equal(sse_registry_add(other, client->emitter), -EBUSY);
    assert_int_equal(sse_registry_subscribe(other, client->emitter, &topic, 1, ABSENT, NULL), -EBUSY);
    assert_int_equal(sse_registry_remove(other, client->emitter), -ENOENT);
    assert_int_equal(sse_registry_unsubscribe(other, client->emitter, &topic, 1), -ENOENT);
    assert_int_equal(sse_registry_count(other, topic), 0);
    assert_int_equal(subscribe(client, "t"), 0);
    assert_int_equal(sse_registry_remove(registry, client->emitter), 0);
    assert_int_equal(sse_registry_remove(registry, client->emitter), -ENOENT);
    assert_int_equal(count_of(NULL), 0);
    assert_int_equal(count_of("t"), 0);
    assert_int_equal(sse_registry_add(other, client->emitter), 0);
    sse_registry_unref(other);
    assert_int_equal(sse_registry_add(registry, client->emitter), 0);
    assert_int_equal(client->completions, 0);
}

static void test_ended_emitters_are_refused_and_forgotten(void **state)
{
    struct client *completed = start(0, SSE_DRAIN_CALLBACK), *failed = start(1, SSE_DRAIN_CALLBACK);
    struct client *draining = start(2, SSE_DRAIN_PULL);

    (void)state;
    assert_int_equal(subscribe(completed, "t"), 0);
    assert_int_equal(subscribe(failed, "t"), 0);
    assert_int_equal(sse_emitter_complete(completed->emitter), 0);
    assert_int_equal(count_of("t"), 1);
    assert_int_equal(sse_emitter_complete_with_error(failed->emitter, -EIO), 0);
    assert_int_equal(count_of("t"), 0);
    assert_int_equal(count_of(NULL), 0);
    assert_int_equal(sse_registry_remove(registry, failed->emitter), -ENOENT);
    assert_int_equal(sse_registry_add(registry, completed->emitter), -ESHUTDOWN);
    assert_int_equal(subscribe(failed, "t"), -EIO);
    assert_int_equal(sse_emitter_send(draining->emitter, &(struct sse_event){.data = sse_str("x")}), 0);
    assert_int_equal(sse_emitter_complete(draining->emitter), 0);
    assert_int_equal(subscribe(draining, "t"), -ESHUTDOWN);
    assert_int_equal(count_of(NULL), 0);
}

/* Topics whose names run into one another, or hold any byte. */
static const struct sse_str odd_topics[] = {
    {"a", 1},  {"ab", 2},   {"abc", 3},  {"b", 1},    {"bc", 2},   {"c", 1},
    {"\0", 1}, {"\0\0", 2}, {"a\0b", 3}, {"a\0c", 3}, {"\xff", 1}, {"a\n", 2},
};
#define ODD_COUNT (sizeof(odd_topics) / sizeof(odd_topics[0]))

static void test_topic_names_are_kept_apart(void **state)
{
    struct client *client = start(0, SSE_DRAIN_CALLBACK);
    struct sse_event event = event_of("x");

    (void)state;
    for (size_t i = 0; i < ODD_COUNT; i++) {
        assert_int_equal(sse_registry_subscribe(registry, client->emitter, &odd_topics[i], 1, ABSENT, NULL),
                         0);
        for (size_t j = 0; j < ODD_COUNT; j++) {
            struct sse_delivery delivery = {.size = sizeof(delivery)};

            assert_int_equal(sse_registry_count(registry, odd_topics[j]), i == j);
            assert_int_equal(sse_registry_publish(registry, odd_topics[j], &event, &delivery), 0);
            assert_int_equal(delivery.written, i == j);
        }
        assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, &odd_topics[i], 1), 0);
    }
    assert_int_equal(count_of(NULL), 1);
}

static void test_topic_name_limits(void **state)
{
    static char name[SSE_TOPIC_SIZE_MAX + 1];
    const struct sse_str longest = {.ptr = name, .len = SSE_TOPIC_SIZE_MAX};
    const struct sse_str too_long = {.ptr = name, .len = SSE_TOPIC_SIZE_MAX + 1};
    const struct sse_str malformed = {.ptr = NULL, .len = 5};
    const struct sse_str last[] = {sse_str(""), too_long, ABSENT, malformed};
    const int errors[] = {-EINVAL, -EMSGSIZE, -EINVAL, -EINVAL};
    struct client *client = start(0, SSE_DRAIN_CALLBACK);
    struct sse_event event = event_of("x");

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct sse_str topics[] = {sse_str("good"), last[i]};

        assert_int_equal(sse_registry_subscribe(registry, client->emitter, topics, 2, ABSENT, NULL),
                         errors[i]);
        assert_int_equal(sse_registry_publish(registry, last[i], &event, NULL), errors[i]);
        assert_int_equal(count_of("good"), 0);
        assert_int_equal(count_of(NULL), 0);
    }
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, &longest, 1, malformed, NULL),
                     -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, &longest, 1, ABSENT, NULL), 0);
    assert_int_equal(sse_registry_count(registry, longest), 1);
    assert_int_equal(sse_registry_count(registry, too_long), 0);
    assert_int_equal(sse_registry_each(registry, too_long, visit_nobody, NULL), -EMSGSIZE);
    assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, last, 2), 0);
    assert_int_equal(sse_registry_count(registry, longest), 1);
}

/* A length without a pointer is refused everywhere, and is not taken for an absent text. */
static void test_malformed_topic_is_no_absent_topic(void **state)
{
    const struct sse_str malformed = {.ptr = NULL, .len = 5};
    struct client *client = start(0, SSE_DRAIN_CALLBACK);

    (void)state;
    assert_int_equal(subscribe(client, "t"), 0);
    assert_int_equal(sse_registry_count(registry, malformed), 0);
    assert_int_equal(sse_registry_each(registry, malformed, visit_nobody, NULL), -EINVAL);
    assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, &malformed, 1), -EINVAL);
    assert_int_equal(count_of("t"), 1);
}

static void test_subscriptions(void **state)
{
    const struct sse_str topics[] = {sse_str("a"), sse_str("b"), sse_str("a"), sse_str("c")};
    const struct sse_str some[] = {sse_str("b"), sse_str("unknown"), sse_str("b"), ABSENT, sse_str("")};
    struct client *client = start(0, SSE_DRAIN_CALLBACK);
    struct sse_replay replay = {.size = sizeof(replay), .outcome = SSE_REPLAY_GAP};

    (void)state;
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, topics, 4, ABSENT, &replay), 0);
    assert_int_equal(replay.outcome, SSE_REPLAY_NONE);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, topics, 4, sse_str("7"), &replay), 0);
    assert_int_equal(replay.outcome, SSE_REPLAY_GAP);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, topics, 1, sse_str(""), &replay), 0);
    assert_int_equal(replay.outcome, SSE_REPLAY_NONE);
    assert_int_equal(count_of("a"), 1);
    expect_delivery(publish("a", "1"), 1, 0, 0);
    expect_delivery(publish("b", "2"), 1, 0, 0);
    assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, some, 5), 0);
    expect_delivery(publish("b", "3"), 0, 0, 0);
    expect_delivery(publish("c", "4"), 1, 0, 0);
    expect_delivery(publish("unknown", "5"), 0, 0, 0);
    expect_delivery(publish(NULL, "6"), 1, 0, 0);
    expect_bytes(client, "data: 1\n\ndata: 2\n\ndata: 4\n\ndata: 6\n\n");
}

static void test_delivery_counts(void **state)
{
    struct sse_emitter_options small = options_for(&clients[5], SSE_DRAIN_CALLBACK);
    struct sse_emitter_options tiny = options_for(&clients[6], SSE_DRAIN_CALLBACK);
    struct sse_delivery unknown = {.size = sizeof(unknown) - 1, .closed = 77};
    struct sse_event event = event_of("x"), unsendable = {.type = sse_str("x")};

    (void)state;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(subscribe(start(i, i == 4 ? SSE_DRAIN_PULL : SSE_DRAIN_CALLBACK), "t"), 0);
    small.queue_messages = 1;
    tiny.queue_bytes = 8;
    assert_int_equal(subscribe(start_with(5, &small), "t"), 0);
    assert_int_equal(subscribe(start_with(6, &tiny), "t"), 0);
    clients[1].sink.room = 4;
    clients[2].sink.error_at = 0;
    clients[2].sink.error = -ECONNRESET;
    clients[5].sink.room = 0;
    assert_int_equal(sse_emitter_send(clients[5].emitter, &event), 0);

    assert_int_equal(sse_registry_publish(registry, sse_str("t"), &event, &unknown), -EINVAL);
    assert_int_equal(sse_registry_broadcast(registry, &event, &unknown), -EINVAL);
    assert_int_equal(unknown.closed, 77);
    assert_int_equal(sse_registry_publish(registry, sse_str("t"), &unsendable, NULL), -EINVAL);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(clients[i].sink.calls, i == 5 ? clients[5].sink.calls : 0);

    /* Written: 0, 3. Queued: 1 in part, 4. Closed: 2 by its sink, 5 and 6 by overflow. */
    expect_delivery(publish("t", "x"), 2, 2, 3);
    expect_bytes(&clients[1], "data");
    assert_int_equal(clients[2].reason, SSE_REASON_PEER_GONE);
    assert_int_equal(clients[2].error, -ECONNRESET);
    assert_int_equal(clients[5].reason, SSE_REASON_OVERFLOW);
    assert_int_equal(clients[5].error, -ENOBUFS);
    assert_int_equal(clients[6].reason, SSE_REASON_OVERFLOW);
    assert_int_equal(clients[6].error, -EMSGSIZE);
    assert_int_equal(count_of("t"), 4);
    expect_delivery(publish("t", "y"), 2, 2, 0);
    assert_null(sse_registry_next_ready(registry));
    assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
    for (size_t i = 0; i < CLIENT_COUNT; i++)
        assert_int_equal(clients[i].completions, i == 2 || i == 5 || i == 6);
}

static void remove_old(struct client *client)
{
    (void)sse_registry_remove(registry, client->emitter);
}

/* The user reconnects before the server notices that the old connection is gone. */
static void test_end_of_old_connection_leaves_new_one(void **state)
{
    struct client *old = start(0, SSE_DRAIN_CALLBACK), *replacement = start(1, SSE_DRAIN_CALLBACK);

    (void)state;
    old->on_completion = remove_old;
    assert_int_equal(subscribe(old, "user:7"), 0);
    assert_int_equal(subscribe(replacement, "user:7"), 0);
    old->sink.error_at = 0;
    old->sink.error = -EPIPE;
    expect_delivery(publish("user:7", "1"), 1, 0, 1);
    assert_int_equal(old->completions, 1);
    assert_int_equal(count_of("user:7"), 1);
    expect_delivery(publish("user:7", "2"), 1, 0, 0);
    expect_bytes(replacement, "data: 1\n\ndata: 2\n\n");
}

/* What the visitor does when it comes to client 1. */
static void (*deed)(void);
static size_t visits;

static int visit_and_act(struct sse_emitter *emitter, void *user)
{
    visits++;
    if (emitter == clients[1].emitter && deed)
        deed();
    return user && visits == *(size_t *)user ? -77 : 0;
}

static size_t walk(void (*what)(void), const char *topic)
{
    deed = what;
    visits = 0;
    assert_int_equal(sse_registry_each(registry, sse_str(topic), visit_and_act, NULL), 0);
    return visits;
}

static void add_another(void)
{
    assert_int_equal(subscribe(start(5, SSE_DRAIN_CALLBACK), "t"), 0);
}

static void remove_all_but_one(void)
{
    for (size_t i = 1; i < 6; i++)
        assert_int_equal(sse_registry_remove(registry, clients[i].emitter), 0);
}

static void end_and_free_all(void)
{
    for (size_t i = 0; i < 6; i++) {
        (void)sse_emitter_complete_with_error(clients[i].emitter, -EIO);
        leave(&clients[i]);
    }
}

static void test_each(void **state)
{
    size_t stop = 2;

    (void)state;
    assert_int_equal(walk(NULL, NULL), 0);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(subscribe(start(i, SSE_DRAIN_CALLBACK), i < 3 ? "t" : "u"), 0);
    assert_int_equal(walk(NULL, "t"), 3);
    assert_int_equal(walk(NULL, "nobody"), 0);
    visits = 0;
    assert_int_equal(sse_registry_each(registry, ABSENT, visit_and_act, &stop), -77);
    assert_int_equal(visits, 2);
    assert_int_equal(walk(add_another, NULL), 5);
    assert_int_equal(walk(NULL, NULL), 6);
    assert_int_equal(walk(remove_all_but_one, NULL), 6);
    assert_int_equal(walk(NULL, NULL), 1);
    for (size_t i = 1; i < 6; i++)
        assert_int_equal(subscribe(&clients[i], "t"), 0);
    assert_int_equal(walk(end_and_free_all, "t"), 6);
    assert_int_equal(walk(NULL, NULL), 0);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(clients[i].completions, 1);
}

#define HOSTILE_COUNT 100000

static struct sse_str hostile_topic(int number)
{
    static char name[32];
    int size = snprintf(name, sizeof(name), "%d", number);

    return (struct sse_str){.ptr = name, .len = (size_t)size};
}

static void test_a_hundred_thousand_topics(void **state)
{
    struct sse_emitter *many[100];
    struct sse_event event = event_of("x");

    (void)state;
    for (int i = 0; i < HOSTILE_COUNT; i++) {
        struct sse_str topic = hostile_topic(i);

        if (i < 100)
            many[i] = start(0, SSE_DRAIN_CALLBACK)->emitter;
        assert_int_equal(sse_registry_subscribe(registry, many[i % 100], &topic, 1, ABSENT, NULL), 0);
    }
    for (int i = 0; i < HOSTILE_COUNT; i++) {
        struct sse_delivery delivery = {.size = sizeof(delivery)};

        clients[0].sink.size = 0;
        assert_int_equal(sse_registry_publish(registry, hostile_topic(i), &event, &delivery), 0);
        expect_delivery(delivery, 1, 0, 0);
    }
    for (int i = 0; i < HOSTILE_COUNT; i++) {
        struct sse_str topic = hostile_topic(i);

        assert_int_equal(sse_registry_unsubscribe(registry, many[i % 100], &topic, 1), 0);
        assert_int_equal(sse_registry_count(registry, topic), 0);
    }
    for (int i = 1; i < 100; i++)
        sse_emitter_unref(many[i]);
    clients[0].emitter = many[0];
}

/* Subscribers of several topics at once see the events of all of them in one order. */
static void test_one_order_for_all(void **state)
{
    static const char *const topics[] = {"a", "b", "c"};
    char text[16];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(subscribe(start(i, SSE_DRAIN_CALLBACK), topics[i % 3]), 0);
        assert_int_equal(subscribe(&clients[i], "a"), 0);
        assert_int_equal(subscribe(&clients[i], "b"), 0);
        clients[i].sink.room = i == 3 ? 0 : SIZE_MAX;
    }
    assert_int_equal(subscribe(&clients[2], "c"), 0);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "%d", i);
        (void)publish(topics[i * 7 % 5 % 2], text);
    }
    clients[3].sink.room = SIZE_MAX;
    assert_int_equal(sse_emitter_flush(clients[3].emitter), 0);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(clients[i].sink.size, clients[0].sink.size);
        assert_memory_equal(clients[i].sink.bytes, clients[0].sink.bytes, clients[0].sink.size);
    }
    assert_int_equal(clients[0].sink.size, 10 * 9 + 90 * 10);
}

#define REGISTRY_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REGISTRY_TEST(test_arguments),
        REGISTRY_TEST(test_membership),
        REGISTRY_TEST(test_ended_emitters_are_refused_and_forgotten),
        REGISTRY_TEST(test_topic_names_are_kept_apart),
        REGISTRY_TEST(test_topic_name_limits),
        REGISTRY_TEST(test_malformed_topic_is_no_absent_topic),
        REGISTRY_TEST(test_subscriptions),
        REGISTRY_TEST(test_delivery_counts),
        REGISTRY_TEST(test_one_order_for_all),
        REGISTRY_TEST(test_end_of_old_connection_leaves_new_one),
        REGISTRY_TEST(test_each),
        REGISTRY_TEST(test_a_hundred_thousand_topics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
