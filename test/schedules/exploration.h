/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_EXPLORATION_H
#define SCHEDULES_EXPLORATION_H

/**
 * Decides which thread continues, so that all schedules with a limited number of preemptions are run. A preemption
 * is a place where a thread could continue, and another one does. (Musuvathi and Qadeer, Iterative context bounding
 * for systematic testing of multithreaded programs, 2007.)
 *
 * A schedule is left out if it differs from another one only in the order of independent steps. For that, a thread
 * that was preempted before a step sleeps until another thread touches the same objects as that step. Only the
 * preempted thread sleeps, and it also wakes if the running thread blocks on these objects. So the other schedule
 * has no more preemptions than this one, and is run. A schedule is also given up when it reaches a state in which
 * an earlier one has been: see traces.h.
 */

#include "scheduler.h"

/** Begins with schedules of at most `preemptions`. */
void exploration_begin(unsigned preemptions);

/** Goes to the next schedule. Returns false if there is none. */
bool exploration_advance(void);

/** Runs a single schedule that exploration_print has printed. Returns false if the text is not such a list. */
bool exploration_replay(const char *list);

/** Call it before the first step. */
void exploration_start(void);

/**
 * Returns the thread that continues. `current` could, if its bit is in `ready`; otherwise it waits for the objects
 * in `waits_for`, or has finished (0). NOBODY: no thread is ready, or the schedule must be given up.
 */
unsigned exploration_choose(unsigned current, unsigned ready, uint64_t waits_for);

/** The objects that a thread has touched since it was chosen. */
void exploration_end_step(unsigned thread, uint64_t touches);

unsigned exploration_steps(void);

/** Prints the schedule so far: the steps where another thread than usual continued. Usual is the thread that ran,
 *  or else the first one that can. */
void exploration_print(void);

#endif
