/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_ORDER_H
#define SCHEDULES_ORDER_H

/**
 * Records which accesses happen before which: a clock for each thread, and what each thread has seen of the others'
 * clocks. Locks and atomics pass it on. Clocks continue from one schedule to the next, so everything in an earlier
 * schedule is before everything in a later one.
 */

#include "scheduler.h"

/** The clocks that were passed on. */
struct order {
    uint32_t seen[ALL_THREADS];
};

/** The threads begin after everything that the main thread has done, and the main thread continues after everything
 *  that they have done. */
void order_fork(void);
void order_join(void);

/** The calling thread. */
void order_acquire(const struct order *order);
void order_release(struct order *order);

/** What a thread has seen of all clocks, with its own. Everything up to these times is before its next access. */
const struct order *order_of(unsigned thread);

#endif
