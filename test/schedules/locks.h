/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_LOCKS_H
#define SCHEDULES_LOCKS_H

/**
 * Replacements for the system's locks and conditions: calls of pthread_mutex_* and pthread_cond_* are linked with
 * --wrap. Only one thread runs at a time, so a lock only stores its holder. Taking a lock and waiting are steps.
 *
 * A wait with a deadline ends only by a wake, because the clock does not move.
 */

/** Begins a new schedule without any lock. */
void locks_clear(void);

/** Returns how many locks the calling thread holds. */
unsigned locks_held(void);

/** Of all threads. */
unsigned locks_held_by_all(void);

#endif
