/* SPDX-License-Identifier: MIT */
#include "base/condition.h"
#include "base/deadline.h"
#include "base/platform.h"

#include <errno.h>
#include <time.h>

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

#if defined(__APPLE__) || defined(SSE_BARE_SYSTEM)
/* Conditions of this system know only CLOCK_REALTIME, which may jump. So a wait is short, and the caller reads the
 * monotonic clock again. */
#define CLOCK_IS_FIXED
#define WAIT_CLOCK CLOCK_REALTIME
#define WAIT_MAX (NANOSECONDS_PER_SECOND / 10)
#else
#define WAIT_CLOCK CLOCK_MONOTONIC
/* A day, so that no sum exceeds time_t. */
#define WAIT_MAX (86400 * NANOSECONDS_PER_SECOND)
#endif

int sse_condition_init_monotonic(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int error;

    if (pthread_condattr_init(&attributes))
        return -ENOMEM;
#ifdef CLOCK_IS_FIXED
    error = 0;
#else
    error = pthread_condattr_setclock(&attributes, WAIT_CLOCK);
#endif
    if (!error)
        error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return error ? -ENOMEM : 0;
}

static struct timespec time_after(uint64_t duration)
{
    struct timespec time = {0, 0};

    clock_gettime(WAIT_CLOCK, &time);
    duration += (uint64_t)time.tv_nsec;
    time.tv_sec += (time_t)(duration / NANOSECONDS_PER_SECOND);
    time.tv_nsec = (long)(duration % NANOSECONDS_PER_SECOND);
    return time;
}

static void wait_for(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t deadline)
{
    uint64_t now;
    struct timespec time;

    if (deadline == DEADLINE_NEVER) {
        pthread_cond_wait(condition, lock);
        return;
    }
    now = sse_platform_now(NULL);
    if (deadline <= now)
        return;
    time = time_after(deadline_earlier(deadline - now, WAIT_MAX));
    pthread_cond_timedwait(condition, lock, &time);
}

void sse_condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t deadline)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    wait_for(condition, lock, deadline);
    pthread_setcancelstate(cancel_state, NULL);
}
