/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_PAIRS_H
#define SCHEDULES_PAIRS_H

/**
 * What is set against what: three threads of three operations each, with up to two preemptions. With three
 * there are too many schedules for a minute, but for a few pairs: then there are fewer operations.
 */

#include "operations.h"
#include "scheduler.h"

#define PREEMPTIONS_MAX 3

struct pair {
    const char *name;
    void (*set_up)(void);
    operation *operations[THREADS][OPERATIONS]; /* NULL: nothing */
    const char *fewer;                          /* with PREEMPTIONS_MAX, only so many of each thread */
};

extern const struct pair pairs[];
extern const unsigned pairs_count;

#endif
