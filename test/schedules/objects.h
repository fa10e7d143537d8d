/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_OBJECTS_H
#define SCHEDULES_OBJECTS_H

/**
 * The objects that steps touch: locks, atomics, outputs. Each has a bit. Some have a name, for readers of a
 * schedule.
 *
 * An object that the main thread touches first, before a schedule begins, has its own bit. Objects of other threads
 * may share bits. They have the same bit in all schedules in which their thread has done the same.
 */

#include <stdint.h>

/** A new schedule. */
void objects_clear(void);

uint64_t objects_bit(const void *object);

void objects_name(const void *object, const char *name);

/** Returns the name of the object, or its address. Valid until the next call. */
const char *objects_name_of(const void *object);

#endif
