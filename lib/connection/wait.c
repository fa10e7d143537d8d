/* SPDX-License-Identifier: MIT */
#include "base/condition.h"
#include "base/platform.h"
#include "connection/account.h"
#include "connection/ending.h"
#include "connection/leave.h"
#include "connection/mark.h"

#include <errno.h>
#include <poll.h>

static uint64_t monotonic_now(void)
{
    return sse_platform_now(NULL);
}

/* What a wait returns now, or 0 if it must go on. Lock held. */
static int answer(struct sse_emitter *emitter)
{
    if (emitter->interrupted) {
        emitter->interrupted = false;
        return -EINTR;
    }
    if (emitter->state == SSE_STATE_CLOSED)
        return sse_emitter_end_error(emitter);
    return emitter->output_kind == OUTPUT_PULL ? emitter->queue.count > 0 : !emitter->queue.count;
}

static uint64_t remaining(uint64_t deadline, uint64_t now)
{
    if (deadline == DEADLINE_NEVER)
        return DEADLINE_NEVER;
    return deadline > now ? deadline - now : 0;
}

/* After an error that lasts, waiting again would spin. Some systems return EAGAIN where others return ENOMEM. */
static int error_of_poll(int error)
{
    if (error == EINTR)
        return 0;
    return error == ENOMEM || error == EAGAIN ? -ENOMEM : -EIO;
}

/* Waits until a descriptor has room or an error. 0, or an error of the wait. Lock held; released meanwhile. */
static int wait_for_room(struct sse_emitter *emitter, uint64_t duration)
{
    struct pollfd room = {.fd = sse_emitter_descriptor(emitter), .events = POLLOUT};
    uint64_t until = deadline_after(monotonic_now(), duration);
    int error = 0;

    pthread_mutex_unlock(&emitter->lock);
    if (poll(&room, 1, deadline_timeout_ms(until, monotonic_now())) < 0)
        error = error_of_poll(errno);
    pthread_mutex_lock(&emitter->lock);
    return error;
}

/* 0, or an error of the wait. Lock held; released meanwhile. */
static int wait_for_change(struct sse_emitter *emitter, struct emitter_waiter *waiter, uint64_t duration)
{
    if (emitter->output_kind != OUTPUT_PULL)
        return wait_for_room(emitter, duration);
    sse_condition_wait_until(&waiter->wake, &emitter->lock, deadline_after(monotonic_now(), duration));
    return 0;
}

/* With a loop, the loop runs the timers and the callbacks. Lock held; released meanwhile. */
static int wait_until(struct sse_emitter *emitter, struct emitter_waiter *waiter, uint64_t end)
{
    for (;;) {
        uint64_t timer = DEADLINE_NEVER, left = remaining(end, monotonic_now());
        int result;

        if (!emitter->looped) {
            uint64_t now = sse_platform_now(emitter->platform);

            sse_emitter_work(emitter, now);
            sse_emitter_account(emitter, emitter->blocked, NULL);
            timer = remaining(sse_emitter_deadline(emitter), now);
        }
        result = answer(emitter);
        if (result || !left)
            return result;
        result = wait_for_change(emitter, waiter, deadline_earlier(left, timer));
        if (result)
            return result;
    }
}

static bool may_wait(const struct sse_emitter *emitter, int timeout_ms)
{
    if (timeout_ms < -1 || emitter->output_kind == OUTPUT_CALLBACK)
        return false;
    return emitter->output_kind == OUTPUT_PULL || !emitter->looped;
}

/* Whether this thread is in a callback of the emitter. Lock held. */
static bool is_inside(const struct sse_emitter *emitter)
{
    return (emitter->busy && pthread_equal(emitter->busy_thread, pthread_self())) ||
           (!emitter->looped && emitter->finishing && !emitter->finished);
}

int sse_emitter_wait(struct sse_emitter *emitter, int timeout_ms)
{
    struct emitter_waiter waiter = {.next = NULL};
    uint64_t end = DEADLINE_NEVER;
    int cancel_state;
    int result = sse_emitter_check(emitter);

    if (result)
        return result;
    if (!may_wait(emitter, timeout_ms))
        return -EINVAL;
    if (sse_condition_init_monotonic(&waiter.wake))
        return -ENOMEM;
    if (timeout_ms >= 0)
        end = deadline_after(monotonic_now(), duration_from_ms(timeout_ms));
    sse_emitter_keep(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&emitter->lock);
    if (is_inside(emitter)) {
        result = -EDEADLK;
    } else {
        sse_emitter_add_waiter(emitter, &waiter);
        result = wait_until(emitter, &waiter, end);
        sse_emitter_remove_waiter(emitter, &waiter);
    }
    pthread_mutex_unlock(&emitter->lock);
    pthread_setcancelstate(cancel_state, NULL);
    pthread_cond_destroy(&waiter.wake);
    sse_emitter_let_go(emitter);
    return result;
}

int sse_emitter_interrupt(struct sse_emitter *emitter)
{
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    if (emitter->output_kind != OUTPUT_PULL)
        return -EINVAL;
    pthread_mutex_lock(&emitter->lock);
    emitter->interrupted = true;
    sse_emitter_wake_waiters(emitter);
    pthread_mutex_unlock(&emitter->lock);
    return 0;
}
