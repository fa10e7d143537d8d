/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_CALLS_H
#define SCHEDULES_CALLS_H

/** System calls of the library on descriptors: each is a step, and then the system's (--wrap). */

#include <stdbool.h>

#define DESCRIPTORS_MAX 24

/** A new schedule. */
void calls_clear(void);

/** A descriptor that is new. */
void calls_begin(int descriptor);

/** From now on the library must not use this descriptor. */
void calls_forbid(int descriptor);

/** Writes to this descriptor fail with EAGAIN, or not any more. One at a time. */
void calls_set_full(int descriptor, bool full);

#endif
