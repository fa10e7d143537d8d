/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_TRACES_H
#define SCHEDULES_TRACES_H

/**
 * What has happened in a schedule, without the order of independent steps. Two schedules that agree in that have
 * reached the same state. (Happens-before caching: Musuvathi and Qadeer.)
 */

#include <stdbool.h>
#include <stdint.h>

/** Begins a new schedule. */
void traces_start(void);

/** Records a step of a thread. */
void traces_add(unsigned thread, uint64_t touches);

/** Forgets every state. */
void traces_forget(void);

/** Whether an earlier schedule has reached this state with the same `situation` and no more preemptions. Records
 *  the state. */
bool traces_have_been_here(uint64_t situation, unsigned preemptions);

#endif
