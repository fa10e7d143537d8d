/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_FAILURE_H
#define SCHEDULES_FAILURE_H

/** Ends the process with what went wrong, and in which schedule. */

#include <stdbool.h>
#include <stdnoreturn.h>

#define require(condition) failure_unless((condition), #condition, __FILE__, __LINE__)

/** Which pair is explored, how many schedules of it have begun, and of how many operations of each thread.
 *  A crash is a failure, and SIGTERM, which ends a thread that goes round in circles. */
void failure_open(const char *pair, const unsigned long *schedules, const unsigned *counts);

noreturn void failure(const char *format, ...);

void failure_unless(bool holds, const char *condition, const char *file, int line);

#endif
