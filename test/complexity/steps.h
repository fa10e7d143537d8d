/* SPDX-License-Identifier: MIT */
#ifndef COMPLEXITY_STEPS_H
#define COMPLEXITY_STEPS_H

/**
 * Counts the steps of the library. A step is one executed basic block of the library, or eight bytes that it
 * copies, compares, sets, searches or allocates. No clock is read, and other processes have no influence.
 *
 * For this the library is compiled with -fsanitize-coverage=trace-pc, which calls a function in each basic block,
 * and without built-in memory functions, which the linker replaces by these. Work inside libc and the system is not
 * counted.
 */

#include <sse/platform.h>

/** Returns the steps so far. */
uint64_t steps_count(void);

/** Counts allocations. Its clock does not move, and its random bits are the same each time. */
extern const struct sse_platform steps_platform;

void steps_advance_ms(uint64_t milliseconds);

/** Resets the clock and the random bits. */
void steps_reset(void);

#endif
