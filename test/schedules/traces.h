/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_TRACES_H
#define SCHEDULES_TRACES_H

/**
 * What has happened in a schedule, but for the order of steps that touch nothing in common: two schedules
 * that agree in that have come to the same state. (Happens-before caching: Musuvathi and Qadeer.)
 */

#include <stdbool.h>
#include <stdint.h>

/** A new schedule. */
void traces_start(void);

/** A step of a thread. */
void traces_add(unsigned thread, uint64_t touches);

/** Forgets every state. */
void traces_forget(void);

/** Whether a schedule has come here before, with the same `situation` and no more preemptions. It has by now.
 */
bool traces_have_been_here(uint64_t situation, unsigned preemptions);

#endif
