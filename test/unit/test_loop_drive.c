/* SPDX-License-Identifier: MIT */
/* How a loop is run, stopped, and called from hooks, signal handlers and other threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The address sanitizer takes the frames that a cancelled thread leaves behind for live ones. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAN_CANCEL false
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define CAN_CANCEL false
#endif
#ifndef CAN_CANCEL
#define CAN_CANCEL true
#endif

#define ADDERS 4
#define ADDS 60

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

/* Stop */

static void stop_before_the_run_ends_it(void **state)
{
    struct loop_stage *stage = *state;

    assert_int_equal(sse_loop_stop(stage->loop), 0);
    assert_int_equal(sse_loop_run(stage->loop), 0);
    assert_int_equal(sse_loop_stop(stage->loop), 0);
    assert_int_equal(sse_loop_run(stage->loop), 0);
}

static void one_stop_ends_one_run(void **state)
{
    struct loop_runner runner;

    for (int i = 0; i < 50; i++) {
        loop_runner_start(&runner, *state);
        if (i % 2)
            sched_yield();
        loop_runner_stop(&runner);
    }
}

/* A dispatch is not a run: the stop is still for the run. */
static void dispatch_leaves_the_stop_to_the_run(void **state)
{
    struct loop_stage *stage = *state;

    assert_int_equal(sse_loop_stop(stage->loop), 0);
    loop_stage_dispatch(stage);
    loop_stage_dispatch(stage);
    assert_int_equal(sse_loop_run(stage->loop), 0);
}

static struct sse_loop *loop_of_handler;

static void stop_in_handler(int number)
{
    int saved = errno;

    (void)number;
    errno = EDOM;
    (void)sse_loop_stop(loop_of_handler);
    if (errno != EDOM)
        abort();
    errno = saved;
}

static void stop_from_a_signal_handler(void **state)
{
    struct loop_stage *stage = *state;
    const struct sigaction action = {.sa_handler = stop_in_handler};
    struct sigaction before;
    struct loop_runner runner;

    loop_of_handler = stage->loop;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    /* Before the run, in this very thread. */
    raise(SIGUSR1);
    assert_int_equal(sse_loop_run(stage->loop), 0);
    /* And in the thread that runs, wherever it is; the thread sanitizer loses signals to new threads. */
    loop_runner_start(&runner, stage);
    while (!atomic_load(&runner.done)) {
        pthread_kill(runner.thread, SIGUSR1);
        sched_yield();
    }
    loop_runner_join(&runner);
    assert_int_equal(runner.result, 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* Stopped so often that the pipe behind it is full. */
static void many_stops(void **state)
{
    struct loop_stage *stage = *state;

    for (int i = 0; i < 100000; i++) {
        errno = EDOM;
        assert_int_equal(sse_loop_stop(stage->loop), 0);
        assert_int_equal(errno, EDOM);
    }
    assert_int_equal(sse_loop_run(stage->loop), 0);
    loop_stage_dispatch(stage);
    assert_int_equal(sse_loop_stop(stage->loop), 0);
    assert_int_equal(sse_loop_run(stage->loop), 0);
}

static void stop_loop(struct loop_client *client)
{
    sse_loop_stop(client->stage->loop);
}

static void stop_from_a_hook(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    client.when_ended = stop_loop;
    loop_client_leave(&client);
    assert_int_equal(sse_loop_run(client.stage->loop), 0);
    assert_int_equal(client.reason, SSE_REASON_PEER_GONE);
    loop_client_depart(&client);
}

/* Hooks */

static void call_back_into_the_loop(struct loop_client *client)
{
    struct sse_loop *loop = client->stage->loop;
    int *errors = client->user;

    (void)sse_loop_stop(loop);
    errors[0] = sse_loop_run(loop);
    errors[1] = sse_loop_dispatch(loop, 0);
    errors[2] = sse_loop_next_timeout(loop);
    errors[3] = sse_loop_fd(loop);
}

static void run_and_dispatch_in_a_hook_are_deadlocks(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;
    int errors[4] = {0};

    loop_client_open(&client, stage, LOOP_CLIENT_TCP, NULL);
    client.when_ended = call_back_into_the_loop;
    client.user = errors;
    loop_client_leave(&client);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(errors[0], -EDEADLK);
    assert_int_equal(errors[1], -EDEADLK);
    assert_true(errors[2] >= -1);
    assert_int_equal(errors[3], sse_loop_fd(stage->loop));
    /* The stop in the hook was for a run, and not for the one that failed. */
    assert_int_equal(sse_loop_run(stage->loop), 0);
    loop_client_close(&client);
}

/* A hook in another thread than the loop's is none that runs inside it. */
static void dispatch_in_a_hook_outside_of_the_loop(void **state)
{
    struct loop_client client;
    int errors[4] = {1, 1, 0, 0};

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    client.when_ended = call_back_into_the_loop;
    client.user = errors;
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    assert_int_equal(errors[0], 0);
    assert_int_equal(errors[1], 0);
    loop_client_dispatch_to_end(&client);
    loop_client_close(&client);
}

static void add_another(struct loop_client *client)
{
    loop_client_open(client->user, client->stage, LOOP_CLIENT_TCP, NULL);
}

/* on_release runs after the close: the new one may well get the number of the old. */
static void add_in_hooks(void **state)
{
    struct loop_client client, at_end, at_release, when_blocked;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
    client.when_ended = add_another;
    client.user = &at_end;
    loop_client_leave(&client);
    loop_client_dispatch_to_end(&client);
    client.when_released = add_another;
    client.user = &at_release;
    loop_client_close(&client);

    at_end.when_blocked = add_another;
    at_end.user = &when_blocked;
    loop_client_drain(&at_end, loop_client_fill(&at_end));

    assert_int_equal(loop_client_send(&at_release, "x"), 0);
    loop_client_expect(&at_release, "data: x\n\n");
    assert_int_equal(loop_client_send(&when_blocked, "y"), 0);
    loop_client_expect(&when_blocked, "data: y\n\n");
    loop_client_depart(&at_end);
    loop_client_depart(&at_release);
    loop_client_depart(&when_blocked);
}

#define CROWD 150

/* All go at once, and each is replaced while the others still wait for their turn. */
static void replaced_in_hooks(void **state)
{
    static struct loop_client old[CROWD], new[CROWD];

    for (int i = 0; i < CROWD; i++) {
        loop_client_open(&old[i], *state, LOOP_CLIENT_UNIX, NULL);
        old[i].when_released = add_another;
        old[i].user = &new[i];
        sse_emitter_unref(old[i].emitter);
    }
    loop_stage_dispatch(*state);
    for (int i = 0; i < CROWD; i++)
        loop_client_leave(&old[i]);
    loop_stage_dispatch(*state);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(atomic_load(&old[i].completions), 1);
        assert_int_equal(atomic_load(&old[i].releases), 1);
        assert_int_equal(atomic_load(&new[i].completions), 0);
        assert_int_equal(loop_client_send(&new[i], "here"), 0);
        loop_client_expect(&new[i], "data: here\n\n");
    }
    for (int i = 0; i < CROWD; i++)
        loop_client_depart(&new[i]);
}

/* Emitters of the registry that are not the loop's */

static void others_in_the_registry_are_left_alone(void **state)
{
    struct loop_stage *stage = *state;
    const struct sse_emitter_options options = {
        .size = sizeof(options), .host = &stage->fake.host, .drain = SSE_DRAIN_PULL};
    struct loop_client client, other;
    struct sse_emitter *pull;
    char byte;

    assert_int_equal(sse_emitter_new(&pull, &options), 0);
    assert_int_equal(sse_registry_add(stage->registry, pull), 0);
    assert_int_equal(sse_emitter_read(pull, &byte, 1), 0);
    loop_client_connect(&other, stage, LOOP_CLIENT_UNIX);
    loop_client_make_emitter(&other, NULL);
    assert_int_equal(sse_registry_add(stage->registry, other.emitter), 0);
    (void)loop_client_fill(&other);
    assert_int_equal(sse_registry_broadcast(stage->registry, &(struct sse_event){.data = {"x", 1}}, NULL), 0);
    loop_stage_dispatch(stage);

    /* It ends, and its number now belongs to an emitter of the loop. */
    assert_int_equal(sse_emitter_complete_with_error(other.emitter, -EPROTO), 0);
    loop_client_connect(&client, stage, LOOP_CLIENT_UNIX);
    assert_int_equal(dup2(client.server_fd, other.server_fd), other.server_fd);
    close(client.server_fd);
    client.server_fd = other.server_fd;
    loop_client_make_emitter(&client, NULL);
    loop_client_add(&client);
    loop_stage_dispatch(stage);
    assert_int_equal(loop_client_send(&client, "mine"), 0);
    loop_client_expect(&client, "data: mine\n\n");
    loop_client_depart(&client);
    loop_client_close(&other);
    sse_emitter_unref(pull);
    assert_int_equal(sse_emitter_complete_with_error(pull, -EPROTO), 0);
}

/* Other threads */

/* Ended by a hand other than the loop's: the descriptor is closed all the same. */
static void ends_of_other_threads(void **state)
{
    struct loop_client client;
    struct loop_runner runner;

    loop_runner_start(&runner, *state);
    for (int i = 0; i < 100; i++) {
        loop_client_open(&client, *state, i % 2 ? LOOP_CLIENT_TCP : LOOP_CLIENT_PIPE, NULL);
        assert_int_equal(loop_client_send(&client, "x"), 0);
        if (i % 3)
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        else
            assert_int_equal(sse_emitter_complete_with_error(client.emitter, -ECANCELED), 0);
        while (descriptor_is_open(client.server_fd) || !atomic_load(&client.completions))
            sched_yield();
        loop_client_close(&client);
        while (!atomic_load(&client.releases))
            sched_yield();
    }
    loop_runner_stop(&runner);
}

/* Nothing but the add itself tells the loop, which waits already, that there is one more. */
static void departed_before_the_add_while_it_runs(void **state)
{
    struct loop_client client;
    struct loop_runner runner;

    loop_runner_start(&runner, *state);
    for (int i = 0; i < 50; i++) {
        loop_client_connect(&client, *state, LOOP_CLIENT_UNIX);
        loop_client_make_emitter(&client, NULL);
        loop_client_leave(&client);
        loop_client_add(&client);
        while (descriptor_is_open(client.server_fd))
            sched_yield();
        loop_client_close(&client);
        while (!atomic_load(&client.releases))
            sched_yield();
    }
    loop_runner_stop(&runner);
}

static void slow_reader_while_it_runs(void **state)
{
    struct loop_client client;
    struct loop_runner runner;
    pthread_t reader;
    size_t size = 0;

    loop_runner_start(&runner, *state);
    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    for (int i = 0; i < 40; i++)
        size += loop_client_fill(&client);
    client.user = (void *)(uintptr_t)size;
    assert_int_equal(pthread_create(&reader, NULL, loop_client_read_and_leave, &client), 0);
    pthread_join(reader, NULL);
    while (!atomic_load(&client.completions))
        sched_yield();
    assert_int_equal(client.reason, SSE_REASON_PEER_GONE);
    loop_runner_stop(&runner);
    loop_client_close(&client);
}

struct adder {
    struct loop_stage *stage;
    unsigned number;
    struct loop_client clients[ADDS];
    pthread_t thread;
};

/* Clients that come, and go in every way there is, without waiting for anything. */
static void *add_many(void *argument)
{
    struct adder *adder = argument;

    for (unsigned i = 0; i < ADDS; i++) {
        struct loop_client *client = &adder->clients[i];

        loop_client_open(client, adder->stage, (i + adder->number) % 3 ? LOOP_CLIENT_TCP : LOOP_CLIENT_UNIX,
                         NULL);
        (void)loop_client_send(client, "hello");
        if (i % 5 == 0)
            (void)sse_registry_broadcast(adder->stage->registry, &(struct sse_event){.data = {"all", 3}},
                                         NULL);
        if (i % 4 == 0)
            (void)sse_emitter_complete(client->emitter);
        if (i % 4 == 1)
            (void)sse_emitter_complete_with_error(client->emitter, -ECANCELED);
        if (i % 4 == 2)
            loop_client_leave(client);
        if (i % 8 == 3)
            shutdown(client->fd, SHUT_WR);
    }
    return NULL;
}

static void adds_of_other_threads(void **state)
{
    static struct adder adders[ADDERS];
    struct loop_runner runner;
    int closed = 0;

    loop_runner_start(&runner, *state);
    for (unsigned i = 0; i < ADDERS; i++) {
        adders[i].stage = *state;
        adders[i].number = i;
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add_many, &adders[i]), 0);
    }
    for (int i = 0; i < ADDERS; i++)
        pthread_join(adders[i].thread, NULL);
    for (int i = 0; i < ADDERS * ADDS; i++) {
        struct loop_client *client = &adders[i / ADDS].clients[i % ADDS];

        loop_client_leave(client);
        while (!atomic_load(&client->completions))
            sched_yield();
        loop_client_close(client);
        while (!atomic_load(&client->releases))
            sched_yield();
        closed += atomic_load(&client->completions);
    }
    assert_int_equal(closed, ADDERS * ADDS);
    loop_runner_stop(&runner);
}

#if CAN_CANCEL
/* Only the wait can be cancelled, and then the loop is as it was before. */
static void cancelled_run_leaves_the_loop_usable(void **state)
{
    struct loop_client client;
    struct loop_runner runner;
    void *result;

    for (int i = 0; i < 20; i++) {
        loop_client_connect(&client, *state, LOOP_CLIENT_TCP);
        loop_client_make_emitter(&client, NULL);
        loop_runner_start(&runner, *state);
        loop_client_add(&client);
        assert_int_equal(pthread_cancel(runner.thread), 0);
        pthread_join(runner.thread, &result);
        assert_ptr_equal(result, PTHREAD_CANCELED);
        assert_int_equal(loop_client_send(&client, "x"), 0);
        loop_client_expect(&client, "data: x\n\n");
        loop_client_depart(&client);
    }
}
#endif

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(stop_before_the_run_ends_it, poller),
        TEST(one_stop_ends_one_run, poller),
        TEST(dispatch_leaves_the_stop_to_the_run, poller),
        TEST(stop_from_a_signal_handler, poller),
        TEST(many_stops, poller),
        TEST(stop_from_a_hook, poller),
        TEST(run_and_dispatch_in_a_hook_are_deadlocks, poller),
        TEST(dispatch_in_a_hook_outside_of_the_loop, poller),
        TEST(add_in_hooks, poller),
        TEST(replaced_in_hooks, poller),
        TEST(others_in_the_registry_are_left_alone, poller),
        TEST(ends_of_other_threads, poller),
        TEST(departed_before_the_add_while_it_runs, poller),
        TEST(slow_reader_while_it_runs, poller),
        TEST(adds_of_other_threads, poller),
#if CAN_CANCEL
        TEST(cancelled_run_leaves_the_loop_usable, poller),
#endif
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    int failed = run(&pollers[0], "poll");

    if (loop_stage_has(SSE_POLLER_EPOLL))
        failed += run(&pollers[1], "epoll");
    return failed;
}
