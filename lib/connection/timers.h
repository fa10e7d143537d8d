/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_TIMERS_H
#define CONNECTION_TIMERS_H

/**
 * When an emitter's timers are due: pure functions of what it last did. Nothing is scheduled; a
 * send only stores one time.
 */

#include "base/deadline.h"

#include <sse/emitter.h>

struct timers {
    uint64_t lifetime_end; /* a point in time */
    uint64_t drain_end;    /* a point in time; never until draining begins */
    uint64_t stall;        /* durations in nanoseconds, never when off */
    uint64_t drain;
    uint64_t heartbeat;
    uint64_t heartbeat_early; /* taken off the heartbeat, so that emitters differ in phase */
    uint64_t progress;        /* when a byte last left, or the queue was last empty */
};

/** False if a timer is out of range. `random` spreads lifetime and heartbeat. */
bool sse_timers_init(struct timers *timers, const struct sse_emitter_options *options, uint64_t now,
                     uint64_t random);

/** What a timer that is due asks for. */
enum timer_action { TIMER_NOTHING, TIMER_HEARTBEAT, TIMER_LIFETIME, TIMER_STALL, TIMER_DRAIN };

/** When each of them is due; never while it does not run. */
static inline uint64_t sse_timers_heartbeat_due(const struct timers *timers, enum sse_state state,
                                                bool queued)
{
    if (state != SSE_STATE_OPEN || queued || timers->heartbeat == DEADLINE_NEVER)
        return DEADLINE_NEVER;
    return deadline_after(timers->progress, timers->heartbeat - timers->heartbeat_early);
}

static inline uint64_t sse_timers_lifetime_due(const struct timers *timers, enum sse_state state)
{
    return state == SSE_STATE_OPEN ? timers->lifetime_end : DEADLINE_NEVER;
}

static inline uint64_t sse_timers_stall_due(const struct timers *timers, bool queued)
{
    return queued ? deadline_after(timers->progress, timers->stall) : DEADLINE_NEVER;
}

/** The earliest deadline of an emitter in this state, and whether it has bytes queued. */
static inline uint64_t sse_timers_deadline(const struct timers *timers, enum sse_state state, bool queued)
{
    uint64_t deadline = timers->drain_end;

    if (state == SSE_STATE_CLOSED)
        return DEADLINE_NEVER;
    deadline = deadline_earlier(deadline, sse_timers_stall_due(timers, queued));
    deadline = deadline_earlier(deadline, sse_timers_lifetime_due(timers, state));
    return deadline_earlier(deadline, sse_timers_heartbeat_due(timers, state, queued));
}

/** What is due first of all that is due. */
enum timer_action sse_timers_due(const struct timers *timers, enum sse_state state, bool queued,
                                 uint64_t now);

#endif
