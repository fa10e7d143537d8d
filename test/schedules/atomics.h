/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_ATOMICS_H
#define SCHEDULES_ATOMICS_H

/**
 * The atomics of the library. `order` is as in <stdatomic.h>, `code` is the place in the code. Each access is a
 * step, except a store that passes nothing on, and an increment under a lock: for those it makes no difference
 * whether other threads run just before the access or before the last step.
 */

#include <stddef.h>

/** Begins a new schedule. */
void atomics_clear(void);

/** The object at this address only counts. Its accesses are no steps. */
void atomics_leave_out(const volatile void *begin, size_t size);

void atomics_read(const char *what, const volatile void *at, int order, const void *code);
void atomics_write(const char *what, const volatile void *at, int order, const void *code);
/** Reads and writes in one step. */
void atomics_add(const volatile void *at, int order, const void *code);
void atomics_change(const char *what, const volatile void *at, int order, const void *code);

#endif
