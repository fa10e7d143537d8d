/* SPDX-License-Identifier: MIT */
/* How long a polled loop waits, and how another event loop waits for it by its descriptor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop.h"
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

/* The loop's own wait */

static void dispatch_waits_no_longer_than_it_is_told(void **state)
{
    struct loop_stage *stage = *state;

    assert_int_equal(sse_loop_dispatch(stage->loop, 0), 0);
    assert_int_equal(sse_loop_dispatch(stage->loop, 1), 0);
}

static void timers_end_the_wait(void **state)
{
    const struct sse_emitter_options options = {.lifetime_ms = 20, .heartbeat_ms = 1};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, &options);
    while (!atomic_load(&client.completions))
        assert_int_equal(sse_loop_dispatch(client.stage->loop, -1), 0);
    assert_int_equal(client.reason, SSE_REASON_LIFETIME);
    loop_client_close(&client);
}

/* A client that reads nothing, a blocked one that has closed its sending side, and an earlier stop: the loop still
 * sleeps until the timer is due. */
static void it_sleeps_while_nothing_happens(void **state)
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
    loop_client_close(&mortal);
    assert_int_equal(sse_emitter_complete(half_closed.emitter), 0);
    loop_client_depart(&half_closed);
    loop_client_depart(&blocked);
}

/* The loop waits without a limit when the timer is started. */
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

static void a_signal_ends_a_dispatch_without_error(void **state)
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

static void only_one_poller_has_a_descriptor(void **state)
{
    struct loop_stage *stage = *state;
    int fd = sse_loop_fd(stage->loop);

    if (stage->poller == SSE_POLLER_POLL)
        assert_int_equal(fd, -ENOTSUP);
    else
        assert_true(fd >= 0);
    assert_int_equal(sse_loop_fd(stage->loop), fd);
}

static void *ask_for_descriptor(void *argument)
{
    struct loop_stage *stage = argument;
    int fd = sse_loop_fd(stage->loop);

    for (int i = 0; i < 1000; i++)
        if (sse_loop_fd(stage->loop) != fd)
            abort();
    return NULL;
}

static void any_thread_may_ask_for_the_descriptor(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_runner runner;
    struct loop_client client;
    pthread_t thread;

    loop_runner_start(&runner, stage);
    assert_int_equal(pthread_create(&thread, NULL, ask_for_descriptor, stage), 0);
    loop_client_open(&client, stage, LOOP_CLIENT_UNIX, NULL);
    assert_int_equal(sse_emitter_complete(client.emitter), 0);
    loop_client_close(&client);
    pthread_join(thread, NULL);
    loop_runner_stop(&runner);
}

/* Inside another loop */

/* Returns true if there is nothing left to do. */
static bool comes_to_rest(struct loop_stage *stage)
{
    for (int i = 0; i < 20; i++) {
        if (!descriptor_is_readable(sse_loop_fd(stage->loop)) &&
            !descriptor_is_readable(sse_loop_fd(stage->loop)))
            return true;
        loop_stage_dispatch(stage);
    }
    return false;
}

/* Something has made the descriptor readable. Dispatches until it is not readable any more. */
static void is_called_for(struct loop_stage *stage)
{
    assert_true(descriptor_is_readable(sse_loop_fd(stage->loop)));
    assert_true(comes_to_rest(stage));
}

static void the_descriptor_is_readable_while_there_is_work(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client clients[4];
    size_t size;

    assert_true(sse_loop_fd(stage->loop) >= 0);
    assert_true(comes_to_rest(stage));
    for (int i = 0; i < 4; i++)
        loop_client_open(&clients[i], stage, LOOP_CLIENT_UNIX, NULL);
    assert_true(comes_to_rest(stage));
    /* Another thread marks the emitter, and the loop writes. */
    size = loop_client_fill(&clients[0]);
    (void)descriptor_is_readable(sse_loop_fd(stage->loop));
    assert_true(comes_to_rest(stage));
    /* The socket has room again. */
    while (size) {
        char buffer[65536];
        ssize_t received = read(clients[0].fd, buffer, sizeof(buffer));

        if (received > 0)
            size -= (size_t)received;
        assert_true(received > 0 || descriptor_is_readable(sse_loop_fd(stage->loop)));
        if (received < 0)
            loop_stage_dispatch(stage);
    }
    assert_true(comes_to_rest(stage));
    /* A complete, a close, a disconnect, and a stop. */
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    is_called_for(stage);
    assert_false(descriptor_is_open(clients[1].server_fd));
    sse_emitter_close(clients[2].emitter);
    clients[2].emitter = NULL;
    is_called_for(stage);
    assert_int_equal(atomic_load(&clients[2].releases), 1);
    loop_client_leave(&clients[3]);
    is_called_for(stage);
    assert_false(descriptor_is_open(clients[3].server_fd));
    assert_int_equal(sse_loop_stop(stage->loop), 0);
    is_called_for(stage);
    assert_int_equal(sse_loop_finish(stage->loop), 0);
    (void)comes_to_rest(stage);
    loop_client_depart(&clients[0]);
    loop_client_close(&clients[1]);
    loop_client_leave(&clients[2]);
    loop_client_close(&clients[3]);
}

/* Dispatching events does not wake the loop again. */
static void one_dispatch_is_enough_for_what_a_client_sent(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;

    loop_client_open(&client, stage, LOOP_CLIENT_UNIX, NULL);
    (void)sse_loop_fd(stage->loop);
    assert_true(comes_to_rest(stage));
    assert_int_equal(send(client.fd, "x", 1, 0), 1);
    assert_true(descriptor_is_readable(sse_loop_fd(stage->loop)));
    loop_stage_dispatch(stage);
    assert_false(descriptor_is_readable(sse_loop_fd(stage->loop)));
    loop_client_close(&client);
}

static ssize_t take_little(void *user, const struct iovec *iov, int count)
{
    (void)iov, (void)count;
    ++*(unsigned *)user;
    return 1;
}

/* There is more than one turn writes. The descriptor stays readable until everything is written. */
static void work_that_is_left_over_calls_again(void **state)
{
    struct loop_stage *stage = *state;
    unsigned writes = 0;
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = &stage->fake.platform,
                                          .loop = stage->loop,
                                          .output = SSE_OUTPUT_CALLBACK,
                                          .write = take_little,
                                          .user = &writes,
                                          .heartbeat_ms = SSE_TIMER_OFF,
                                          .stall_ms = SSE_TIMER_OFF};
    struct sse_emitter_info info;
    struct sse_emitter *emitter;
    unsigned turns = 0;
    char text[1000];

    memset(text, 'x', sizeof(text));
    (void)sse_loop_fd(stage->loop);
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
    assert_int_equal(sse_emitter_send(emitter, &(struct sse_event){.data = {text, sizeof(text)}}), 0);
    do {
        assert_true(descriptor_is_readable(sse_loop_fd(stage->loop)));
        loop_stage_dispatch(stage);
        turns++;
        assert_int_equal(sse_emitter_get_info(emitter, &info, sizeof(info)), 0);
    } while (info.queued_messages);
    assert_true(turns > 1);
    assert_int_equal(writes, 2 + sizeof(text) + strlen("data: \n\n"));
    assert_true(comes_to_rest(stage));
    sse_emitter_close(emitter);
    assert_true(comes_to_rest(stage));
    assert_int_equal(sse_loop_count(stage->loop), 0);
}

/* An outer loop that waits for the descriptor alone, without a timeout. */
static void outer_loop(struct loop_stage *stage, struct loop_client *client)
{
    struct pollfd poll_fd = {.fd = sse_loop_fd(stage->loop), .events = POLLIN};

    while (!atomic_load(&client->completions)) {
        assert_int_equal(poll(&poll_fd, 1, -1), 1);
        loop_stage_dispatch(stage);
    }
}

static void it_runs_inside_another_loop(void **state)
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
    assert_int_equal(client.reason, SSE_REASON_DISCONNECTED);
    loop_client_close(&client);
}

/* The descriptor also reports timers, in whatever order they are started. */
static void the_descriptor_tells_of_timers(void **state)
{
    struct loop_stage *stage = *state;

    for (int late = 0; late < 2; late++) {
        const struct sse_emitter_options longer = {.lifetime_ms = 60000, .heartbeat_ms = SSE_TIMER_OFF};
        const struct sse_emitter_options mortal = {.lifetime_ms = 10, .heartbeat_ms = SSE_TIMER_OFF};
        const struct sse_emitter_options beats = {.lifetime_ms = 30, .heartbeat_ms = 1};
        struct loop_client clients[3];

        if (!late)
            assert_true(sse_loop_fd(stage->loop) >= 0);
        loop_client_open(&clients[0], stage, LOOP_CLIENT_TCP, &longer);
        (void)comes_to_rest(stage);
        loop_client_open(&clients[1], stage, LOOP_CLIENT_TCP, &mortal);
        outer_loop(stage, &clients[1]);
        assert_int_equal(clients[1].reason, SSE_REASON_LIFETIME);
        loop_client_open(&clients[2], stage, LOOP_CLIENT_TCP, &beats);
        outer_loop(stage, &clients[2]);
        assert_int_equal(clients[2].reason, SSE_REASON_LIFETIME);
        loop_client_expect(&clients[2], ":\n");
        loop_client_close(&clients[1]);
        loop_client_close(&clients[2]);
        loop_client_depart(&clients[0]);
        sse_loop_free(stage->loop);
        loop_stage_open_loop(stage);
    }
}

/* The writes to the descriptor that wakes the loop, since the last time: an eventfd adds them up, and of a
 * pipe each is a number of its own. */
static uint64_t wakes_of(const struct sse_loop *loop)
{
    uint64_t words[64] = {0}, sum = 0;
    ssize_t size = read(loop->wake.reader, words, sizeof(words));

    for (ssize_t i = 0; i < size / (ssize_t)sizeof(words[0]); i++)
        sum += words[i];
    return sum;
}

#define TOPICS 4

static struct sse_text topic(size_t number)
{
    static const char *const names[TOPICS] = {"a", "b", "c", "d"};

    return sse_str(names[number % TOPICS]);
}

/* Each topic has a client of its own: the first events of a burst mark one emitter after the other. */
static void publish_burst(struct loop_stage *stage)
{
    const struct sse_event event = {.data = sse_str("x")};

    for (size_t i = 0; i < 16; i++)
        assert_int_equal(sse_registry_publish(stage->registry, topic(i), &event, NULL), 0);
}

static void a_burst_wakes_the_loop_once(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client clients[TOPICS];

    for (size_t i = 0; i < TOPICS; i++) {
        const struct sse_text name = topic(i);
        const struct sse_emitter_options options = {
            .topics = &name, .topic_count = 1, .heartbeat_ms = SSE_TIMER_OFF};

        loop_client_open(&clients[i], stage, LOOP_CLIENT_TCP, &options);
    }
    for (int burst = 0; burst < 3; burst++) {
        loop_stage_dispatch(stage);
        loop_stage_dispatch(stage);
        assert_int_equal(wakes_of(stage->loop), 0);
        publish_burst(stage);
        assert_int_equal(wakes_of(stage->loop), 1);
        /* It is awake until its turn has ended. */
        publish_burst(stage);
        assert_int_equal(wakes_of(stage->loop), 0);
    }
    for (size_t i = 0; i < TOPICS; i++)
        loop_client_depart(&clients[i]);
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
        TEST(dispatch_waits_no_longer_than_it_is_told, poller),
        TEST_REAL_TIME(timers_end_the_wait, poller),
        TEST_REAL_TIME(it_sleeps_while_nothing_happens, poller),
        TEST_REAL_TIME(timer_of_another_thread_ends_the_wait, poller),
        TEST(a_signal_ends_a_dispatch_without_error, poller),
        TEST(only_one_poller_has_a_descriptor, poller),
        TEST(any_thread_may_ask_for_the_descriptor, poller),
        TEST(a_burst_wakes_the_loop_once, poller),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

/* Tests that need a poller with a descriptor. */
static int run_with_descriptor(const enum sse_poller *poller)
{
    const struct CMUnitTest tests[] = {
        TEST(the_descriptor_is_readable_while_there_is_work, poller),
        TEST(one_dispatch_is_enough_for_what_a_client_sent, poller),
        TEST(work_that_is_left_over_calls_again, poller),
        TEST(it_runs_inside_another_loop, poller),
        TEST_REAL_TIME(the_descriptor_tells_of_timers, poller),
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
