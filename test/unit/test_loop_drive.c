/* SPDX-License-Identifier: MIT */
/* How a loop is run, stopped, waited for and called from hooks, signal handlers and other threads. */
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

static int set_up_with(void **state, bool real_time)
{
    const enum sse_poller *poller = *state;
    struct loop_stage *stage = malloc(sizeof(*stage));

    assert_non_null(stage);
    loop_stage_open(stage, *poller, real_time);
    loop_stage_open_loop(stage);
    *state = stage;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, false);
}

static int set_up_real_time(void **state)
{
    return set_up_with(state, true);
}

static int tear_down(void **state)
{
    loop_stage_close(*state);
    free(*state);
    return 0;
}

static void dispatch(struct loop_stage *stage)
{
    assert_int_equal(sse_loop_dispatch(stage->loop, 0), 0);
}

static void leaves(struct loop_client *client)
{
    loop_client_leave(client);
    loop_client_dispatch_to_end(client);
    loop_client_close(client);
}

/* A thread that runs the loop until it is stopped. */
struct runner {
    struct loop_stage *stage;
    pthread_t thread;
    int result;
    atomic_bool done;
};

static void *run_loop(void *argument)
{
    struct runner *runner = argument;

    runner->result = sse_loop_run(runner->stage->loop);
    atomic_store(&runner->done, true);
    return NULL;
}

static void start(struct runner *runner, struct loop_stage *stage)
{
    *runner = (struct runner){.stage = stage, .result = 1};
    assert_int_equal(pthread_create(&runner->thread, NULL, run_loop, runner), 0);
}

static void stop(struct runner *runner)
{
    assert_int_equal(sse_loop_stop(runner->stage->loop), 0);
    assert_int_equal(pthread_join(runner->thread, NULL), 0);
    assert_int_equal(runner->result, 0);
}

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
    struct runner runner;

    for (int i = 0; i < 50; i++) {
        start(&runner, *state);
        if (i % 2)
            sched_yield();
        stop(&runner);
    }
}

/* A dispatch is not a run: the stop is still for the run. */
static void dispatch_leaves_the_stop_to_the_run(void **state)
{
    struct loop_stage *stage = *state;

    assert_int_equal(sse_loop_stop(stage->loop), 0);
    dispatch(stage);
    dispatch(stage);
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
    struct runner runner;

    loop_of_handler = stage->loop;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    /* Before the run, in this very thread. */
    raise(SIGUSR1);
    assert_int_equal(sse_loop_run(stage->loop), 0);
    /* And in the thread that runs, wherever it is; the thread sanitizer loses signals to new threads. */
    start(&runner, stage);
    while (!atomic_load(&runner.done)) {
        pthread_kill(runner.thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(runner.thread, NULL);
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
    dispatch(stage);
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
    leaves(&client);
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
    leaves(&at_end);
    leaves(&at_release);
    leaves(&when_blocked);
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
    dispatch(*state);
    for (int i = 0; i < CROWD; i++)
        loop_client_leave(&old[i]);
    dispatch(*state);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(atomic_load(&old[i].completions), 1);
        assert_int_equal(atomic_load(&old[i].releases), 1);
        assert_int_equal(atomic_load(&new[i].completions), 0);
        assert_int_equal(loop_client_send(&new[i], "here"), 0);
        loop_client_expect(&new[i], "data: here\n\n");
    }
    for (int i = 0; i < CROWD; i++)
        leaves(&new[i]);
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
    dispatch(stage);

    /* It ends, and its number now belongs to an emitter of the loop. */
    assert_int_equal(sse_emitter_complete_with_error(other.emitter, -EPROTO), 0);
    loop_client_connect(&client, stage, LOOP_CLIENT_UNIX);
    assert_int_equal(dup2(client.server_fd, other.server_fd), other.server_fd);
    close(client.server_fd);
    client.server_fd = other.server_fd;
    loop_client_make_emitter(&client, NULL);
    loop_client_add(&client);
    dispatch(stage);
    assert_int_equal(loop_client_send(&client, "mine"), 0);
    loop_client_expect(&client, "data: mine\n\n");
    leaves(&client);
    loop_client_close(&other);
    sse_emitter_unref(pull);
    assert_int_equal(sse_emitter_complete_with_error(pull, -EPROTO), 0);
}

/* Waiting */

static void dispatch_waits_no_longer_than_it_was_told(void **state)
{
    struct loop_stage *stage = *state;

    assert_int_equal(sse_loop_dispatch(stage->loop, 0), 0);
    assert_int_equal(sse_loop_dispatch(stage->loop, 1), 0);
}

static void timers_end_the_wait(void **state)
{
    const struct sse_emitter_options options = {.lifetime_ms = 2, .heartbeat_ms = 1};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, &options);
    while (!atomic_load(&client.completions))
        assert_int_equal(sse_loop_dispatch(client.stage->loop, -1), 0);
    assert_int_equal(client.reason, SSE_REASON_LIFETIME);
    leaves(&client);
}

/* A client that reads nothing, one that was blocked and has closed its sending side, and a stop that
 * came before: none of that keeps the loop awake until the timer is due. */
static void sleeps_while_nothing_happens(void **state)
{
    const struct sse_emitter_options options = {.lifetime_ms = 50, .heartbeat_ms = SSE_TIMER_OFF};
    struct loop_client mortal, half_closed, blocked;
    struct loop_stage *stage = *state;
    unsigned rounds = 0;

    loop_client_open(&half_closed, stage, LOOP_CLIENT_TCP, NULL);
    loop_client_open(&blocked, stage, LOOP_CLIENT_TCP, NULL);
    (void)loop_client_fill(&blocked);
    loop_client_drain(&half_closed, loop_client_fill(&half_closed));
    assert_int_equal(shutdown(half_closed.fd, SHUT_WR), 0);
    loop_client_expect(&half_closed, ":\n");
    assert_int_equal(sse_loop_stop(stage->loop), 0);
    assert_int_equal(sse_loop_run(stage->loop), 0);
    loop_client_open(&mortal, stage, LOOP_CLIENT_TCP, &options);
    for (; !atomic_load(&mortal.completions); rounds++)
        assert_int_equal(sse_loop_dispatch(stage->loop, -1), 0);
    assert_in_range(rounds, 1, 30);
    leaves(&mortal);
    assert_int_equal(sse_emitter_complete(half_closed.emitter), 0);
    leaves(&half_closed);
    leaves(&blocked);
}

/* The loop waits for ever when the timer comes to be. */
static void timer_of_another_thread_ends_the_wait(void **state)
{
    const struct sse_emitter_options options = {.lifetime_ms = 1, .heartbeat_ms = SSE_TIMER_OFF};
    struct loop_client client;
    struct runner runner;

    start(&runner, *state);
    loop_client_open(&client, *state, LOOP_CLIENT_TCP, &options);
    while (descriptor_is_open(client.server_fd) || !atomic_load(&client.completions))
        sched_yield();
    assert_int_equal(client.reason, SSE_REASON_LIFETIME);
    stop(&runner);
    loop_client_close(&client);
}

static void next_timeout_is_that_of_the_next_timer(void **state)
{
    const struct sse_emitter_options options = {.lifetime_ms = 1000, .heartbeat_ms = SSE_TIMER_OFF};
    struct loop_stage *stage = *state;
    struct loop_client client;

    assert_int_equal(sse_loop_next_timeout(stage->loop), -1);
    loop_client_open(&client, stage, LOOP_CLIENT_TCP, &options);
    assert_int_equal(sse_loop_next_timeout(stage->loop), 0);
    dispatch(stage);
    assert_int_equal(sse_loop_next_timeout(stage->loop), 1000);
    fake_host_advance_ms(&stage->fake, 400);
    assert_int_equal(sse_loop_next_timeout(stage->loop), 600);
    fake_host_advance_ms(&stage->fake, 600);
    assert_int_equal(sse_loop_next_timeout(stage->loop), 0);
    dispatch(stage);
    assert_int_equal(sse_loop_next_timeout(stage->loop), -1);
    leaves(&client);
}

static void on_signal(int number)
{
    (void)number;
}

static void *dispatch_once(void *argument)
{
    struct runner *runner = argument;

    runner->result = sse_loop_dispatch(runner->stage->loop, -1);
    atomic_store(&runner->done, true);
    return NULL;
}

static void signal_ends_a_dispatch_without_error(void **state)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct runner runner = {.stage = *state, .result = 1};
    struct sigaction before;

    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(pthread_create(&runner.thread, NULL, dispatch_once, &runner), 0);
    while (!atomic_load(&runner.done)) {
        pthread_kill(runner.thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(runner.thread, NULL);
    assert_int_equal(runner.result, 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* Within another loop */

static bool readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

/* True if there is nothing to do any more. */
static bool comes_to_rest(struct loop_stage *stage, int fd)
{
    for (int i = 0; i < 10; i++) {
        if (!readable(fd) && sse_loop_next_timeout(stage->loop))
            return true;
        dispatch(stage);
    }
    return false;
}

static void descriptor_tells_what_there_is_to_do(void **state)
{
    const struct sse_emitter_options mortal = {.lifetime_ms = 1000, .heartbeat_ms = SSE_TIMER_OFF};
    struct loop_stage *stage = *state;
    int fd = sse_loop_fd(stage->loop);
    struct loop_client clients[4];
    size_t size;

    if (stage->poller == SSE_POLLER_POLL) {
        assert_int_equal(fd, -ENOTSUP);
        return;
    }
    assert_true(fd >= 0);
    assert_true(comes_to_rest(stage, fd));
    /* One that is new. */
    loop_client_open(&clients[0], stage, LOOP_CLIENT_UNIX, NULL);
    assert_true(readable(fd));
    loop_client_open(&clients[1], stage, LOOP_CLIENT_UNIX, NULL);
    loop_client_open(&clients[2], stage, LOOP_CLIENT_UNIX, NULL);
    assert_true(comes_to_rest(stage, fd));
    /* A deadline that is nearer than the last one that was asked for. */
    loop_client_open(&clients[3], stage, LOOP_CLIENT_UNIX, &mortal);
    assert_true(readable(fd));
    assert_true(comes_to_rest(stage, fd));
    /* One that is blocked, and then has room. */
    size = loop_client_fill(&clients[0]);
    assert_true(readable(fd));
    assert_true(comes_to_rest(stage, fd));
    while (size) {
        char buffer[65536];
        ssize_t received = read(clients[0].fd, buffer, sizeof(buffer));

        if (received > 0)
            size -= (size_t)received;
        assert_true(received > 0 || readable(fd));
        if (received < 0)
            dispatch(stage);
    }
    assert_true(comes_to_rest(stage, fd));
    /* One that is completed, one that leaves, and a stop. */
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    assert_true(readable(fd));
    assert_true(comes_to_rest(stage, fd));
    assert_false(descriptor_is_open(clients[1].server_fd));
    loop_client_leave(&clients[2]);
    assert_true(readable(fd));
    assert_true(comes_to_rest(stage, fd));
    assert_false(descriptor_is_open(clients[2].server_fd));
    assert_int_equal(sse_loop_stop(stage->loop), 0);
    assert_true(readable(fd));
    assert_true(comes_to_rest(stage, fd));
    assert_int_equal(sse_loop_fd(stage->loop), fd);
    for (int i = 0; i < 4; i++)
        leaves(&clients[i]);
}

/* The loop inside a poll of somebody else's, which sleeps between. */
static void outer_loop(struct loop_stage *stage, struct loop_client *client)
{
    struct pollfd poll_fd = {.fd = sse_loop_fd(stage->loop), .events = POLLIN};

    while (!atomic_load(&client->completions)) {
        assert_true(poll(&poll_fd, 1, sse_loop_next_timeout(stage->loop)) >= 0);
        dispatch(stage);
    }
}

static void *read_all_and_leave(void *argument)
{
    struct loop_client *client = argument;
    size_t expected = (size_t)(uintptr_t)client->user;
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    char buffer[65536];
    ssize_t received;

    while (expected && poll(&poll_fd, 1, -1) == 1) {
        received = read(client->fd, buffer, sizeof(buffer));
        if (received > 0)
            expected -= (size_t)received;
    }
    loop_client_leave(client);
    return NULL;
}

static void runs_inside_another_loop(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;
    pthread_t thread;
    size_t size;

    loop_client_open(&client, stage, LOOP_CLIENT_TCP, NULL);
    size = loop_client_fill(&client);
    for (int i = 0; i < 40; i++)
        size += loop_client_fill(&client);
    client.user = (void *)(uintptr_t)size;
    assert_int_equal(pthread_create(&thread, NULL, read_all_and_leave, &client), 0);
    outer_loop(stage, &client);
    pthread_join(thread, NULL);
    assert_int_equal(client.reason, SSE_REASON_PEER_GONE);
    leaves(&client);
}

/* Other threads */

/* Ended by a hand other than the loop's: the descriptor is closed all the same. */
static void ends_of_other_threads(void **state)
{
    struct loop_client client;
    struct runner runner;

    start(&runner, *state);
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
    stop(&runner);
}

/* Nothing but the add itself tells the loop, which waits already, that there is one more. */
static void departed_before_the_add_while_it_runs(void **state)
{
    struct loop_client client;
    struct runner runner;

    start(&runner, *state);
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
    stop(&runner);
}

static void slow_reader_while_it_runs(void **state)
{
    struct loop_client client;
    struct runner runner;
    pthread_t reader;
    size_t size = 0;

    start(&runner, *state);
    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    for (int i = 0; i < 40; i++)
        size += loop_client_fill(&client);
    client.user = (void *)(uintptr_t)size;
    assert_int_equal(pthread_create(&reader, NULL, read_all_and_leave, &client), 0);
    pthread_join(reader, NULL);
    while (!atomic_load(&client.completions))
        sched_yield();
    assert_int_equal(client.reason, SSE_REASON_PEER_GONE);
    stop(&runner);
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
    struct runner runner;
    int closed = 0;

    start(&runner, *state);
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
    stop(&runner);
}

#if CAN_CANCEL
/* Only the wait can be cancelled, and then the loop is as it was before. */
static void cancelled_run_leaves_the_loop_usable(void **state)
{
    struct loop_client client;
    struct runner runner;
    void *result;

    for (int i = 0; i < 20; i++) {
        loop_client_connect(&client, *state, LOOP_CLIENT_TCP);
        loop_client_make_emitter(&client, NULL);
        start(&runner, *state);
        loop_client_add(&client);
        assert_int_equal(pthread_cancel(runner.thread), 0);
        pthread_join(runner.thread, &result);
        assert_ptr_equal(result, PTHREAD_CANCELED);
        assert_int_equal(loop_client_send(&client, "x"), 0);
        loop_client_expect(&client, "data: x\n\n");
        leaves(&client);
    }
}
#endif

/* The child has copies of the descriptors, but an epoll in common with its parent. */
static void free_in_a_forked_child_leaves_the_parent_alone(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;
    int status;
    pid_t child;

    loop_client_open(&client, stage, LOOP_CLIENT_TCP, NULL);
    dispatch(stage);
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        sse_loop_free(stage->loop);
        /* An exit would have leaks looked for: the rest is not freed here. */
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    loop_client_drain(&client, loop_client_fill(&client));
    leaves(&client);
}

#define TEST(function, poller) {#function, function, set_up, tear_down, (void *)(uintptr_t)(poller)}
#define TEST_REAL_TIME(function, poller)                                                                    \
    {#function, function, set_up_real_time, tear_down, (void *)(uintptr_t)(poller)}

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
        TEST(dispatch_waits_no_longer_than_it_was_told, poller),
        TEST_REAL_TIME(timers_end_the_wait, poller),
        TEST_REAL_TIME(sleeps_while_nothing_happens, poller),
        TEST_REAL_TIME(timer_of_another_thread_ends_the_wait, poller),
        TEST(next_timeout_is_that_of_the_next_timer, poller),
        TEST(signal_ends_a_dispatch_without_error, poller),
        TEST(descriptor_tells_what_there_is_to_do, poller),
        TEST(ends_of_other_threads, poller),
        TEST(departed_before_the_add_while_it_runs, poller),
        TEST(slow_reader_while_it_runs, poller),
        TEST(adds_of_other_threads, poller),
#if CAN_CANCEL
        TEST(cancelled_run_leaves_the_loop_usable, poller),
#endif
        TEST(free_in_a_forked_child_leaves_the_parent_alone, poller),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

/* What only a poller with a descriptor can do. */
static int run_with_descriptor(const enum sse_poller *poller)
{
    const struct CMUnitTest tests[] = {
        TEST(runs_inside_another_loop, poller),
    };

    return cmocka_run_group_tests_name("descriptor", tests, NULL, NULL);
}

int main(void)
{
    int failed = run(&pollers[0], "poll");

    if (loop_stage_has(SSE_POLLER_EPOLL))
        failed += run(&pollers[1], "epoll") + run_with_descriptor(&pollers[1]);
    return failed;
}
