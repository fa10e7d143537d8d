/* SPDX-License-Identifier: MIT */
/* In a forked child every call is refused except those that free, and nothing is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/sse.h>

#include "child.h"
#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct sse_event event = {.data = {.ptr = "x", .len = 1}};
static const struct sse_text topic = {.ptr = "a", .len = 1};
static struct fake_platform fake;
static struct fake_loop loop;
/* A CALLBACK and a PULL emitter with a loop, and one that has its own thread. */
static struct fake_client clients[3];
static struct sse_registry *registry;
static struct sse_message *message;

static int set_up(void **state)
{
    struct sse_registry_options options = {
        .size = sizeof(options), .history = {.events = 9}, .platform = &fake.platform};

    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    assert_int_equal(sse_message_new(&message, &event, 1, &fake.platform), 0);
    for (size_t i = 0; i < COUNT(clients); i++) {
        fake_client_init(&clients[i], &fake, i == 1 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK);
        clients[i].loop = i < 2 ? &loop : NULL;
        clients[i].options.registry = i < 2 ? registry : NULL;
        clients[i].options.topics = &topic;
        clients[i].options.topic_count = i < 2;
        fake_client_open(&clients[i]);
    }
    (void)fake_loop_settle(&loop);
    (void)sse_emitter_flush(clients[2].emitter);
    assert_int_equal(sse_registry_publish(registry, topic, &event, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, COUNT(clients));
    fake_loop_close(&loop);
    sse_message_unref(message);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static int visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter, (void)user;
    return 1;
}

static void expect_refused_by_emitter(struct sse_emitter *emitter)
{
    struct sse_emitter_info info;
    struct iovec iov;
    char byte;

    CHILD_EXPECT(sse_emitter_start(emitter, true) == -EPERM);
    CHILD_EXPECT(sse_emitter_send(emitter, &event) == -EPERM);
    CHILD_EXPECT(sse_emitter_send_message(emitter, message) == -EPERM);
    CHILD_EXPECT(sse_emitter_ping(emitter) == -EPERM);
    CHILD_EXPECT(sse_emitter_flush(emitter) == -EPERM);
    CHILD_EXPECT(sse_emitter_complete(emitter) == -EPERM);
    CHILD_EXPECT(sse_emitter_abort(emitter, -EIO) == -EPERM);
    CHILD_EXPECT(sse_emitter_peek(emitter, &iov, 1) == -EPERM);
    CHILD_EXPECT(sse_emitter_consume(emitter, 0) == -EPERM);
    CHILD_EXPECT(sse_emitter_read(emitter, &byte, 1) == -EPERM);
    CHILD_EXPECT(sse_emitter_wait(emitter, -1) == -EPERM);
    CHILD_EXPECT(sse_emitter_interrupt(emitter) == -EPERM);
    CHILD_EXPECT(sse_emitter_get_info(emitter, &info, sizeof(info)) == -EPERM);
}

static void expect_refused_by_registry(struct sse_emitter *emitter)
{
    struct sse_delivery delivery;
    const struct sse_shutdown_options options = {.size = sizeof(options)};
    struct sse_registry_stats stats;

    CHILD_EXPECT(sse_registry_subscribe(registry, emitter, &topic, 1, sse_str("1"), NULL) == -EPERM);
    CHILD_EXPECT(sse_registry_unsubscribe(registry, emitter, &topic, 1) == -EPERM);
    CHILD_EXPECT(sse_registry_publish(registry, topic, &event, &delivery) == -EPERM);
    CHILD_EXPECT(sse_registry_publish_message(registry, topic, message, NULL) == -EPERM);
    CHILD_EXPECT(sse_registry_complete(registry, topic) == -EPERM);
    CHILD_EXPECT(sse_registry_each(registry, topic, visit, NULL) == -EPERM);
    CHILD_EXPECT(sse_registry_count(registry, topic) == 0);
    CHILD_EXPECT(sse_registry_get_stats(registry, &stats, sizeof(stats)) == -EPERM);
    CHILD_EXPECT(sse_registry_shutdown(registry, &options) == -EPERM);
    CHILD_EXPECT(sse_registry_wait(registry, -1) == -EPERM);
}

static void expect_refused_by_loop(struct sse_loop *of)
{
    CHILD_EXPECT(sse_loop_turn(of) == -EPERM);
    CHILD_EXPECT(sse_loop_run(of) == -EPERM);
    CHILD_EXPECT(sse_loop_dispatch(of, -1) == -EPERM);
    CHILD_EXPECT(sse_loop_stop(of) == -EPERM);
    CHILD_EXPECT(sse_loop_finish(of) == -EPERM);
    CHILD_EXPECT(sse_loop_count(of) == 0);
    CHILD_EXPECT(sse_loop_fd(of) == -EPERM);
}

static void expect_no_new_emitter(struct sse_registry *in, struct sse_loop *by)
{
    struct sse_emitter_options options = {
        .size = sizeof(options), .registry = in, .loop = by, .output = SSE_OUTPUT_PULL};
    struct sse_emitter *emitter = NULL;

    CHILD_EXPECT(sse_emitter_new(&emitter, &options, NULL) == -EPERM);
    CHILD_EXPECT(!emitter);
}

static void expect_no_callbacks(void)
{
    for (size_t i = 0; i < COUNT(clients); i++)
        CHILD_EXPECT(!clients[i].timeouts && !clients[i].errors && !clients[i].completions);
}

static void call_everything(int argument)
{
    size_t sizes[COUNT(clients)];
    size_t blocks = atomic_load(&fake.blocks);
    unsigned wakes = atomic_load(&loop.wakes);

    (void)argument;
    fake_platform_advance_ms(&fake, 3600000);
    for (size_t i = 0; i < COUNT(clients); i++) {
        sizes[i] = clients[i].output.size;
        expect_refused_by_emitter(clients[i].emitter);
        expect_refused_by_registry(clients[i].emitter);
    }
    expect_refused_by_loop(loop.loop);
    expect_no_new_emitter(registry, NULL);
    expect_no_new_emitter(NULL, loop.loop);
    for (size_t i = 0; i < COUNT(clients); i++)
        CHILD_EXPECT(clients[i].output.size == sizes[i]);
    expect_no_callbacks();
    CHILD_EXPECT(atomic_load(&loop.wakes) == wakes);
    CHILD_EXPECT(atomic_load(&fake.blocks) == blocks);
}

/* Fault 44. */
static void every_call_in_a_child_is_refused(void **state)
{
    (void)state;
    in_child(call_everything, 0);
    (void)fake_loop_settle(&loop);
    assert_non_null(strstr(fake_client_text(&clients[0]), "data: x\n"));
    assert_int_equal(clients[0].completions, 0);
    assert_int_equal(sse_registry_count(registry, topic), 2);
}

/* A child may count references and find the server's data of an emitter, in order to free it. */
static void free_everything(int loop_first)
{
    CHILD_EXPECT(sse_emitter_user(clients[0].emitter) == &clients[0]);
    sse_emitter_unref(sse_emitter_ref(clients[0].emitter));
    sse_registry_unref(sse_registry_ref(registry));
    sse_message_unref(sse_message_ref(message));
    CHILD_EXPECT(!clients[0].releases);
    /* on_release runs where the reference is released, which is outside of a turn. */
    clients[0].loop = NULL;
    clients[1].loop = NULL;
    if (loop_first)
        sse_loop_free(loop.loop);
    for (size_t i = 0; i < COUNT(clients); i++) {
        if (i % 2)
            sse_emitter_close(clients[i].emitter);
        else
            sse_emitter_unref(clients[i].emitter);
    }
    sse_registry_unref(registry);
    if (!loop_first)
        sse_loop_free(loop.loop);
    sse_message_unref(message);
    for (size_t i = 0; i < COUNT(clients); i++)
        CHILD_EXPECT(clients[i].releases == 1);
    expect_no_callbacks();
    CHILD_EXPECT(!atomic_load(&fake.blocks));
}

static void a_child_may_free(void **state)
{
    (void)state;
    for (int loop_first = 0; loop_first < 2; loop_first++)
        in_child(free_everything, loop_first);
    assert_int_equal(clients[0].releases, 0);
    assert_int_equal(sse_registry_publish(registry, topic, &event, NULL), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(clients[0].releases, 0);
}

static void make_own_objects(int argument)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &fake.platform};
    struct sse_registry *own = NULL;
    struct fake_loop own_loop;
    struct fake_client client;

    (void)argument;
    CHILD_EXPECT(!sse_registry_new(&own, &options));
    fake_loop_open(&own_loop, &fake);
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    client.loop = &own_loop;
    client.options.registry = own;
    fake_client_open(&client);
    CHILD_EXPECT(!sse_registry_publish_message(own, sse_str(NULL), message, NULL));
    (void)fake_loop_settle(&own_loop);
    CHILD_EXPECT(!strcmp(fake_client_text(&client), ":\ndata: x\n\n"));
    CHILD_EXPECT(sse_registry_subscribe(own, clients[0].emitter, &topic, 1, sse_str(""), NULL) == -EPERM);
    CHILD_EXPECT(sse_registry_unsubscribe(own, clients[0].emitter, &topic, 1) == -EPERM);
    expect_no_new_emitter(own, loop.loop);
    expect_no_new_emitter(registry, own_loop.loop);
    fake_client_free(&client);
    fake_loop_close(&own_loop);
    sse_registry_unref(own);
}

static void what_a_child_makes_is_its_own(void **state)
{
    (void)state;
    in_child(make_own_objects, 0);
}

/* A thread stays inside the allocator, and so inside a lock, while another one forks. */
struct inside {
    struct sse_platform platform;
    atomic_bool stay;
    atomic_bool is_inside;
    struct sse_registry *registry;
    struct sse_emitter *emitter;
};

static struct inside inside;

static void *allocate_slowly(size_t size, void *user)
{
    (void)user;
    if (atomic_load(&inside.stay)) {
        atomic_store(&inside.is_inside, true);
        while (atomic_load(&inside.stay))
            sched_yield();
    }
    return fake.platform.allocate(size, &fake);
}

static void deallocate(void *block, void *user)
{
    (void)user;
    fake.platform.deallocate(block, &fake);
}

static void *subscribe_slowly(void *user)
{
    (void)user;
    if (sse_registry_subscribe(inside.registry, inside.emitter, &topic, 1, sse_str(NULL), NULL))
        abort();
    return NULL;
}

static void free_what_is_locked(int argument)
{
    (void)argument;
    CHILD_EXPECT(sse_registry_publish(inside.registry, topic, &event, NULL) == -EPERM);
    CHILD_EXPECT(sse_emitter_send(inside.emitter, &event) == -EPERM);
    sse_registry_unref(inside.registry);
    sse_emitter_unref(inside.emitter);
}

static void a_lock_that_is_taken_does_not_hang_the_child(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .platform = &inside.platform};
    struct fake_client client;
    pthread_t thread;

    (void)state;
    inside.platform = (struct sse_platform){
        .size = sizeof(struct sse_platform), .allocate = allocate_slowly, .deallocate = deallocate};
    atomic_store(&inside.stay, false);
    atomic_store(&inside.is_inside, false);
    assert_int_equal(sse_registry_new(&inside.registry, &options), 0);
    fake_client_init(&client, &fake, SSE_OUTPUT_PULL);
    client.options.registry = inside.registry;
    fake_client_open(&client);
    inside.emitter = client.emitter;
    atomic_store(&inside.stay, true);
    assert_int_equal(pthread_create(&thread, NULL, subscribe_slowly, NULL), 0);
    while (!atomic_load(&inside.is_inside))
        sched_yield();
    in_child(free_what_is_locked, 0);
    atomic_store(&inside.stay, false);
    pthread_join(thread, NULL);
    assert_int_equal(sse_registry_publish(inside.registry, topic, &event, NULL), 0);
    assert_int_equal(fake_client_pull(&client), 0);
    assert_string_equal(fake_client_text(&client), ":\ndata: x\n\n");
    fake_client_free(&client);
    sse_registry_unref(inside.registry);
}

/* A polled loop, whose descriptors the parent shares. */
static struct sse_loop *polled;
static struct sse_emitter *member;
static struct descriptor_pair pair;

static void use_polled_loop(int argument)
{
    (void)argument;
    expect_refused_by_loop(polled);
    expect_refused_by_emitter(member);
    sse_emitter_unref(member);
    sse_loop_free(polled);
    /* The descriptor is closed in the child, and open in the parent. */
    CHILD_EXPECT(!descriptor_is_open(pair.server));
}

/* The parent reads the client's input. A stop in the child does not stop the parent's loop. */
static void a_loop_in_a_child_leaves_the_parent_alone(void **state)
{
    static const enum sse_poller pollers[] = {SSE_POLLER_BEST, SSE_POLLER_POLL};

    (void)state;
    for (size_t i = 0; i < COUNT(pollers); i++) {
        const struct sse_loop_options loop_options = {
            .size = sizeof(loop_options), .platform = &fake.platform, .poller = pollers[i]};
        struct sse_emitter_options options = {.size = sizeof(options),
                                              .platform = &fake.platform,
                                              .output = SSE_OUTPUT_FD,
                                              .heartbeat_ms = SSE_TIMER_OFF};
        char text[32] = "";

        pair_open(&pair, PAIR_STREAM);
        options.fd = pair.server;
        assert_int_equal(sse_loop_new(&polled, &loop_options), 0);
        options.loop = polled;
        assert_int_equal(sse_emitter_new(&member, &options, NULL), 0);
        assert_int_equal(sse_loop_dispatch(polled, 0), 0);
        pair_expect(&pair, ":\n");
        assert_int_equal(send(pair.client, "hello", 5, MSG_NOSIGNAL), 5);
        in_child(use_polled_loop, 0);
        assert_int_equal(recv(pair.server, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT), 5);
        assert_true(pair_is_quiet(&pair));
        assert_int_equal(sse_emitter_send(member, &event), 0);
        pair_expect(&pair, "data: x\n\n");
        assert_int_equal(sse_loop_dispatch(polled, 0), 0);
        assert_true(recv(pair.server, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT) < 0);
        sse_emitter_close(member);
        sse_loop_free(polled);
        pair_close(&pair);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_call_in_a_child_is_refused),
        TEST(a_child_may_free),
        TEST(what_a_child_makes_is_its_own),
        TEST(a_lock_that_is_taken_does_not_hang_the_child),
        TEST(a_loop_in_a_child_leaves_the_parent_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
