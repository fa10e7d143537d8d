/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_OBJECTS_H
#define SCHEDULES_OBJECTS_H

/**
 * What steps touch: locks, atomics, outputs. Each has a bit, and some have a name, for whoever reads a
 * schedule.
 *
 * What is first seen by the main thread, before a schedule begins, has a bit of its own. What threads make
 * may share bits, and has the same in all schedules in which its thread has done the same.
 */

#include <stdint.h>

/** A new schedule. */
void objects_clear(void);

uint64_t objects_bit(const void *object);

void objects_name(const void *object, const char *name);

/** The name of the object, or its address. Valid until the next call. */
const char *objects_name_of(const void *object);

#endif
