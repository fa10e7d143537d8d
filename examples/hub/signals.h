/* SPDX-License-Identifier: MIT */
#ifndef HUB_SIGNALS_H
#define HUB_SIGNALS_H

/** SIGTERM and SIGINT as bytes in a pipe, so that poll sees them; SIGPIPE is ignored. One in a process. */

struct signals {
    int fd; /**< readable when a signal has come */
};

/** Returns 0 or a negative errno. */
int signals_begin(struct signals *signals);

/** Takes the signals that have come; returns how many. */
int signals_take(struct signals *signals);

/** From now on they are ignored: the program is about to end. */
void signals_end(struct signals *signals);

#endif
