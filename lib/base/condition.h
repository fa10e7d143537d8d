/* SPDX-License-Identifier: MIT */
#ifndef BASE_CONDITION_H
#define BASE_CONDITION_H

/** Conditions whose waits end by CLOCK_MONOTONIC. No wait is a cancellation point. */

#include <pthread.h>
#include <stdint.h>

/** 0 or -ENOMEM. */
int sse_condition_init_monotonic(pthread_cond_t *condition);

/** Waits for a wake, or until `deadline` in nanoseconds of CLOCK_MONOTONIC. It may return earlier, so the caller
 * checks again. Lock held; released meanwhile. */
void sse_condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t deadline);

#endif
