/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_TIMERS_H
#define CONNECTION_TIMERS_H

/**
 * When the timers of an emitter are due. The functions are pure. Nothing is scheduled here: a send only stores one
 * time.
 */

#include "base/deadline.h"

#include <sse/emitter.h>

/* A duration that never ends. Durations of more than 32 bits of milliseconds, 49 days, count as this one. */
#define TIMER_OFF UINT32_MAX

struct timers {
    uint64_t end;   /* the end of the lifetime or, while draining, of the draining */
    uint32_t drain; /* this and the others are durations in milliseconds */
    uint32_t stall;
    uint32_t heartbeat; /* with its random part */
    uint64_t progress;  /* when a byte was last written, or the queue was last empty */
};

/** False if a timer is out of range. `random` spreads lifetime and heartbeat. */
bool sse_timers_init(struct timers *timers, const struct sse_emitter_options *options, uint64_t now,
                     uint64_t random);

/** What is to be done when a timer is due. */
enum timer_action { TIMER_NOTHING, TIMER_HEARTBEAT, TIMER_LIFETIME, TIMER_STALL, TIMER_DRAIN };

static inline uint64_t sse_timer_duration(uint32_t milliseconds)
{
    return milliseconds == TIMER_OFF ? DEADLINE_NEVER : milliseconds * NANOSECONDS_PER_MILLISECOND;
}

/** When each timer is due; DEADLINE_NEVER while it does not run. */
static inline uint64_t sse_timers_heartbeat_due(const struct timers *timers, enum sse_state state,
                                                bool queued)
{
    if (state != SSE_STATE_OPEN || queued)
        return DEADLINE_NEVER;
    return deadline_after(timers->progress, sse_timer_duration(timers->heartbeat));
}

static inline uint64_t sse_timers_stall_due(const struct timers *timers, bool queued)
{
    return queued ? deadline_after(timers->progress, sse_timer_duration(timers->stall)) : DEADLINE_NEVER;
}

/** Starts the timer of the draining. */
static inline void sse_timers_begin_drain(struct timers *timers, uint64_t now)
{
    timers->end = deadline_after(now, sse_timer_duration(timers->drain));
}

/** The earliest deadline of an emitter in this state. `queued`: it has bytes queued. */
static inline uint64_t sse_timers_deadline(const struct timers *timers, enum sse_state state, bool queued)
{
    uint64_t deadline = timers->end;

    if (state == SSE_STATE_CLOSED)
        return DEADLINE_NEVER;
    deadline = deadline_earlier(deadline, sse_timers_stall_due(timers, queued));
    return deadline_earlier(deadline, sse_timers_heartbeat_due(timers, state, queued));
}

/** The action of the timer that was due first. */
enum timer_action sse_timers_due(const struct timers *timers, enum sse_state state, bool queued,
                                 uint64_t now);

#endif
