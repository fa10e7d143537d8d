/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "connection/emitter.h"

#include <errno.h>
#include <time.h>

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

void sse_emitter_add_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter)
{
    waiter->next = emitter->waiters;
    emitter->waiters = waiter;
}

void sse_emitter_remove_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter)
{
    struct emitter_waiter **at = &emitter->waiters;

    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
}

void sse_emitter_wake_waiters(struct sse_emitter *emitter)
{
    for (struct emitter_waiter *waiter = emitter->waiters; waiter; waiter = waiter->next)
        pthread_cond_broadcast(&waiter->wake);
}

static int init_monotonic(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int error;

    if (pthread_condattr_init(&attributes))
        return -ENOMEM;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (!error)
        error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return error ? -ENOMEM : 0;
}

/* Waits for a wake, or for `duration` nanoseconds. */
static void wait_for_wake(struct sse_emitter *emitter, struct emitter_waiter *waiter, uint64_t duration)
{
    struct timespec until;

    if (duration == DEADLINE_NEVER) {
        pthread_cond_wait(&waiter->wake, &emitter->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    duration += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(duration / NANOSECONDS_PER_SECOND);
    until.tv_nsec = (long)(duration % NANOSECONDS_PER_SECOND);
    pthread_cond_timedwait(&waiter->wake, &emitter->lock, &until);
}

static uint64_t monotonic_now(void)
{
    return sse_host_now(NULL);
}

/* What a wait returns as things stand, or 0 if it has to go on. */
static int answer(struct sse_emitter *emitter)
{
    if (emitter->interrupted) {
        emitter->interrupted = false;
        return -EINTR;
    }
    if (emitter->state == SSE_STATE_CLOSED)
        return sse_emitter_end_error(emitter);
    return emitter->queue.count > 0;
}

static uint64_t remaining(uint64_t deadline, uint64_t now)
{
    if (deadline == DEADLINE_NEVER)
        return DEADLINE_NEVER;
    return deadline > now ? deadline - now : 0;
}

/* A day at most at a time keeps the sums within every time_t. */
static uint64_t bounded(uint64_t duration)
{
    const uint64_t day = 86400 * NANOSECONDS_PER_SECOND;

    return duration != DEADLINE_NEVER && duration > day ? day : duration;
}

static int wait_until(struct sse_emitter *emitter, struct emitter_waiter *waiter, uint64_t end)
{
    for (;;) {
        int result = answer(emitter);
        uint64_t left, timer;

        if (result)
            return result;
        timer = remaining(sse_emitter_deadline(emitter), sse_host_now(emitter->host));
        if (!timer) {
            pthread_mutex_unlock(&emitter->lock);
            sse_emitter_tick_at(emitter, sse_host_now(emitter->host));
            pthread_mutex_lock(&emitter->lock);
            continue;
        }
        left = remaining(end, monotonic_now());
        if (!left)
            return 0;
        wait_for_wake(emitter, waiter, bounded(deadline_earlier(left, timer)));
    }
}

int sse_emitter_wait(struct sse_emitter *emitter, int timeout_ms)
{
    struct emitter_waiter waiter = {.next = NULL};
    uint64_t end = DEADLINE_NEVER;
    int cancel_state;
    int result = sse_emitter_check(emitter);

    if (result)
        return result;
    if (emitter->sink_kind != SINK_PULL || timeout_ms < -1)
        return -EINVAL;
    if (init_monotonic(&waiter.wake))
        return -ENOMEM;
    if (timeout_ms >= 0)
        end = deadline_after(monotonic_now(), duration_from_ms(timeout_ms));
    sse_emitter_ref(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&emitter->lock);
    if (emitter->busy && pthread_equal(emitter->busy_thread, pthread_self())) {
        result = -EDEADLK;
    } else {
        sse_emitter_add_waiter(emitter, &waiter);
        result = wait_until(emitter, &waiter, end);
        sse_emitter_remove_waiter(emitter, &waiter);
    }
    pthread_mutex_unlock(&emitter->lock);
    pthread_setcancelstate(cancel_state, NULL);
    pthread_cond_destroy(&waiter.wake);
    sse_emitter_give_back(emitter);
    return result;
}

int sse_emitter_interrupt(struct sse_emitter *emitter)
{
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    pthread_mutex_lock(&emitter->lock);
    emitter->interrupted = true;
    sse_emitter_wake_waiters(emitter);
    pthread_mutex_unlock(&emitter->lock);
    return 0;
}
