/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_FAILURE_H
#define SCHEDULES_FAILURE_H

/** Ends the process with a description of the failure and its schedule. */

#include <stdbool.h>
#include <stdnoreturn.h>

#define require(condition) failure_unless((condition), #condition, __FILE__, __LINE__)

/** Sets the current pair, the number of its schedules so far, and the number of operations of each thread. A crash
 *  is a failure. So is SIGTERM, which ends a thread that runs in circles. */
void failure_open(const char *pair, const unsigned long *schedules, const unsigned *counts);

noreturn void failure(const char *format, ...);

void failure_unless(bool holds, const char *condition, const char *file, int line);

#endif
