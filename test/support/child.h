/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_CHILD_H
#define SUPPORT_CHILD_H

/** Runs parts of a test in a child process, so that changes of signals and limits end with it. */

#include <stdbool.h>

/** Runs `body` in a forked child, and fails the test if it exits with a failure or by a signal. */
void in_child(void (*body)(int argument), int argument);

/** Ends the child with a message if `holds` is false. */
void child_require(bool holds, const char *file, int line);

#define CHILD_EXPECT(condition) child_require(condition, __FILE__, __LINE__)

#endif
