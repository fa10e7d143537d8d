/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAKE_PLATFORM_H
#define SUPPORT_FAKE_PLATFORM_H

/**
 * A platform for tests. Its clock moves only when a test moves it, its random numbers come from a seed, and its
 * allocator counts, guards every block, and fails when a test says so. Safe for several threads.
 */

#include <sse/platform.h>
#include <stdatomic.h>
#include <stdbool.h>

struct fake_platform {
    struct sse_platform platform; /* pass its address to the library */
    _Atomic uint64_t now;         /* nanoseconds */
    _Atomic uint64_t random;
    atomic_size_t blocks; /* allocated now */
    atomic_size_t bytes;
    atomic_size_t allocations; /* since the beginning */
    /** The allocation that fails, counted from 1 since fake_platform_fail_at; 0: none. */
    atomic_size_t fail_at;
    atomic_bool fail_from_there_on;
    atomic_size_t attempts;
};

void fake_platform_init(struct fake_platform *fake);

void fake_platform_advance_ms(struct fake_platform *fake, uint64_t milliseconds);

/** From now on the `nth` allocation fails, and with `for_good` all after it. 0: none fails. */
void fake_platform_fail_at(struct fake_platform *fake, size_t nth, bool for_good);

/** Aborts with a message if blocks are still allocated. */
void fake_platform_check_no_leak(const struct fake_platform *fake);

#endif
