/* SPDX-License-Identifier: MIT */
#include "connection/timers.h"

#define DEFAULT_STALL_MS 30000
#define DEFAULT_DRAIN_MS 5000
#define DEFAULT_HEARTBEAT_MS 15000

/* At most a quarter of the heartbeat is subtracted from it. */
#define HEARTBEAT_SPREAD 4

static uint32_t duration(int64_t option, uint32_t by_default)
{
    if (option == SSE_TIMER_OFF || option >= TIMER_OFF)
        return TIMER_OFF;
    return option ? (uint32_t)option : by_default;
}

/* A random part of `range`, from 0 to nearly all of it. */
static uint64_t share(uint64_t range, uint64_t random)
{
    return range ? random % range : 0;
}

static uint64_t lifetime(const struct sse_emitter_options *options, uint64_t random)
{
    uint64_t whole = duration_from_ms(options->lifetime_ms);

    if (!options->lifetime_ms || options->lifetime_ms == SSE_TIMER_OFF || whole == DEADLINE_NEVER)
        return DEADLINE_NEVER;
    return whole - share(duration_from_ms(options->lifetime_jitter_ms), random);
}

/* Emitters have different heartbeats, so that they do not all write at the same time. */
static uint32_t heartbeat(const struct sse_emitter_options *options, uint64_t random)
{
    uint32_t whole = duration(options->heartbeat_ms, DEFAULT_HEARTBEAT_MS);

    return whole == TIMER_OFF ? whole : whole - (uint32_t)share(whole / HEARTBEAT_SPREAD, random);
}

static bool in_range(const struct sse_emitter_options *options)
{
    const int64_t timers[] = {options->lifetime_ms, options->stall_ms, options->drain_ms,
                              options->heartbeat_ms};

    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
        if (timers[i] < SSE_TIMER_OFF)
            return false;
    if (options->lifetime_jitter_ms < 0)
        return false;
    return !options->lifetime_jitter_ms || options->lifetime_jitter_ms <= options->lifetime_ms;
}

bool sse_timers_init(struct timers *timers, const struct sse_emitter_options *options, uint64_t now,
                     uint64_t random)
{
    if (!in_range(options))
        return false;
    *timers = (struct timers){
        .progress = now,
        .end = deadline_after(now, lifetime(options, random)),
        .heartbeat = heartbeat(options, random >> 16),
        .stall = duration(options->stall_ms, DEFAULT_STALL_MS),
        .drain = duration(options->drain_ms, DEFAULT_DRAIN_MS),
    };
    return true;
}

/* At equal deadlines, the timer that ends the emitter at once comes first. */
enum timer_action sse_timers_due(const struct timers *timers, enum sse_state state, bool queued, uint64_t now)
{
    uint64_t deadline = sse_timers_deadline(timers, state, queued);

    if (!deadline_is_due(deadline, now))
        return TIMER_NOTHING;
    if (state == SSE_STATE_DRAINING && deadline == timers->end)
        return TIMER_DRAIN;
    if (deadline == sse_timers_stall_due(timers, queued))
        return TIMER_STALL;
    return deadline == timers->end ? TIMER_LIFETIME : TIMER_HEARTBEAT;
}
