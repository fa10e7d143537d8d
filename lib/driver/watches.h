/* SPDX-License-Identifier: MIT */
#ifndef DRIVER_WATCHES_H
#define DRIVER_WATCHES_H

/**
 * All watches of a loop, by descriptor, and the list of those that are due: to be seen to in the
 * next round though nothing happens to their descriptors.
 *
 * Any thread adds; all else is for the thread that dispatches. The members of a watch that has
 * been added are for that thread alone.
 */

#include "driver/watch.h"

#include <pthread.h>

struct watches {
    pthread_mutex_t lock;
    const struct sse_host *host;
    struct watch **by_descriptor;
    size_t size; /* of the table */
    size_t count;
    struct watch *first_due;
    struct watch *last_due;
    size_t due_count;
};

/** 0, or -ENOMEM. */
int sse_watches_init(struct watches *watches, const struct sse_host *host);

void sse_watches_free(struct watches *watches);

/** In a forked child: whether another thread was inside. */
bool sse_watches_were_left_locked(struct watches *watches);

/** Adds a watch here and to the poller, or to neither. It is due: bytes may be queued, or the end
 *  have come already. -EEXIST, -ENOMEM, or an error of the poller. */
int sse_watches_add(struct watches *watches, struct watch *watch, struct poller *poller);

/** Takes a watch out of the table. If it is due, it stays in the list until it is popped. */
void sse_watches_remove(struct watches *watches, struct watch *watch);

/** The watch of the highest descriptor, or NULL. Shrinks the table to it. */
struct watch *sse_watches_last(struct watches *watches);

size_t sse_watches_count(struct watches *watches);

void sse_watches_mark_due(struct watches *watches, struct watch *watch);

/** Finds the watch of this very emitter. Nothing if it is not here. */
void sse_watches_mark_emitter_due(struct watches *watches, const struct sse_emitter *emitter);

size_t sse_watches_due_count(struct watches *watches);

/** The one that has been due for longest; there must be one. */
struct watch *sse_watches_pop_due(struct watches *watches);

#endif
