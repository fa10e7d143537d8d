/* SPDX-License-Identifier: MIT */
/* In a forked child every call is refused but those that free, and nothing leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/loop.h>

#include "fake_client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct sse_event event = {.data = {.ptr = "x", .len = 1}};
static const struct sse_str topic = {.ptr = "a", .len = 1};
static struct fake_host host;
static struct fake_client clients[2]; /* a callback, and one that is pulled from */
static struct sse_registry *registry;
static struct sse_message *message;
static unsigned wakes;
static unsigned failures; /* of a child */

#define EXPECT(condition) expect(condition, #condition, __LINE__)

static void expect(bool condition, const char *text, int line)
{
    if (condition)
        return;
    (void)fprintf(stderr, "%s:%d: in the child: %s\n", __FILE__, line, text);
    failures++;
}

static void in_child(void (*act)(void *user), void *user)
{
    int status = -1;
    pid_t child = fork();

    assert_true(child >= 0);
    if (!child) {
        act(user);
        _exit(failures ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void on_wake(struct sse_registry *of, void *user)
{
    (void)of;
    (void)user;
    wakes++;
}

static int set_up(void **state)
{
    struct sse_registry_options options = {
        .size = sizeof(options), .history = {.events = 9}, .on_wake = on_wake, .host = &host.host};

    (void)state;
    fake_host_init(&host);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    assert_int_equal(sse_message_new(&message, &event, 1, &host.host), 0);
    fake_client_new(&clients[0], &host, SSE_DRAIN_CALLBACK);
    fake_client_new(&clients[1], &host, SSE_DRAIN_PULL);
    for (size_t i = 0; i < COUNT(clients); i++)
        assert_int_equal(sse_registry_subscribe(registry, clients[i].emitter, &topic, 1, sse_str(""), NULL),
                         0);
    assert_int_equal(sse_registry_publish(registry, topic, &event, NULL), 0);
    wakes = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clients); i++)
        fake_client_free(&clients[i]);
    sse_message_unref(message);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

static int visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    (void)user;
    return 1;
}

static void expect_refused_by_emitter(struct sse_emitter *emitter)
{
    struct sse_emitter_info info = {.size = sizeof(info)};
    struct iovec iov;
    char byte;

    EXPECT(sse_emitter_send(emitter, &event) == -EPERM);
    EXPECT(sse_emitter_send_message(emitter, message) == -EPERM);
    EXPECT(sse_emitter_flush(emitter) == -EPERM);
    EXPECT(sse_emitter_complete(emitter) == -EPERM);
    EXPECT(sse_emitter_complete_with_error(emitter, -EIO) == -EPERM);
    EXPECT(sse_emitter_detach(emitter) == -EPERM);
    EXPECT(sse_emitter_peek(emitter, &iov, 1) == -EPERM);
    EXPECT(sse_emitter_advance(emitter, 0) == -EPERM);
    EXPECT(sse_emitter_read(emitter, &byte, 1) == -EPERM);
    EXPECT(sse_emitter_wait(emitter, -1) == -EPERM);
    EXPECT(sse_emitter_interrupt(emitter) == -EPERM);
    EXPECT(sse_emitter_tick(emitter) == -EPERM);
    EXPECT(sse_emitter_next_timeout(emitter) == -EPERM);
    EXPECT(sse_emitter_info(emitter, &info) == -EPERM);
    EXPECT(sse_emitter_fd(emitter) == -EPERM);
}

static void expect_refused_by_registry(struct sse_emitter *emitter)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct sse_shutdown_options options = {.size = sizeof(options)};
    struct sse_shutdown_report report = {.size = sizeof(report)};
    struct sse_registry_stats stats = {.size = sizeof(stats)};
    struct sse_loop_options loop_options = {.size = sizeof(loop_options), .host = &host.host};
    struct sse_loop *loop = NULL;

    EXPECT(sse_registry_add(registry, emitter) == -EPERM);
    EXPECT(sse_registry_remove(registry, emitter) == -EPERM);
    EXPECT(sse_registry_subscribe(registry, emitter, &topic, 1, sse_str("1"), NULL) == -EPERM);
    EXPECT(sse_registry_unsubscribe(registry, emitter, &topic, 1) == -EPERM);
    EXPECT(sse_registry_publish(registry, topic, &event, &delivery) == -EPERM);
    EXPECT(sse_registry_publish_message(registry, topic, message, NULL) == -EPERM);
    EXPECT(sse_registry_broadcast(registry, &event, NULL) == -EPERM);
    EXPECT(sse_registry_broadcast_message(registry, message, NULL) == -EPERM);
    EXPECT(sse_registry_each(registry, topic, visit, NULL) == -EPERM);
    EXPECT(sse_registry_count(registry, topic) == 0);
    EXPECT(!sse_registry_has(registry, emitter));
    EXPECT(sse_registry_next_timeout(registry) == -EPERM);
    EXPECT(sse_registry_tick(registry) == -EPERM);
    EXPECT(!sse_registry_next_ready(registry));
    EXPECT(sse_registry_set_wake(registry, NULL, NULL) == -EPERM);
    EXPECT(sse_registry_stats(registry, &stats) == -EPERM);
    EXPECT(sse_registry_shutdown(registry, &options) == -EPERM);
    EXPECT(sse_registry_shutdown_report(registry, &report) == -EPERM);
    EXPECT(sse_loop_new(&loop, registry, &loop_options) == -EPERM);
    EXPECT(!loop);
}

static void call_everything(void *user)
{
    size_t sizes[COUNT(clients)];
    size_t blocks = atomic_load(&host.blocks);

    (void)user;
    fake_host_advance_ms(&host, 3600000);
    for (size_t i = 0; i < COUNT(clients); i++) {
        sizes[i] = clients[i].sink.size;
        expect_refused_by_emitter(clients[i].emitter);
        expect_refused_by_registry(clients[i].emitter);
    }
    for (size_t i = 0; i < COUNT(clients); i++) {
        EXPECT(clients[i].sink.size == sizes[i]);
        EXPECT(!clients[i].timeouts && !clients[i].errors && !clients[i].completions);
    }
    EXPECT(!wakes);
    EXPECT(atomic_load(&host.blocks) == blocks);
}

static void every_call_in_a_child_is_refused(void **state)
{
    (void)state;
    in_child(call_everything, NULL);
    assert_int_equal(sse_registry_publish(registry, topic, &event, NULL), 0);
    assert_int_equal(clients[0].completions, 0);
    assert_int_equal(sse_registry_count(registry, topic), COUNT(clients));
}

/* References may be counted, and what the host keeps with an emitter be found, to free it. */
static void free_everything(void *user)
{
    (void)user;
    EXPECT(sse_emitter_user(clients[0].emitter) == &clients[0]);
    sse_emitter_unref(sse_emitter_ref(clients[0].emitter));
    sse_registry_unref(sse_registry_ref(registry));
    sse_message_unref(sse_message_ref(message));
    for (size_t i = 0; i < COUNT(clients); i++)
        sse_emitter_unref(clients[i].emitter);
    EXPECT(!clients[0].releases);
    sse_registry_unref(registry);
    sse_message_unref(message);
    for (size_t i = 0; i < COUNT(clients); i++) {
        EXPECT(clients[i].releases == 1);
        EXPECT(!clients[i].timeouts && !clients[i].errors && !clients[i].completions);
    }
    EXPECT(!atomic_load(&host.blocks));
}

static void a_child_may_free(void **state)
{
    (void)state;
    in_child(free_everything, NULL);
    assert_int_equal(clients[0].releases, 0);
    assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
    assert_int_equal(clients[0].releases, 0);
}

static void make_own_objects(void *user)
{
    struct sse_registry *own = NULL;
    struct fake_client client;

    (void)user;
    EXPECT(!sse_registry_new(&own, NULL));
    fake_client_new(&client, &host, SSE_DRAIN_CALLBACK);
    EXPECT(!sse_registry_add(own, client.emitter));
    EXPECT(!sse_registry_broadcast_message(own, message, NULL));
    EXPECT(!strcmp(fake_client_text(&client), "data: x\n\n"));
    EXPECT(sse_registry_add(own, clients[0].emitter) == -EPERM);
    EXPECT(!sse_registry_has(own, clients[0].emitter));
    EXPECT(sse_registry_remove(own, clients[0].emitter) == -EPERM);
    EXPECT(sse_registry_subscribe(own, clients[0].emitter, &topic, 1, sse_str(""), NULL) == -EPERM);
    EXPECT(sse_registry_unsubscribe(own, clients[0].emitter, &topic, 1) == -EPERM);
    fake_client_free(&client);
    sse_registry_unref(own);
}

static void what_a_child_makes_is_its_own(void **state)
{
    (void)state;
    in_child(make_own_objects, NULL);
}

/* A thread that stays inside the allocator, and so inside a lock, while another one forks. */
struct inside {
    struct sse_host host;
    atomic_bool stay;
    atomic_bool is_inside;
    struct sse_registry *registry;
    struct sse_emitter *emitter;
};

static void *allocate_slowly(size_t size, void *user)
{
    struct inside *inside = user;

    if (atomic_load(&inside->stay)) {
        atomic_store(&inside->is_inside, true);
        while (atomic_load(&inside->stay))
            sched_yield();
    }
    return host.host.allocate(size, &host);
}

static void release_block(void *block, void *user)
{
    (void)user;
    host.host.release(block, &host);
}

static void *add_slowly(void *user)
{
    struct inside *inside = user;

    assert_int_equal(sse_registry_add(inside->registry, inside->emitter), 0);
    return NULL;
}

static void free_what_is_locked(void *user)
{
    const struct inside *inside = user;

    EXPECT(sse_registry_broadcast(inside->registry, &event, NULL) == -EPERM);
    EXPECT(sse_emitter_send(inside->emitter, &event) == -EPERM);
    sse_registry_unref(inside->registry);
    sse_emitter_unref(inside->emitter);
}

static void a_lock_that_was_held_does_not_hang_the_child(void **state)
{
    struct inside inside = {
        .host = {.size = sizeof(struct sse_host), .allocate = allocate_slowly, .release = release_block}};
    struct sse_registry_options options = {.size = sizeof(options), .host = &inside.host};
    struct fake_client client;
    pthread_t thread;

    (void)state;
    inside.host.user = &inside;
    fake_client_new(&client, &host, SSE_DRAIN_CALLBACK);
    assert_int_equal(sse_registry_new(&inside.registry, &options), 0);
    inside.emitter = client.emitter;
    atomic_store(&inside.stay, true);
    assert_int_equal(pthread_create(&thread, NULL, add_slowly, &inside), 0);
    while (!atomic_load(&inside.is_inside))
        sched_yield();
    in_child(free_what_is_locked, &inside);
    atomic_store(&inside.stay, false);
    pthread_join(thread, NULL);
    assert_int_equal(sse_registry_broadcast(inside.registry, &event, NULL), 0);
    assert_string_equal(fake_client_text(&client), "data: x\n\n");
    sse_registry_unref(inside.registry);
    fake_client_free(&client);
}

struct driven {
    struct sse_registry *registry;
    struct sse_loop *loop;
    struct sse_emitter *emitter;
    int ours;
    int theirs;
};

static void use_loop(void *user)
{
    const struct driven *driven = user;

    EXPECT(sse_loop_add(driven->loop, driven->emitter) == -EPERM);
    EXPECT(sse_loop_dispatch(driven->loop, -1) == -EPERM);
    EXPECT(sse_loop_run(driven->loop) == -EPERM);
    EXPECT(sse_loop_stop(driven->loop) == -EPERM);
    EXPECT(sse_loop_fd(driven->loop) == -EPERM);
    EXPECT(sse_loop_next_timeout(driven->loop) == -EPERM);
    sse_loop_free(driven->loop);
    EXPECT(fcntl(driven->ours, F_GETFD) < 0 && errno == EBADF);
    sse_registry_unref(driven->registry);
    EXPECT(!atomic_load(&host.blocks));
}

static void open_driven(struct driven *driven, enum sse_poller poller)
{
    struct sse_registry_options registry_options = {.size = sizeof(registry_options), .host = &host.host};
    struct sse_loop_options loop_options = {
        .size = sizeof(loop_options), .host = &host.host, .poller = poller};
    struct sse_emitter_options options = {.size = sizeof(options), .host = &host.host, .drain = SSE_DRAIN_FD};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    driven->ours = ends[0];
    driven->theirs = ends[1];
    options.fd = driven->ours;
    assert_int_equal(sse_registry_new(&driven->registry, &registry_options), 0);
    assert_int_equal(sse_loop_new(&driven->loop, driven->registry, &loop_options), 0);
    assert_int_equal(sse_emitter_new(&driven->emitter, &options), 0);
    assert_int_equal(sse_registry_add(driven->registry, driven->emitter), 0);
    assert_int_equal(sse_loop_add(driven->loop, driven->emitter), 0);
    assert_int_equal(sse_loop_dispatch(driven->loop, 0), 0);
}

/* What the client has sent is the parent's to read; a stop in the child is none of the parent's. */
static void a_loop_in_a_child_leaves_the_parent_alone(void **state)
{
    static const enum sse_poller pollers[] = {SSE_POLLER_BEST, SSE_POLLER_POLL};
    char text[32] = "";

    (void)state;
    for (size_t i = 0; i < COUNT(pollers); i++) {
        struct driven driven;

        fake_host_init(&host);
        open_driven(&driven, pollers[i]);
        assert_int_equal(write(driven.theirs, "hello", 5), 5);
        in_child(use_loop, &driven);
        assert_int_equal(recv(driven.ours, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT), 5);
        assert_true(recv(driven.theirs, text, sizeof(text), MSG_DONTWAIT) < 0);
        assert_int_equal(sse_registry_broadcast(driven.registry, &event, NULL), 0);
        assert_int_equal(recv(driven.theirs, text, sizeof(text), MSG_DONTWAIT), 9);
        assert_memory_equal(text, "data: x\n\n", 9);
        assert_int_equal(sse_loop_dispatch(driven.loop, 0), 0);
        assert_true(recv(driven.ours, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT) < 0);
        sse_loop_free(driven.loop);
        sse_registry_unref(driven.registry);
        close(driven.theirs);
        assert_int_equal(atomic_load(&host.blocks), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_in_a_child_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_may_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_child_makes_is_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lock_that_was_held_does_not_hang_the_child, set_up, tear_down),
        cmocka_unit_test(a_loop_in_a_child_leaves_the_parent_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
