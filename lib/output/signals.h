/* SPDX-License-Identifier: MIT */
#ifndef OUTPUT_SIGNALS_H
#define OUTPUT_SIGNALS_H

/**
 * A write can raise SIGPIPE, and SIGXFSZ at a file size limit. The writing thread gets the signal. It blocks both
 * during the write, and removes the one that its write raised, so that the program does not notice.
 */

#include <signal.h>
#include <sys/types.h>

struct signal_guard {
    sigset_t blocked;
    sigset_t mask_before;
};

void sse_signals_guard(struct signal_guard *guard);

/** `result` is what the write returned, or its negative errno. */
void sse_signals_release(const struct signal_guard *guard, ssize_t result);

#endif
