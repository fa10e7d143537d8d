/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_EXPLORATION_H
#define SCHEDULES_EXPLORATION_H

/**
 * Decides who goes on, so that all schedules come up that have a limited number of preemptions: of places
 * where a thread could go on, and another one does. (Musuvathi and Qadeer, Iterative context bounding for
 * systematic testing of multithreaded programs, 2007.)
 *
 * A schedule is left out if it differs from another one only in the order of steps that do not touch each
 * other: a thread that was preempted before a step sleeps until another one touches what that step touches.
 * Only the preempted thread sleeps, and it also wakes if the running thread blocks on what the step
 * touches. So the other schedule has no more preemptions than this one, and comes up. A schedule is also left
 * when it comes to a state in which an earlier one has been: see traces.h.
 */

#include "scheduler.h"

/** Begins with schedules of at most `preemptions`. */
void exploration_begin(unsigned preemptions);

/** Goes to the next schedule. False if there is none. */
bool exploration_advance(void);

/** Instead: one schedule, as exploration_print has printed it. False if it is no list. */
bool exploration_replay(const char *list);

/** Before the first step. */
void exploration_start(void);

/**
 * Who goes on. `current` could, if its bit is in `ready`; otherwise it waits for what `waits_for` touches, or
 * has finished (0). NOBODY: no thread is ready, or the schedule is to be given up.
 */
unsigned exploration_choose(unsigned current, unsigned ready, uint64_t waits_for);

/** What a thread has touched since it was chosen. */
void exploration_end_step(unsigned thread, uint64_t touches);

unsigned exploration_steps(void);

/** Prints the schedule so far: the steps where another thread went on than usual, which is the one that ran,
 *  or else the first that can. */
void exploration_print(void);

#endif
