/* SPDX-License-Identifier: MIT */
/* How a condition waits: by which clock, until when, and never longer than a day at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/condition.h"
#include "base/deadline.h"
#include "base/platform.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)
#define DAY (86400 * SECOND)

/* Where a condition has no other clock, a wait by CLOCK_REALTIME is short. */
#ifdef SSE_BARE_SYSTEM
#define CLOCK CLOCK_REALTIME
#define LONGEST (SECOND / 10)
#else
#define CLOCK CLOCK_MONOTONIC
#define LONGEST DAY
#endif

#define NO_CLOCK (-1)

/* The calls that make a condition. */
enum step { NO_STEP, STEP_ATTRIBUTES, STEP_CLOCK, STEP_CONDITION };

/* How it was called. */
static struct {
    int waits;
    int timed_waits;
    struct timespec until;
    int cancel_state;
    clockid_t clock;
    enum step failing;
    int attributes; /* conditions and attributes that exist */
} scene;

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                  const struct timespec *until);
int __real_pthread_condattr_init(pthread_condattr_t *attributes);
int __wrap_pthread_condattr_init(pthread_condattr_t *attributes);
int __real_pthread_condattr_destroy(pthread_condattr_t *attributes);
int __wrap_pthread_condattr_destroy(pthread_condattr_t *attributes);
int __real_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __real_pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock);
int __wrap_pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock);

static void note_cancel_state(void)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &scene.cancel_state);
    pthread_setcancelstate(scene.cancel_state, NULL);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    (void)condition, (void)lock;
    note_cancel_state();
    scene.waits++;
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                                  const struct timespec *until)
{
    (void)condition, (void)lock;
    note_cancel_state();
    scene.timed_waits++;
    scene.until = *until;
    return ETIMEDOUT;
}

/* Whether this call fails. */
static bool fails(enum step step)
{
    return scene.failing == step;
}

int __wrap_pthread_condattr_init(pthread_condattr_t *attributes)
{
    if (fails(STEP_ATTRIBUTES))
        return ENOMEM;
    scene.attributes++;
    return __real_pthread_condattr_init(attributes);
}

int __wrap_pthread_condattr_destroy(pthread_condattr_t *attributes)
{
    scene.attributes--;
    return __real_pthread_condattr_destroy(attributes);
}

int __wrap_pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock)
{
    if (fails(STEP_CLOCK))
        return EINVAL;
    scene.clock = clock;
    return __real_pthread_condattr_setclock(attributes, clock);
}

int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    return fails(STEP_CONDITION) ? EAGAIN : __real_pthread_cond_init(condition, attributes);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Waits for this time. Returns the time for which the system was asked to wait, in nanoseconds. */
static uint64_t wait_for(uint64_t duration)
{
    uint64_t before, until;
    pthread_cond_t condition;
    struct timespec time;

    assert_int_equal(sse_condition_init_monotonic(&condition), 0);
    assert_int_equal(scene.clock, CLOCK == CLOCK_MONOTONIC ? CLOCK_MONOTONIC : NO_CLOCK);
    clock_gettime(CLOCK, &time);
    before = (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
    pthread_mutex_lock(&lock);
    sse_condition_wait_until(&condition, &lock, deadline_after(sse_platform_now(NULL), duration));
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&condition);
    assert_in_range(scene.until.tv_nsec, 0, SECOND - 1);
    until = (uint64_t)scene.until.tv_sec * SECOND + (uint64_t)scene.until.tv_nsec;
    return until > before ? until - before : 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.clock = NO_CLOCK;
    return 0;
}

/* A long wait plus the time would not fit into every time_t. So the wait is shorter, and the caller checks
 * again. */
static void no_wait_is_longer_than_the_longest(void **state)
{
    static const uint64_t days[] = {2, 25, 30000, UINT64_MAX / DAY - 1};

    (void)state;
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        assert_in_range(wait_for(days[i] * DAY), LONGEST, LONGEST + 3600 * SECOND);
        assert_int_equal(scene.timed_waits, i + 1);
    }
    assert_int_equal(scene.waits, 0);
}

/* The wait is not too short, and too long only by the time that the test itself was delayed. */
static void a_short_wait_lasts_as_long_as_asked(void **state)
{
    static const uint64_t durations[] = {LONGEST / 24, LONGEST / 24 + LONGEST / 2 + 999, LONGEST - LONGEST / 86400};

    (void)state;
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++)
        assert_in_range(wait_for(durations[i]), durations[i], durations[i] + 3600 * SECOND);
}

static void a_past_deadline_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(wait_for(0), 0);
    assert_int_equal(scene.timed_waits + scene.waits, 0);
}

static void without_a_deadline_a_wait_has_no_limit(void **state)
{
    (void)state;
    (void)wait_for(DEADLINE_NEVER);
    assert_int_equal(scene.waits, 1);
    assert_int_equal(scene.timed_waits, 0);
}

/* A condition whose clock cannot be set is refused, because it would wait by the wrong clock. */
static void a_condition_is_made_whole_or_not_at_all(void **state)
{
    (void)state;
    for (int step = STEP_ATTRIBUTES; step <= STEP_CONDITION; step++) {
        pthread_cond_t condition;

        if (step == STEP_CLOCK && CLOCK != CLOCK_MONOTONIC)
            continue;
        scene.failing = (enum step)step;
        assert_int_equal(sse_condition_init_monotonic(&condition), -ENOMEM);
        assert_int_equal(scene.attributes, 0);
    }
}

static void no_wait_is_a_cancellation_point(void **state)
{
    int cancel_state;

    (void)state;
    (void)wait_for(DEADLINE_NEVER);
    assert_int_equal(scene.cancel_state, PTHREAD_CANCEL_DISABLE);
    scene.cancel_state = PTHREAD_CANCEL_ENABLE;
    (void)wait_for(DAY);
    assert_int_equal(scene.cancel_state, PTHREAD_CANCEL_DISABLE);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel_state);
    assert_int_equal(cancel_state, PTHREAD_CANCEL_ENABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_wait_is_longer_than_the_longest, set_up),
        cmocka_unit_test_setup(a_short_wait_lasts_as_long_as_asked, set_up),
        cmocka_unit_test_setup(a_past_deadline_is_not_waited_for, set_up),
        cmocka_unit_test_setup(without_a_deadline_a_wait_has_no_limit, set_up),
        cmocka_unit_test_setup(a_condition_is_made_whole_or_not_at_all, set_up),
        cmocka_unit_test_setup(no_wait_is_a_cancellation_point, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
