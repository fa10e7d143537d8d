/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_PAIRS_H
#define SCHEDULES_PAIRS_H

/**
 * The pairs: three threads with three operations each, and up to two preemptions. With three preemptions there are
 * too many schedules for a minute, except for a few pairs. Then the threads have fewer operations.
 */

#include "operations.h"
#include "scheduler.h"

#define PREEMPTIONS_MAX 3

struct pair {
    const char *name;
    void (*set_up)(void);
    operation *operations[THREADS][OPERATIONS]; /* NULL: nothing */
    const char *fewer;                          /* with PREEMPTIONS_MAX, each thread has only this many */
};

extern const struct pair pairs[];
extern const unsigned pairs_count;

#endif
