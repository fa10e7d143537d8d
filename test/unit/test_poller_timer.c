/* SPDX-License-Identifier: MIT */
/* The poller's descriptor, for another event loop. It becomes readable for the timer too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "faulty_calls.h"
#include "poller_stage.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define YEAR (UINT64_C(365) * 24 * 3600 * 1000 * MILLISECOND)

/* Whether this build has one. If not, there is nothing to test. */
static bool has_timer(struct poller_stage *stage)
{
    int descriptor = stage->poller->descriptor(stage->poller);

#ifdef SSE_HAVE_TIMERFD
    if (poller_stage_is_epoll(stage)) {
        assert_true(descriptor >= 0);
        return true;
    }
#endif
    assert_int_equal(descriptor, -ENOTSUP);
    return false;
}

static bool is_readable(struct poller_stage *stage, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = stage->poller->descriptor(stage->poller), .events = POLLIN};

    return poll(&poll_fd, 1, timeout_ms) == 1;
}

static void set_timer(struct poller_stage *stage, uint64_t nanoseconds)
{
    stage->poller->set_timer(stage->poller, nanoseconds);
}

static void a_timer_makes_it_readable_once(void **state)
{
    static const uint64_t durations[] = {0, 1, 1000, 5 * MILLISECOND};

    if (!has_timer(*state))
        return;
    for (size_t i = 0; i < 4; i++) {
        assert_false(is_readable(*state, 0));
        set_timer(*state, durations[i]);
        assert_true(is_readable(*state, -1));
        assert_true(is_readable(*state, 0));
        assert_int_equal(poller_stage_wait(*state), 0);
        assert_false(is_readable(*state, 0));
        assert_int_equal(poller_stage_wait(*state), 0);
    }
}

static void it_does_not_run_out_too_early(void **state)
{
    struct timespec before, after;
    uint64_t passed;

    if (!has_timer(*state))
        return;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &before), 0);
    set_timer(*state, 1005 * MILLISECOND);
    assert_true(is_readable(*state, -1));
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &after), 0);
    passed = (uint64_t)(after.tv_sec - before.tv_sec) * 1000 * MILLISECOND + (uint64_t)after.tv_nsec -
             (uint64_t)before.tv_nsec;
    assert_true(passed >= 1005 * MILLISECOND);
}

static void far_deadlines_are_not_due(void **state)
{
    static const uint64_t durations[] = {UINT64_MAX, UINT64_MAX - 1, YEAR, 100 * YEAR, 500 * YEAR};

    if (!has_timer(*state))
        return;
    for (size_t i = 0; i < 5; i++) {
        set_timer(*state, durations[i]);
        assert_false(is_readable(*state, 0));
        assert_int_equal(poller_stage_wait(*state), 0);
    }
}

/* The timer has expired, and nobody has waited yet. */
static void setting_it_again_takes_it_back(void **state)
{
    if (!has_timer(*state))
        return;
    set_timer(*state, 0);
    assert_true(is_readable(*state, -1));
    set_timer(*state, YEAR);
    assert_false(is_readable(*state, 0));
    set_timer(*state, 0);
    assert_true(is_readable(*state, -1));
    set_timer(*state, UINT64_MAX);
    assert_false(is_readable(*state, 0));
    assert_int_equal(poller_stage_wait(*state), 0);
}

static void it_is_not_among_the_events(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pairs[2];

    if (!has_timer(stage))
        return;
    for (int i = 0; i < 2; i++)
        poller_pair_add(stage, &pairs[i], POLLER_INPUT);
    poller_stage_settle(stage);
    poller_pair_send(&pairs[0]);
    set_timer(stage, 0);
    assert_true(is_readable(stage, -1));
    poller_pair_send(&pairs[1]);
    memset(stage->events, 0xff, sizeof(stage->events));
    assert_int_equal(poller_stage_wait(stage), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stage->events[i].descriptor, pairs[i].ends[0]);
        assert_int_equal(stage->events[i].generation, pairs[i].generation);
        assert_true(stage->events[i].happened & POLLER_INPUT);
    }
    for (int i = 0; i < 2; i++)
        poller_pair_remove(stage, &pairs[i]);
}

static void it_ends_a_wait(void **state)
{
    struct poller_stage *stage = *state;

    if (!has_timer(stage))
        return;
    set_timer(stage, 2 * MILLISECOND);
    assert_int_equal(stage->poller->wait(stage->poller, stage->events, -1), 0);
}

#ifdef SSE_HAVE_TIMERFD

static void ask_again(void *user)
{
    struct poller_stage *stage = user;

    assert_true(stage->poller->descriptor(stage->poller) >= 0);
}

/* Another thread asks while this one opens the timer. The second timer is closed, and the first one works. */
static void it_is_opened_once(void **state)
{
    struct poller_stage *stage = *state;
    int before = dup(STDERR_FILENO), after;

    if (!poller_stage_is_epoll(stage)) {
        close(before);
        return;
    }
    close(before);
    faulty_calls_interpose(FAULTY_TIMERFD_CREATE, ask_again, stage);
    assert_true(stage->poller->descriptor(stage->poller) >= 0);
    after = dup(STDERR_FILENO);
    close(after);
    assert_int_equal(after, before + 1);
    set_timer(stage, 0);
    assert_true(is_readable(stage, -1));
    assert_int_equal(poller_stage_wait(stage), 0);
}

#endif

static void *ask_for_descriptor(void *argument)
{
    struct poller_stage *stage = argument;

    return (void *)(intptr_t)stage->poller->descriptor(stage->poller);
}

static void threads_that_ask_at_once_get_the_same(void **state)
{
    struct poller_stage *stage = *state;
    pthread_t threads[8];
    intptr_t expected;

    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_for_descriptor, stage), 0);
    expected = stage->poller->descriptor(stage->poller);
    for (size_t i = 0; i < 8; i++) {
        void *result;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_true((intptr_t)result == expected);
    }
    if (!has_timer(stage))
        return;
    set_timer(stage, 0);
    assert_true(is_readable(stage, -1));
    assert_int_equal(poller_stage_wait(stage), 0);
}

#ifdef SSE_HAVE_TIMERFD

static void errors_are_returned_and_the_next_call_succeeds(void **state)
{
    static const enum faulty_call calls[] = {FAULTY_TIMERFD_CREATE, FAULTY_EPOLL_CTL};
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOSPC, ENODEV};
    struct poller_stage *stage = *state;

    if (!poller_stage_is_epoll(stage))
        return;
    for (size_t i = 0; i < 10; i++) {
        int before = dup(STDERR_FILENO), after;

        close(before);
        faulty_calls_fail(calls[i / 5], 0, 1, errors[i % 5]);
        assert_int_equal(stage->poller->descriptor(stage->poller), -errors[i % 5]);
        after = dup(STDERR_FILENO);
        close(after);
        assert_int_equal(after, before);
    }
    assert_true(stage->poller->descriptor(stage->poller) >= 0);
}

/* A loop that runs in its own thread does not use this timer. */
static void it_is_opened_when_it_is_asked_for(void **state)
{
    struct poller_stage *stage = *state;

    if (!poller_stage_is_epoll(stage))
        return;
    faulty_calls_reset();
    (void)poller_stage_wait(stage);
    assert_int_equal(faulty_calls_made(FAULTY_TIMERFD_CREATE), 0);
    (void)stage->poller->descriptor(stage->poller);
    (void)stage->poller->descriptor(stage->poller);
    assert_int_equal(faulty_calls_made(FAULTY_TIMERFD_CREATE), 1);
}

#endif

static int run(make_poller *const *maker, const char *name)
{
    const struct CMUnitTest tests[] = {
        POLLER_TEST(a_timer_makes_it_readable_once, maker),
        POLLER_TEST(it_does_not_run_out_too_early, maker),
        POLLER_TEST(far_deadlines_are_not_due, maker),
        POLLER_TEST(setting_it_again_takes_it_back, maker),
        POLLER_TEST(it_is_not_among_the_events, maker),
        POLLER_TEST(it_ends_a_wait, maker),
        POLLER_TEST(threads_that_ask_at_once_get_the_same, maker),
#ifdef SSE_HAVE_TIMERFD
        POLLER_TEST(it_is_opened_once, maker),
        POLLER_TEST(errors_are_returned_and_the_next_call_succeeds, maker),
        POLLER_TEST(it_is_opened_when_it_is_asked_for, maker),
#endif
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return poller_stage_run(run);
}
