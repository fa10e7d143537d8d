/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_LOCKS_H
#define SCHEDULES_LOCKS_H

/**
 * Locks and conditions of the library, in place of the system's: calls of pthread_mutex_* and pthread_cond_*
 * are linked with --wrap. Only one thread runs at a time, so all that a lock has to know is who holds it.
 * Taking a lock and waiting are steps.
 *
 * A wait with a deadline ends only by a wake: the clock stands still.
 */

/** A new schedule: no lock is there. */
void locks_clear(void);

/** How many locks the calling thread holds. */
unsigned locks_held(void);

/** Of all threads. */
unsigned locks_held_by_all(void);

#endif
