/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_ATOMICS_H
#define SCHEDULES_ATOMICS_H

/**
 * The atomics of the library. `order` as in <stdatomic.h>, `code`: where. Each access is a step, but for a
 * store that passes nothing on, and for counting up under a lock: there it makes no difference whether others
 * come just before it, or before the last step.
 */

#include <stddef.h>

/** A new schedule. */
void atomics_clear(void);

/** What is here only counts: it is no step, and nothing follows from it. */
void atomics_leave_out(const volatile void *begin, size_t size);

void atomics_read(const char *what, const volatile void *at, int order, const void *code);
void atomics_write(const char *what, const volatile void *at, int order, const void *code);
/** Reads and writes in one step. */
void atomics_add(const volatile void *at, int order, const void *code);
void atomics_change(const char *what, const volatile void *at, int order, const void *code);

#endif
