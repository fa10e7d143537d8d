/* SPDX-License-Identifier: MIT */
#ifndef OUTPUT_SIGNALS_H
#define OUTPUT_SIGNALS_H

/**
 * A write can raise SIGPIPE, and SIGXFSZ at a file size limit. Both are directed at the writing thread. The
 * thread blocks them during the write, and takes back the one that its own write raised, so the process is
 * left as it was.
 */

#include <signal.h>
#include <sys/types.h>

struct signal_guard {
    sigset_t blocked;
    sigset_t mask_before;
};

void sse_signals_guard(struct signal_guard *guard);

/** `result`: what the write returned, or a negative errno. */
void sse_signals_release(const struct signal_guard *guard, ssize_t result);

#endif
