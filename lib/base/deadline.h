/* SPDX-License-Identifier: MIT */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

/** Points in time in nanoseconds of the platform's clock, with arithmetic that saturates. */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define DEADLINE_NEVER UINT64_MAX
#define NANOSECONDS_PER_MILLISECOND UINT64_C(1000000)

/** `duration` after `now`. DEADLINE_NEVER if the duration is DEADLINE_NEVER, or the sum is too large. */
static inline uint64_t deadline_after(uint64_t now, uint64_t duration)
{
    return duration >= DEADLINE_NEVER - now ? DEADLINE_NEVER : now + duration;
}

static inline bool deadline_is_due(uint64_t deadline, uint64_t now)
{
    return deadline != DEADLINE_NEVER && deadline <= now;
}

static inline uint64_t deadline_earlier(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/** A duration of `milliseconds`, which must not be negative. */
static inline uint64_t duration_from_ms(int64_t milliseconds)
{
    uint64_t ms = (uint64_t)milliseconds;

    return ms > DEADLINE_NEVER / NANOSECONDS_PER_MILLISECOND ? DEADLINE_NEVER
                                                             : ms * NANOSECONDS_PER_MILLISECOND;
}

/** Milliseconds until the deadline as poll(2) takes them: rounded up, -1 for never. */
static inline int deadline_timeout_ms(uint64_t deadline, uint64_t now)
{
    uint64_t ms;

    if (deadline == DEADLINE_NEVER)
        return -1;
    if (deadline <= now)
        return 0;
    ms = (deadline - now - 1) / NANOSECONDS_PER_MILLISECOND + 1;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

#endif
