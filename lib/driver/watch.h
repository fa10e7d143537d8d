/* SPDX-License-Identifier: MIT */
#ifndef DRIVER_WATCH_H
#define DRIVER_WATCH_H

/** A watch: one emitter and its descriptor, and what to do when something happens to them. */

#include "driver/poller.h"

#include <sse/emitter.h>

struct watch {
    struct poller_item item;     /* first: an item is cast back to its watch */
    struct sse_emitter *emitter; /* NULL once the descriptor is closed */
    bool socket;
    bool unread;  /* input was left for the next turn; an edge is not told again */
    bool invalid; /* somebody else closed the descriptor */
    dev_t device; /* of the file that was handed over */
    ino_t inode;

    bool due; /* in the list of those to be seen to; see watches.h */
    struct watch *next_due;
    struct watch *next_closed;
};

/**
 * Fills in a watch for an emitter with the drain FD, and sets O_NONBLOCK if that is a socket.
 * *flags are the descriptor's from before, for watch_give_back. 0, or a negative errno.
 */
int sse_watch_init(struct watch *watch, struct sse_emitter *emitter, int *flags);

/** The descriptor stays with its owner after all: puts the flags back. */
void sse_watch_give_back(const struct watch *watch, int flags);

/** Writes, reads, and ends the emitter whose client has left. False once the emitter has ended. */
bool sse_watch_serve(struct watch *watch, unsigned happened, struct poller *poller);

/** Closes the descriptor, which nobody polls or writes to any more. `alone`: no other process has it,
 *  and what the client sent may be thrown away. */
void sse_watch_close(const struct watch *watch, bool alone);

#endif
