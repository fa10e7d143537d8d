/* SPDX-License-Identifier: MIT */
#ifndef HUB_SIGNALS_H
#define HUB_SIGNALS_H

/** Writes a byte into a pipe for each SIGTERM or SIGINT, so that poll notices them. SIGPIPE is ignored. At most one
 *  in a process. */

struct signals {
    int fd; /**< readable when a signal has come */
};

/** Returns 0 or a negative errno. */
int signals_begin(struct signals *signals);

/** Removes the bytes of the signals that have come, and returns their number. */
int signals_take(struct signals *signals);

/** Ignores further signals, because the program is about to end. */
void signals_end(struct signals *signals);

#endif
