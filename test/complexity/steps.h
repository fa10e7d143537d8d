/* SPDX-License-Identifier: MIT */
#ifndef COMPLEXITY_STEPS_H
#define COMPLEXITY_STEPS_H

/**
 * Counts what the library does. A step is a basic block of it that is executed, or eight bytes that it
 * copies, compares, sets, searches or allocates. No clock is read, and other processes do not matter.
 *
 * The library is compiled for this with -fsanitize-coverage=trace-pc, which calls a function in each basic
 * block, and without built-in memory functions, which the linker sends through here. What libc and the system
 * do by themselves is not counted.
 */

#include <sse/platform.h>

/** The steps so far. */
uint64_t steps_count(void);

/** Its allocations are counted, its clock stands still, and its random bits are the same each time. */
extern const struct sse_platform steps_platform;

void steps_advance_ms(uint64_t milliseconds);

/** Begins again with the clock and the random bits. */
void steps_reset(void);

#endif
