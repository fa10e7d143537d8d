/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "connection/emitter.h"
#include "connection/state.h"

#include <errno.h>

static void queue_heartbeat(struct sse_emitter *emitter, uint64_t now)
{
    /* The queue is empty, so this cannot fail. */
    (void)sse_queue_push(&emitter->queue, sse_message_heartbeat(), emitter->host);
    emitter->timers.progress = now;
}

/* False when nothing more is due. */
static bool run_timer(struct sse_emitter *emitter, uint64_t now)
{
    switch (sse_timers_due(&emitter->timers, (enum sse_state)emitter->state, emitter->queue.count > 0, now)) {
    case TIMER_HEARTBEAT:
        queue_heartbeat(emitter, now);
        return true;
    case TIMER_LIFETIME:
        return sse_emitter_end(emitter, SSE_REASON_LIFETIME, -ETIMEDOUT, now);
    case TIMER_STALL:
        return sse_emitter_end(emitter, SSE_REASON_STALL, -ETIMEDOUT, now);
    case TIMER_DRAIN:
        return sse_emitter_end_drain(emitter, now);
    case TIMER_NOTHING:
        break;
    }
    return false;
}

void sse_emitter_tick_at(struct sse_emitter *emitter, uint64_t now)
{
    pthread_mutex_lock(&emitter->lock);
    while (run_timer(emitter, now))
        ;
    (void)sse_emitter_leave(emitter, now);
}

int sse_emitter_tick(struct sse_emitter *emitter)
{
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    sse_emitter_tick_at(emitter, sse_host_now(emitter->host));
    return 0;
}

int sse_emitter_next_timeout(struct sse_emitter *emitter)
{
    uint64_t deadline;
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    pthread_mutex_lock(&emitter->lock);
    deadline = sse_emitter_deadline(emitter);
    pthread_mutex_unlock(&emitter->lock);
    return deadline_timeout_ms(deadline, sse_host_now(emitter->host));
}
