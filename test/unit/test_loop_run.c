/* SPDX-License-Identifier: MIT */
/* How a polled loop is run, stopped and finished, and called from callbacks and signal handlers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop.h"
#include "loop_stage.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* AddressSanitizer mistakes the frames of a cancelled thread for live ones. */
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

/* A dispatch is not a run, so the stop stays for the run. */
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
    /* The signal comes before the run, in the same thread. */
    raise(SIGUSR1);
    assert_int_equal(sse_loop_run(stage->loop), 0);
    /* The signal comes in the thread that runs, at any point. ThreadSanitizer loses signals to new threads. */
    loop_runner_start(&runner, stage);
    while (!atomic_load(&runner.done)) {
        pthread_kill(runner.thread, SIGUSR1);
        sched_yield();
    }
    loop_runner_join(&runner);
    assert_int_equal(runner.result, 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* It is stopped so often that its pipe or counter is full. */
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

/* The other timer is due in 24 days. The clock does not move, so a timer that is waited for never runs. */
static void a_dispatch_ends_by_its_timeout_or_by_a_timer(void **state)
{
    const struct sse_emitter_options soon = {
        .lifetime_ms = 1, .stall_ms = SSE_TIMER_OFF, .heartbeat_ms = SSE_TIMER_OFF};
    const struct sse_emitter_options late = {
        .lifetime_ms = INT_MAX, .stall_ms = SSE_TIMER_OFF, .heartbeat_ms = SSE_TIMER_OFF};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, &late);
    loop_stage_dispatch(*state);
    assert_int_equal(sse_loop_dispatch(client.stage->loop, 1), 0);
    loop_client_close(&client);
    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, &soon);
    loop_stage_dispatch(*state);
    assert_int_equal(sse_loop_dispatch(client.stage->loop, INT_MAX), 0);
    assert_int_equal(atomic_load(&client.completions), 0);
    loop_client_close(&client);
}

static void stop_loop(struct loop_client *client)
{
    sse_loop_stop(client->stage->loop);
}

static void stop_from_a_callback(void **state)
{
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    client.when_ended = stop_loop;
    loop_client_leave(&client);
    assert_int_equal(sse_loop_run(client.stage->loop), 0);
    assert_int_equal(client.reason, SSE_REASON_DISCONNECTED);
    loop_client_close(&client);
}

/* Finish */

static void an_empty_loop_finishes_at_once(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;
    struct loop_runner runner;

    loop_runner_start(&runner, stage);
    assert_int_equal(sse_loop_finish(stage->loop), 0);
    loop_runner_join(&runner);
    assert_int_equal(runner.result, 0);
    assert_int_equal(sse_loop_run(stage->loop), 0);
    loop_client_connect(&client, stage, LOOP_CLIENT_UNIX);
    assert_int_equal(loop_client_try_open(&client, NULL), -ECONNREFUSED);
    assert_true(descriptor_is_open(client.server_fd));
    assert_true(loop_client_is_quiet(&client));
    close(client.server_fd);
    loop_client_leave(&client);
    assert_int_equal(sse_loop_finish(stage->loop), 0);
}

/* A registry that has no memory for a new emitter. When it asks for some, another thread finishes the loop, and the
 * loop waits for the emitter, which is bound already. Here it is the same thread. */
struct refusing {
    struct sse_platform platform;
    struct loop_stage *stage; /* NULL: memory is there */
};

static void *finish_and_refuse(size_t size, void *user)
{
    struct refusing *refusing = user;

    if (!refusing->stage)
        return malloc(size);
    assert_int_equal(sse_loop_finish(refusing->stage->loop), 0);
    loop_stage_dispatch(refusing->stage);
    assert_int_equal(sse_loop_count(refusing->stage->loop), 1);
    return NULL;
}

static void deallocate(void *block, void *user)
{
    (void)user;
    free(block);
}

/* Otherwise sse_loop_run would wait for ever. */
static void a_finished_loop_learns_that_a_new_emitter_was_refused(void **state)
{
    struct refusing refusing = {.platform = {.size = sizeof(struct sse_platform),
                                             .allocate = finish_and_refuse,
                                             .deallocate = deallocate,
                                             .user = &refusing}};
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &refusing.platform};
    struct loop_stage *stage = *state;
    struct sse_registry *registry = stage->registry;
    struct poller_event events[POLLER_EVENTS_MAX];
    struct loop_client client;

    assert_int_equal(sse_registry_new(&stage->registry, &options), 0);
    loop_client_connect(&client, stage, LOOP_CLIENT_UNIX);
    refusing.stage = stage;
    assert_int_equal(loop_client_try_open(&client, NULL), -ENOMEM);
    assert_int_equal(sse_loop_count(stage->loop), 0);
    assert_int_equal(stage->loop->poller->wait(stage->loop->poller, events, 0), 1);
    assert_int_equal(events[0].descriptor, stage->loop->wake.reader);
    sse_registry_unref(stage->registry);
    stage->registry = registry;
    close(client.server_fd);
    loop_client_leave(&client);
}

/* In place of the poller's wait. */
static int waited_ms;

static int note_wait(struct poller *poller, struct poller_event *events, int timeout_ms)
{
    (void)poller, (void)events;
    waited_ms = timeout_ms;
    return 0;
}

static void a_wait_is_as_long_as_the_timers_and_the_limit_allow(void **state)
{
    static const int cases[][2] = {{20000, 5000}, {-1, 5000}, {5001, 5000}, {1000, 1000}, {0, 0}};
    const struct sse_emitter_options options = {.lifetime_ms = 5000};
    struct loop_stage *stage = *state;
    int (*wait)(struct poller *, struct poller_event *, int) = stage->loop->poller->wait;
    struct loop_client client;

    loop_client_open(&client, stage, LOOP_CLIENT_UNIX, &options);
    for (int i = 0; i < 3; i++)
        loop_stage_dispatch(stage);
    stage->loop->poller->wait = note_wait;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sse_loop_dispatch(stage->loop, cases[i][0]), 0);
        assert_int_equal(waited_ms, cases[i][1]);
    }
    stage->loop->poller->wait = wait;
    loop_client_leave(&client);
    loop_client_dispatch_to_end(&client);
    loop_client_close(&client);
    loop_stage_dispatch(stage);
}

/* The emitter has not ended, its callbacks have not run, or a reference is left. */
static void finish_waits_for_the_last_reference(void **state)
{
    for (int finished_first = 0; finished_first < 2; finished_first++) {
        struct loop_stage *stage = *state;
        struct sse_emitter *kept;
        struct loop_client clients[2];
        struct loop_runner runner;

        for (int i = 0; i < 2; i++)
            loop_client_open(&clients[i], stage, LOOP_CLIENT_UNIX, NULL);
        kept = sse_emitter_ref(clients[0].emitter);
        if (finished_first)
            assert_int_equal(sse_loop_finish(stage->loop), 0);
        loop_runner_start(&runner, stage);
        if (!finished_first)
            assert_int_equal(sse_loop_finish(stage->loop), 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(sse_emitter_complete(clients[i].emitter), 0);
            sse_emitter_close(clients[i].emitter);
            clients[i].emitter = NULL;
        }
        while (!atomic_load(&clients[0].completions) || !atomic_load(&clients[1].releases))
            sched_yield();
        assert_false(atomic_load(&runner.done));
        assert_int_equal(atomic_load(&clients[0].releases), 0);
        sse_emitter_unref(kept);
        loop_runner_join(&runner);
        assert_int_equal(runner.result, 0);
        assert_int_equal(atomic_load(&clients[0].releases), 1);
        assert_int_equal(sse_loop_count(stage->loop), 0);
        for (int i = 0; i < 2; i++)
            loop_client_leave(&clients[i]);
        sse_loop_free(stage->loop);
        loop_stage_open_loop(stage);
    }
}

/* The end of a server. */
static void shutdown_and_finish(void **state)
{
    const struct sse_event final = {.data = sse_str("bye")};
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .final_event = &final, .drain_ms = 1000};
    struct loop_stage *stage = *state;
    struct loop_client clients[5];

    for (int i = 0; i < 5; i++)
        loop_client_open(&clients[i], stage, LOOP_CLIENT_TCP, NULL);
    assert_int_equal(sse_registry_shutdown(stage->registry, &options), 0);
    for (int i = 0; i < 5; i++) {
        sse_emitter_close(clients[i].emitter);
        clients[i].emitter = NULL;
    }
    assert_int_equal(sse_loop_finish(stage->loop), 0);
    assert_int_equal(sse_loop_run(stage->loop), 0);
    assert_int_equal(sse_registry_wait(stage->registry, 0), 0);
    for (int i = 0; i < 5; i++) {
        char buffer[32];

        assert_int_equal(read(clients[i].fd, buffer, sizeof(buffer)), strlen("data: bye\n\n"));
        assert_int_equal(read(clients[i].fd, buffer, sizeof(buffer)), 0);
        assert_int_equal(clients[i].reason, SSE_REASON_SHUTDOWN);
        assert_int_equal(clients[i].error, 0);
        assert_int_equal(atomic_load(&clients[i].releases), 1);
        loop_client_leave(&clients[i]);
    }
}

/* Callbacks */

static void call_back_into_the_loop(struct loop_client *client)
{
    struct sse_loop *loop = client->stage->loop;
    int *results = client->user;

    (void)sse_loop_stop(loop);
    results[0] = sse_loop_run(loop);
    results[1] = sse_loop_dispatch(loop, 0);
    results[2] = sse_loop_turn(loop);
    results[3] = sse_loop_fd(loop);
    results[4] = (int)sse_loop_count(loop);
}

static void run_and_dispatch_in_a_callback_are_deadlocks(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;
    int results[5] = {0};

    loop_client_open(&client, stage, LOOP_CLIENT_TCP, NULL);
    client.when_ended = call_back_into_the_loop;
    client.user = results;
    loop_client_leave(&client);
    loop_client_dispatch_to_end(&client);
    assert_int_equal(results[0], -EDEADLK);
    assert_int_equal(results[1], -EDEADLK);
    assert_int_equal(results[2], -EINVAL);
    assert_int_equal(results[3], sse_loop_fd(stage->loop));
    assert_int_equal(results[4], 1);
    /* The stop in the callback was for a run, and not for the run that failed. */
    assert_int_equal(sse_loop_run(stage->loop), 0);
    loop_client_close(&client);
}

static void another_thread_is_told_that_the_loop_is_busy(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_runner runner;

    /* Either of the two threads may get the error. */
    loop_runner_start(&runner, stage);
    while (sse_loop_dispatch(stage->loop, 0) != -EBUSY) {
        if (!atomic_load(&runner.done))
            continue;
        loop_runner_join(&runner);
        assert_int_equal(runner.result, -EBUSY);
        loop_runner_start(&runner, stage);
    }
    assert_int_equal(sse_loop_run(stage->loop), -EBUSY);
    assert_int_equal(sse_loop_dispatch(stage->loop, -1), -EBUSY);
    loop_runner_stop(&runner);
    loop_stage_dispatch(stage);
}

/* The first emitter is still inside its callback, and on_release runs after the close. So a new socket may well get
 * the same number. */
static void add_another(struct loop_client *client)
{
    loop_client_connect(client->user, client->stage, LOOP_CLIENT_TCP);
    assert_int_equal(loop_client_try_open(client->user, NULL), 0);
}

static void emitters_are_made_in_callbacks(void **state)
{
    struct loop_client client, at_end, at_release;

    loop_client_open(&client, *state, LOOP_CLIENT_UNIX, NULL);
    client.when_ended = add_another;
    client.user = &at_end;
    loop_client_leave(&client);
    loop_client_dispatch_to_end(&client);
    client.when_released = add_another;
    client.user = &at_release;
    loop_client_close(&client);
    assert_int_equal(loop_client_send(&at_end, "x"), 0);
    loop_client_expect(&at_end, ":\ndata: x\n\n");
    assert_int_equal(loop_client_send(&at_release, "y"), 0);
    loop_client_expect(&at_release, ":\ndata: y\n\n");
    loop_client_depart(&at_end);
    loop_client_depart(&at_release);
}

#define CROWD 150

/* All disconnect at once, and each is replaced while the others still wait for their callbacks. */
static void clients_are_replaced_in_callbacks(void **state)
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
    for (int i = 0; i < CROWD; i++)
        while (!atomic_load(&old[i].releases))
            loop_stage_dispatch(*state);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(atomic_load(&old[i].completions), 1);
        assert_int_equal(atomic_load(&new[i].completions), 0);
        assert_int_equal(loop_client_send(&new[i], "here"), 0);
        loop_client_expect(&new[i], ":\ndata: here\n\n");
    }
    for (int i = 0; i < CROWD; i++)
        loop_client_depart(&new[i]);
}

#if CAN_CANCEL
/* Only the wait can be cancelled, and then the loop is as it was before. */
static void cancelled_run_leaves_the_loop_usable(void **state)
{
    struct loop_client client;
    struct loop_runner runner;
    void *result;

    for (int i = 0; i < 20; i++) {
        loop_runner_start(&runner, *state);
        loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
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
        TEST(a_dispatch_ends_by_its_timeout_or_by_a_timer, poller),
        TEST(stop_from_a_callback, poller),
        TEST(an_empty_loop_finishes_at_once, poller),
        TEST(a_finished_loop_learns_that_a_new_emitter_was_refused, poller),
        TEST(a_wait_is_as_long_as_the_timers_and_the_limit_allow, poller),
        TEST(finish_waits_for_the_last_reference, poller),
        TEST(shutdown_and_finish, poller),
        TEST(run_and_dispatch_in_a_callback_are_deadlocks, poller),
        TEST(another_thread_is_told_that_the_loop_is_busy, poller),
        TEST(emitters_are_made_in_callbacks, poller),
        TEST(clients_are_replaced_in_callbacks, poller),
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
