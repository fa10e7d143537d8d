/* SPDX-License-Identifier: MIT */
#include "connection/timers.h"

#define DEFAULT_STALL_MS 30000
#define DEFAULT_DRAIN_MS 5000
#define DEFAULT_HEARTBEAT_MS 15000

/* At most a quarter of the heartbeat is taken off it. */
#define HEARTBEAT_SPREAD 4

static uint64_t duration(int64_t option, uint64_t by_default)
{
    if (option == SSE_TIMER_OFF)
        return DEADLINE_NEVER;
    return option ? duration_from_ms(option) : by_default;
}

/* A part of `range`, inclusive of 0 and nearly of the whole. */
static uint64_t share(uint64_t range, uint64_t random)
{
    return range ? random % range : 0;
}

static uint64_t lifetime(const struct sse_emitter_options *options, uint64_t random)
{
    uint64_t whole = duration(options->lifetime_ms, DEADLINE_NEVER);

    return whole == DEADLINE_NEVER ? whole
                                   : whole - share(duration_from_ms(options->lifetime_jitter_ms), random);
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
        .lifetime_end = deadline_after(now, lifetime(options, random)),
        .drain_end = DEADLINE_NEVER,
        .stall = duration(options->stall_ms, duration_from_ms(DEFAULT_STALL_MS)),
        .drain = duration(options->drain_ms, duration_from_ms(DEFAULT_DRAIN_MS)),
        .heartbeat = duration(options->heartbeat_ms, duration_from_ms(DEFAULT_HEARTBEAT_MS)),
        .progress = now,
    };
    if (timers->heartbeat != DEADLINE_NEVER)
        timers->heartbeat_early = share(timers->heartbeat / HEARTBEAT_SPREAD, random >> 16);
    return true;
}

/* At equal deadlines what ends the emitter at once comes first. */
enum timer_action sse_timers_due(const struct timers *timers, enum sse_state state, bool queued, uint64_t now)
{
    uint64_t deadline = sse_timers_deadline(timers, state, queued);

    if (!deadline_is_due(deadline, now))
        return TIMER_NOTHING;
    if (deadline == timers->drain_end)
        return TIMER_DRAIN;
    if (deadline == sse_timers_stall_due(timers, queued))
        return TIMER_STALL;
    return deadline == sse_timers_lifetime_due(timers, state) ? TIMER_LIFETIME : TIMER_HEARTBEAT;
}
