/* SPDX-License-Identifier: MIT */
#include "connection/due.h"
#include "connection/ending.h"

#include <errno.h>

void sse_emitter_queue_ping(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->state != SSE_STATE_OPEN)
        return;
    /* A reader may have written already what a peek has shown. So the queued bytes may find out nothing. */
    emitter->ping_owed = emitter->queue.count > 0;
    if (emitter->ping_owed)
        return;
    /* An empty queue never fails. */
    (void)sse_queue_push(&emitter->queue, sse_message_heartbeat(), emitter->platform);
    sse_queue_exempt_all(&emitter->queue);
    emitter->timers.progress = now;
}

bool sse_emitter_run_timers(struct sse_emitter *emitter, uint64_t now)
{
    enum sse_state state = sse_emitter_state(emitter);

    if (emitter->paused && state == SSE_STATE_OPEN &&
        deadline_is_due(sse_emitter_pause(emitter)->deadline, now))
        return sse_emitter_end(emitter, SSE_REASON_NOT_STARTED, -ETIMEDOUT, now);
    switch (sse_timers_due(&emitter->timers, state, emitter->queue.count > 0, now)) {
    case TIMER_HEARTBEAT:
        sse_emitter_queue_ping(emitter, now);
        return true;
    case TIMER_LIFETIME:
        return sse_emitter_end(emitter, SSE_REASON_LIFETIME, 0, now);
    case TIMER_STALL:
        return sse_emitter_end(emitter, SSE_REASON_STALLED, -ETIMEDOUT, now);
    case TIMER_DRAIN:
        return sse_emitter_end_drain(emitter, now);
    default:
        return false;
    }
}
