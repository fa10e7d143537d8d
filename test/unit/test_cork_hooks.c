/* SPDX-License-Identifier: MIT */
/* What hooks, ends and forks do while writing is held back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS 3

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};

    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        fake_client_init(&clients[i], &host, SSE_DRAIN_CALLBACK);
        clients[i].options.queue_messages = 4;
        fake_client_open(&clients[i]);
        assert_int_equal(sse_registry_add(registry, clients[i].emitter), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    fake_host_check_no_leak(&host);
    return 0;
}

static void publish(const char *data)
{
    const struct sse_event event = {.data = sse_str(data)};

    assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
}

static void hold(void)
{
    assert_int_equal(sse_registry_hold(registry), 0);
}

static void release(void)
{
    assert_int_equal(sse_registry_release(registry), 0);
}

/* The first client has no room, and ends over an event that is held. */
static void end_one_by_what_is_held(void)
{
    clients[0].sink.room = 0;
    for (int i = 0; i < 4; i++)
        publish("x");
    hold();
    publish("held");
    assert_int_equal(fake_client_info(&clients[0]).state, SSE_STATE_CLOSED);
    assert_int_equal(clients[0].completions, 0);
}

static void one_that_ended_and_is_removed_is_told_once(void **state)
{
    (void)state;
    end_one_by_what_is_held();
    assert_int_equal(sse_registry_remove(registry, clients[0].emitter), 0);
    assert_int_equal(clients[0].completions, 1);
    assert_int_equal(clients[0].completion.reason, SSE_REASON_OVERFLOW);
    release();
    assert_int_equal(clients[0].errors + clients[0].completions, 2);
}

static void one_that_ended_and_is_detached_is_told_once(void **state)
{
    size_t calls;

    (void)state;
    end_one_by_what_is_held();
    calls = clients[0].sink.calls;
    assert_int_equal(sse_emitter_detach(clients[0].emitter), 0);
    assert_int_equal(clients[0].completions, 1);
    release();
    assert_int_equal(clients[0].errors + clients[0].completions, 2);
    assert_int_equal(clients[0].sink.calls, calls);
}

static void one_that_ended_is_told_by_the_last_unref(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};

    (void)state;
    end_one_by_what_is_held();
    sse_registry_unref(registry);
    assert_int_equal(clients[0].errors + clients[0].completions, 2);
    assert_non_null(strstr(fake_client_text(&clients[1]), "held"));
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static void let_the_registry_go(struct fake_sink *sink, void *user)
{
    (void)user;
    sink->on_write = NULL;
    hold();
    publish("last");
    sse_registry_unref(registry);
}

static void the_last_unref_inside_a_release_loses_nothing(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};

    (void)state;
    clients[0].sink.on_write = let_the_registry_go;
    hold();
    publish("first");
    release();
    for (size_t i = 0; i < CLIENTS; i++)
        assert_string_equal(fake_client_text(&clients[i]), "data: first\n\ndata: last\n\n");
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static void detach_the_others(struct fake_sink *sink, void *user)
{
    (void)user;
    sink->on_write = NULL;
    for (size_t i = 1; i < CLIENTS; i++)
        assert_int_equal(sse_emitter_detach(clients[i].emitter), 0);
}

static void those_who_are_detached_inside_a_release_are_not_touched(void **state)
{
    (void)state;
    clients[0].sink.on_write = detach_the_others;
    hold();
    publish("x");
    release();
    for (size_t i = 1; i < CLIENTS; i++) {
        assert_int_equal(clients[i].sink.calls, 0);
        assert_int_equal(clients[i].completions, 1);
    }
}

static void move_the_others(struct fake_sink *sink, void *other)
{
    sink->on_write = NULL;
    assert_int_equal(sse_registry_hold(other), 0);
    for (size_t i = 1; i < CLIENTS; i++) {
        assert_int_equal(sse_registry_remove(registry, clients[i].emitter), 0);
        assert_int_equal(sse_registry_add(other, clients[i].emitter), 0);
    }
}

static void those_who_move_inside_a_release_are_held_where_they_are(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};
    const struct sse_event event = {.data = sse_str("there")};
    struct sse_registry *other;

    (void)state;
    assert_int_equal(sse_registry_new(&other, &options), 0);
    clients[0].sink.on_write = move_the_others;
    clients[0].sink.user = other;
    hold();
    publish("here");
    release();
    assert_int_equal(sse_registry_broadcast(other, &event, NULL), 0);
    assert_string_equal(fake_client_text(&clients[1]), "data: here\n\n");
    assert_int_equal(sse_registry_remove(other, clients[2].emitter), 0);
    assert_string_equal(fake_client_text(&clients[2]), "data: here\n\ndata: there\n\n");
    assert_int_equal(sse_registry_release(other), 0);
    assert_string_equal(fake_client_text(&clients[1]), "data: here\n\ndata: there\n\n");
    sse_registry_unref(other);
}

static void cancel_this_thread(struct fake_sink *sink, void *user)
{
    (void)user;
    sink->on_write = NULL;
    (void)pthread_cancel(pthread_self());
    pthread_testcancel();
}

static void *release_and_be_cancelled(void *user)
{
    (void)sse_registry_release(user);
    pthread_testcancel();
    return NULL;
}

static void a_thread_that_is_cancelled_in_a_release_finishes_it(void **state)
{
    pthread_t thread;
    void *result;

    (void)state;
    clients[0].sink.on_write = cancel_this_thread;
    hold();
    publish("x");
    assert_int_equal(pthread_create(&thread, NULL, release_and_be_cancelled, registry), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_string_equal(fake_client_text(&clients[i]), "data: x\n\n");
    assert_int_equal(sse_registry_release(registry), -EALREADY);
}

/* Returns 0 if the child only freed. */
static int free_in_child(void)
{
    bool refused = sse_registry_hold(registry) == -EPERM && sse_registry_release(registry) == -EPERM;

    for (size_t i = 0; i < CLIENTS; i++)
        sse_emitter_unref(clients[i].emitter);
    sse_registry_unref(registry);
    for (size_t i = 1; i < CLIENTS; i++)
        refused = refused && !clients[i].sink.calls && !clients[i].completions && clients[i].releases == 1;
    return refused && !clients[0].completions && !atomic_load(&host.blocks) ? 0 : 1;
}

static void fork_and_free(void)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (!child)
        _exit(free_in_child());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_forked_child_frees_what_is_held(void **state)
{
    (void)state;
    hold();
    publish("x");
    fork_and_free();
    release();
    for (size_t i = 0; i < CLIENTS; i++)
        assert_string_equal(fake_client_text(&clients[i]), "data: x\n\n");
}

static void a_forked_child_frees_one_that_ended_over_what_is_held(void **state)
{
    (void)state;
    end_one_by_what_is_held();
    for (size_t i = 1; i < CLIENTS; i++)
        clients[i].sink.calls = 0;
    fork_and_free();
    release();
    assert_int_equal(clients[0].errors + clients[0].completions, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_that_ended_and_is_removed_is_told_once),
        TEST(one_that_ended_and_is_detached_is_told_once),
        TEST(one_that_ended_is_told_by_the_last_unref),
        TEST(the_last_unref_inside_a_release_loses_nothing),
        TEST(those_who_are_detached_inside_a_release_are_not_touched),
        TEST(those_who_move_inside_a_release_are_held_where_they_are),
        TEST(a_thread_that_is_cancelled_in_a_release_finishes_it),
        TEST(a_forked_child_frees_what_is_held),
        TEST(a_forked_child_frees_one_that_ended_over_what_is_held),
    };

    return cmocka_run_group_tests_name("cork hooks", tests, NULL, NULL);
}
