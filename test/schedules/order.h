/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_ORDER_H
#define SCHEDULES_ORDER_H

/**
 * What happens before what: a clock for each thread, and what each thread has seen of the others' clocks.
 * Locks and atomics pass it on. Clocks go on from one schedule to the next, so that everything in an
 * earlier schedule is before everything in a later one.
 */

#include "scheduler.h"

/** What was passed on. */
struct order {
    uint32_t seen[ALL_THREADS];
};

/** The threads begin after what the main thread has done; it goes on after what they have done. */
void order_fork(void);
void order_join(void);

/** The calling thread. */
void order_acquire(const struct order *order);
void order_release(struct order *order);

/** What a thread has seen of all clocks, its own included. What is at a moment up to that is before what it
 *  does now. */
const struct order *order_of(unsigned thread);

#endif
