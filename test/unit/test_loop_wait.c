/* SPDX-License-Identifier: MIT */
/* How long a loop waits, and how another loop waits for it. */
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
#include <unistd.h>

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

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
    loop_client_depart(&client);
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
    loop_client_depart(&mortal);
    assert_int_equal(sse_emitter_complete(half_closed.emitter), 0);
    loop_client_depart(&half_closed);
    loop_client_depart(&blocked);
}

/* The loop waits for ever when the timer comes to be. */
static void timer_of_another_thread_ends_the_wait(void **state)
{
    const struct sse_emitter_options options = {.lifetime_ms = 1, .heartbeat_ms = SSE_TIMER_OFF};
    struct loop_client client;
    struct loop_runner runner;

    loop_runner_start(&runner, *state);
    loop_client_open(&client, *state, LOOP_CLIENT_TCP, &options);
    while (descriptor_is_open(client.server_fd) || !atomic_load(&client.completions))
        sched_yield();
    assert_int_equal(client.reason, SSE_REASON_LIFETIME);
    loop_runner_stop(&runner);
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
    loop_stage_dispatch(stage);
    assert_int_equal(sse_loop_next_timeout(stage->loop), 1000);
    fake_host_advance_ms(&stage->fake, 400);
    assert_int_equal(sse_loop_next_timeout(stage->loop), 600);
    fake_host_advance_ms(&stage->fake, 600);
    assert_int_equal(sse_loop_next_timeout(stage->loop), 0);
    loop_stage_dispatch(stage);
    assert_int_equal(sse_loop_next_timeout(stage->loop), -1);
    loop_client_depart(&client);
}

static void on_signal(int number)
{
    (void)number;
}

static void *dispatch_once(void *argument)
{
    struct loop_runner *runner = argument;

    runner->result = sse_loop_dispatch(runner->stage->loop, -1);
    atomic_store(&runner->done, true);
    return NULL;
}

static void signal_ends_a_dispatch_without_error(void **state)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct loop_runner runner = {.stage = *state, .result = 1};
    struct sigaction before;

    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(pthread_create(&runner.thread, NULL, dispatch_once, &runner), 0);
    while (!atomic_load(&runner.done)) {
        pthread_kill(runner.thread, SIGUSR1);
        sched_yield();
    }
    loop_runner_join(&runner);
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
        loop_stage_dispatch(stage);
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
            loop_stage_dispatch(stage);
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
        loop_client_depart(&clients[i]);
}

/* The loop inside a poll of somebody else's, which sleeps between. */
static void outer_loop(struct loop_stage *stage, struct loop_client *client)
{
    struct pollfd poll_fd = {.fd = sse_loop_fd(stage->loop), .events = POLLIN};

    while (!atomic_load(&client->completions)) {
        assert_true(poll(&poll_fd, 1, sse_loop_next_timeout(stage->loop)) >= 0);
        loop_stage_dispatch(stage);
    }
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
    assert_int_equal(pthread_create(&thread, NULL, loop_client_read_and_leave, &client), 0);
    outer_loop(stage, &client);
    pthread_join(thread, NULL);
    assert_int_equal(client.reason, SSE_REASON_PEER_GONE);
    loop_client_depart(&client);
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))
#define TEST_REAL_TIME(function, poller)                                                                     \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up_real_time, loop_stage_tear_down,    \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(dispatch_waits_no_longer_than_it_was_told, poller),
        TEST_REAL_TIME(timers_end_the_wait, poller),
        TEST_REAL_TIME(sleeps_while_nothing_happens, poller),
        TEST_REAL_TIME(timer_of_another_thread_ends_the_wait, poller),
        TEST(next_timeout_is_that_of_the_next_timer, poller),
        TEST(signal_ends_a_dispatch_without_error, poller),
        TEST(descriptor_tells_what_there_is_to_do, poller),
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
