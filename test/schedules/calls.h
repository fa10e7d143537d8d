/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_CALLS_H
#define SCHEDULES_CALLS_H

/** The library's system calls on descriptors. Each is a step, and then the real call (--wrap). */

#include <stdbool.h>

#define DESCRIPTORS_MAX 24

/** Begins a new schedule. */
void calls_clear(void);

/** Registers a new descriptor. */
void calls_begin(int descriptor);

/** From now on the library must not use this descriptor. */
void calls_forbid(int descriptor);

/** Writes to this descriptor fail with EAGAIN, or do not any more. Only one descriptor at a time. */
void calls_set_full(int descriptor, bool full);

#endif
