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
#include <pthread.h>
#include <stdio.h>

#define CLIENT_COUNT 5
#define ABSENT ((struct sse_str){.ptr = NULL})

struct client {
    struct fake_sink sink;
    struct sse_emitter *emitter;
    int completions;
    enum sse_reason reason;
    int error;
};

static struct fake_host fake;
static struct sse_registry *registry;
static struct client clients[CLIENT_COUNT];
static int wakes;

/* Done once, in the hook that comes first. */
static void (*wake_deed)(void);
static void (*write_deed)(void);
static void (*timeout_deed)(void);
static void (*completion_deed)(void);

static void run(void (**deed)(void))
{
    void (*act)(void) = *deed;

    *deed = NULL;
    if (act)
        act();
}

static ssize_t take(void *user, const struct iovec *iov, int count)
{
    return fake_sink_write(&((struct client *)user)->sink, iov, count);
}

static void on_write(struct fake_sink *sink, void *user)
{
    (void)sink;
    (void)user;
    run(&write_deed);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter;
    (void)reason;
    (void)user;
    run(&timeout_deed);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;

    (void)emitter;
    client->completions++;
    client->reason = completion->reason;
    client->error = completion->error;
    run(&completion_deed);
}

static void on_wake(struct sse_registry *woken, void *user)
{
    (void)woken;
    (void)user;
    wakes++;
    run(&wake_deed);
}

static struct sse_emitter_options options_for(struct client *client, enum sse_drain drain)
{
    fake_sink_init(&client->sink);
    client->sink.on_write = on_write;
    return (struct sse_emitter_options){
        .size = sizeof(struct sse_emitter_options),
        .host = &fake.host,
        .drain = drain,
        .write = take,
        .heartbeat_ms = SSE_TIMER_OFF,
        .stall_ms = SSE_TIMER_OFF,
        .on_timeout = on_timeout,
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

static void add(struct client *client)
{
    assert_int_equal(sse_registry_add(registry, client->emitter), 0);
}

static void leave(struct client *client)
{
    struct sse_emitter *emitter = client->emitter;

    client->emitter = NULL;
    sse_emitter_unref(emitter);
}

static void new_registry(bool wakes_host)
{
    struct sse_registry_options options = {.size = sizeof(options), .host = &fake.host};

    if (wakes_host)
        options.on_wake = on_wake;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static int setup(void **state)
{
    (void)state;
    fake_host_init(&fake);
    memset(clients, 0, sizeof(clients));
    wake_deed = write_deed = timeout_deed = completion_deed = NULL;
    new_registry(false);
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

static struct sse_delivery broadcast_text(const char *text)
{
    const struct sse_event event = {.data = sse_str(text)};
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    assert_int_equal(sse_registry_broadcast(registry, &event, &delivery), 0);
    return delivery;
}

static void broadcast(void)
{
    (void)broadcast_text("x");
}

static void send_to(struct client *client)
{
    const struct sse_event event = {.data = sse_str("x")};

    assert_int_equal(sse_emitter_send(client->emitter, &event), 0);
}

static void expect_bytes(const struct client *client, const char *bytes)
{
    assert_int_equal(client->sink.size, strlen(bytes));
    if (*bytes)
        assert_memory_equal(client->sink.bytes, bytes, strlen(bytes));
}

static void expect_delivery(struct sse_delivery delivery, size_t written, size_t queued, size_t closed)
{
    assert_int_equal(delivery.written, written);
    assert_int_equal(delivery.queued, queued);
    assert_int_equal(delivery.dropped, 0);
    assert_int_equal(delivery.closed, closed);
}

static void add_all(void)
{
    for (size_t i = 0; i < CLIENT_COUNT; i++)
        add(start(i, SSE_DRAIN_CALLBACK));
}

static struct sse_delivery nested;

static void publish_inside(void)
{
    nested = broadcast_text("2");
    for (size_t i = 1; i < CLIENT_COUNT; i++)
        expect_bytes(&clients[i], "");
}

static void test_publish_inside_a_write_only_queues(void **state)
{
    struct sse_delivery outer;

    (void)state;
    add_all();
    write_deed = publish_inside;
    outer = broadcast_text("1");
    expect_delivery(nested, 0, CLIENT_COUNT, 0);
    expect_delivery(outer, CLIENT_COUNT, 0, 0);
    for (size_t i = 0; i < CLIENT_COUNT; i++)
        expect_bytes(&clients[i], "data: 1\n\ndata: 2\n\n");
}

static void test_overflow_inside_is_counted(void **state)
{
    struct sse_emitter_options options;
    struct sse_delivery outer;

    (void)state;
    add(start(0, SSE_DRAIN_CALLBACK));
    for (size_t i = 1; i < 3; i++) {
        options = options_for(&clients[i], SSE_DRAIN_CALLBACK);
        options.queue_messages = i;
        add(start_with(i, &options));
        clients[i].sink.room = 0;
    }
    write_deed = publish_inside;
    outer = broadcast_text("1");
    /* When the nested call returned, client 1 had ended over its event; the others waited. */
    expect_delivery(nested, 0, 2, 1);
    expect_delivery(outer, 1, 1, 1);
    assert_int_equal(clients[1].reason, SSE_REASON_OVERFLOW);
    assert_int_equal(clients[1].error, -ENOBUFS);
    assert_int_equal(clients[2].completions, 0);
}

static int echoes;

static void echo(void)
{
    char text[16];

    if (echoes++ == 20)
        return;
    write_deed = echo;
    snprintf(text, sizeof(text), "%d", echoes);
    (void)broadcast_text(text);
}

static void test_each_write_publishes(void **state)
{
    char all[20 * 10 + 1];
    int size = 0;

    (void)state;
    add_all();
    echoes = 0;
    echo();
    for (int i = 1; i <= 20; i++)
        size += snprintf(all + size, sizeof(all) - (size_t)size, "data: %d\n\n", i);
    for (size_t i = 0; i < CLIENT_COUNT; i++)
        expect_bytes(&clients[i], all);
}

static void remove_first(void)
{
    assert_int_equal(sse_registry_remove(registry, clients[0].emitter), 0);
}

static void remove_and_free_all(void)
{
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        assert_int_equal(sse_registry_remove(registry, clients[i].emitter), 0);
        leave(&clients[i]);
    }
}

static void end_others(void)
{
    for (size_t i = 1; i < CLIENT_COUNT; i++)
        assert_int_equal(sse_emitter_complete_with_error(clients[i].emitter, -EIO), 0);
}

static void detach_all(void)
{
    for (size_t i = 0; i < CLIENT_COUNT; i++)
        assert_int_equal(sse_emitter_detach(clients[i].emitter), 0);
}

static void test_removed_by_its_own_write(void **state)
{
    (void)state;
    add_all();
    write_deed = remove_first;
    expect_delivery(broadcast_text("1"), CLIENT_COUNT, 0, 0);
    expect_delivery(broadcast_text("2"), CLIENT_COUNT - 1, 0, 0);
    expect_bytes(&clients[0], "data: 1\n\n");
    for (size_t i = 1; i < CLIENT_COUNT; i++)
        expect_bytes(&clients[i], "data: 1\n\ndata: 2\n\n");
}

/* The event was theirs before they were removed and given back. */
static void test_others_freed_during_a_broadcast(void **state)
{
    (void)state;
    add_all();
    write_deed = remove_and_free_all;
    expect_delivery(broadcast_text("1"), CLIENT_COUNT, 0, 0);
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        expect_bytes(&clients[i], "data: 1\n\n");
        assert_int_equal(clients[i].completions, 1);
        assert_int_equal(clients[i].reason, SSE_REASON_DETACHED);
    }
}

static void test_others_ended_during_a_broadcast(void **state)
{
    (void)state;
    add_all();
    write_deed = end_others;
    expect_delivery(broadcast_text("1"), 1, 0, CLIENT_COUNT - 1);
    for (size_t i = 1; i < CLIENT_COUNT; i++) {
        expect_bytes(&clients[i], "");
        assert_int_equal(clients[i].reason, SSE_REASON_APPLICATION);
    }
    expect_delivery(broadcast_text("2"), 1, 0, 0);
}

static void test_all_detached_during_a_broadcast(void **state)
{
    (void)state;
    add_all();
    write_deed = detach_all;
    broadcast();
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        assert_int_equal(clients[i].sink.calls, i == 0);
        assert_int_equal(clients[i].reason, SSE_REASON_DETACHED);
    }
}

static void add_late(void)
{
    add(start(1, SSE_DRAIN_CALLBACK));
}

static void test_who_joins_during_a_broadcast_is_too_late(void **state)
{
    (void)state;
    add(start(0, SSE_DRAIN_CALLBACK));
    write_deed = add_late;
    expect_delivery(broadcast_text("1"), 1, 0, 0);
    expect_delivery(broadcast_text("2"), 2, 0, 0);
    expect_bytes(&clients[1], "data: 2\n\n");
}

#define CROWD 10000

/* A chat room in which all connections turn out to be dead, and each end is told to the room. */
static struct {
    int ended;
    int depth;
    int depth_max;
} crowd;

static ssize_t refuse(void *user, const struct iovec *iov, int count)
{
    (void)user;
    (void)iov;
    (void)count;
    return -EPIPE;
}

static void tell_the_room(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    const struct sse_event left = {.data = sse_str("left")};

    (void)emitter;
    (void)completion;
    (void)user;
    crowd.ended++;
    crowd.depth++;
    if (crowd.depth > crowd.depth_max)
        crowd.depth_max = crowd.depth;
    (void)sse_registry_publish(registry, sse_str("room"), &left, NULL);
    crowd.depth--;
}

static void *broadcast_on_a_small_stack(void *argument)
{
    (void)argument;
    (void)broadcast_text("hello");
    return NULL;
}

static void join_room(struct sse_emitter *emitter)
{
    const struct sse_str room = sse_str("room");

    assert_int_equal(sse_registry_subscribe(registry, emitter, &room, 1, ABSENT, NULL), 0);
}

static void test_ten_thousand_dead_connections(void **state)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .host = &fake.host,
        .drain = SSE_DRAIN_CALLBACK,
        .write = refuse,
        .queue_messages = 16,
        .on_completion = tell_the_room,
    };
    struct sse_emitter_options patient = options_for(&clients[0], SSE_DRAIN_CALLBACK);
    pthread_attr_t attributes;
    pthread_t thread;

    (void)state;
    /* What is published inside waits until the call outside comes to this client. */
    patient.queue_messages = 2 * CROWD;
    memset(&crowd, 0, sizeof(crowd));
    for (int i = 0; i < CROWD; i++) {
        struct sse_emitter *emitter;

        assert_int_equal(sse_emitter_new(&emitter, &options), 0);
        join_room(emitter);
        sse_emitter_unref(emitter);
    }
    join_room(start_with(0, &patient)->emitter);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 128 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &attributes, broadcast_on_a_small_stack, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    assert_int_equal(crowd.ended, CROWD);
    assert_int_equal(crowd.depth_max, 1);
    assert_int_equal(sse_registry_count(registry, ABSENT), 1);
    assert_int_equal(clients[0].sink.size, strlen("data: hello\n\n") + CROWD * strlen("data: left\n\n"));
}

static void give_registry_back(void)
{
    sse_registry_unref(registry);
    registry = NULL;
    wakes = 0;
}

/* The wake that is pending then does not come any more. */
static void wake_again_and_give_back(void)
{
    sse_emitter_unref(sse_registry_next_ready(registry));
    send_to(&clients[2]);
    give_registry_back();
}

static int visit_and_give_back(struct sse_emitter *emitter, void *user)
{
    size_t *visits = user;

    (void)emitter;
    if (++*visits != 2)
        return 0;
    give_registry_back();
    send_to(&clients[2]);
    assert_int_equal(wakes, 0);
    return 0;
}

static void add_with_bytes(void)
{
    add(&clients[4]);
}

static void subscribe_with_bytes(void)
{
    const struct sse_str topic = sse_str("t");

    assert_int_equal(sse_registry_subscribe(registry, clients[4].emitter, &topic, 1, ABSENT, NULL), 0);
}

static void stall(void)
{
    fake_host_advance_ms(&fake, 100);
    assert_int_equal(sse_registry_tick(registry), 0);
}

static void walk(void)
{
    size_t visits = 0;

    assert_int_equal(sse_registry_each(registry, ABSENT, visit_and_give_back, &visits), 0);
    assert_int_equal(visits, 4);
}

/* Members: one that stalls, one that fails, one that waits, and one in good health. */
static void give_back_inside(void (**slot)(void), void (*deed)(void), void (*operation)(void))
{
    struct sse_emitter_options options = options_for(&clients[0], SSE_DRAIN_CALLBACK);
    struct sse_emitter *ready;
    struct iovec unused;

    sse_registry_unref(registry);
    new_registry(true);
    options.stall_ms = 100;
    add(start_with(0, &options));
    add(start(1, SSE_DRAIN_CALLBACK));
    add(start(2, SSE_DRAIN_PULL));
    (void)sse_emitter_peek(clients[2].emitter, &unused, 1);
    add(start(3, SSE_DRAIN_CALLBACK));
    send_to(start(4, SSE_DRAIN_PULL));
    clients[0].sink.room = 0;
    send_to(&clients[0]);
    clients[1].sink.error_at = 0;
    clients[1].sink.error = -EPIPE;
    while ((ready = sse_registry_next_ready(registry)))
        sse_emitter_unref(ready);
    if (slot)
        *slot = deed;
    operation();
    assert_null(registry);
    if (operation == broadcast)
        assert_int_equal(clients[3].sink.size, 9);
    send_to(&clients[2]);
    send_to(&clients[3]);
    assert_int_equal(wakes, 0);
    assert_int_equal(clients[2].completions + clients[3].completions + clients[4].completions, 0);
    assert_int_equal(sse_registry_new(&registry, NULL), 0);
    add(&clients[2]);
}

static void test_registry_given_back_inside(void **state)
{
    static const struct {
        void (**slot)(void);
        void (*deed)(void);
        void (*operation)(void);
    } cases[] = {
        {&wake_deed, give_registry_back, add_with_bytes},
        {&wake_deed, wake_again_and_give_back, add_with_bytes},
        {&wake_deed, give_registry_back, subscribe_with_bytes},
        {&wake_deed, give_registry_back, broadcast},
        {&wake_deed, give_registry_back, stall},
        {&write_deed, give_registry_back, broadcast},
        {&completion_deed, give_registry_back, broadcast},
        {&timeout_deed, give_registry_back, stall},
        {&completion_deed, give_registry_back, stall},
        {NULL, NULL, walk},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        give_back_inside(cases[i].slot, cases[i].deed, cases[i].operation);
        (void)teardown(state);
        (void)setup(state);
    }
}

#define NESTED_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NESTED_TEST(test_publish_inside_a_write_only_queues),
        NESTED_TEST(test_overflow_inside_is_counted),
        NESTED_TEST(test_each_write_publishes),
        NESTED_TEST(test_removed_by_its_own_write),
        NESTED_TEST(test_others_freed_during_a_broadcast),
        NESTED_TEST(test_others_ended_during_a_broadcast),
        NESTED_TEST(test_all_detached_during_a_broadcast),
        NESTED_TEST(test_who_joins_during_a_broadcast_is_too_late),
        NESTED_TEST(test_ten_thousand_dead_connections),
        NESTED_TEST(test_registry_given_back_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
