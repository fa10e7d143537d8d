/* SPDX-License-Identifier: MIT */
#ifndef LOOP_WAKE_H
#define LOOP_WAKE_H

/** A descriptor that other threads and signal handlers make readable. */

struct wake {
    int reader; /* -1: not open */
    int writer; /* with an eventfd the same descriptor */
};

/** 0, or a negative errno (-EMFILE, -ENFILE, -ENOMEM); then it is not open. */
int sse_wake_open(struct wake *wake);

void sse_wake_close(struct wake *wake);

/** Makes it readable. Any thread and signal handler may call it. It does not change errno, and is not a
 *  cancellation point. */
void sse_wake_raise(const struct wake *wake);

/** Makes it unreadable. A thread that clears sees what other threads did before they raised. */
void sse_wake_clear(const struct wake *wake);

#endif
