/* SPDX-License-Identifier: MIT */
#ifndef REDIS_PROGRESS_H
#define REDIS_PROGRESS_H

/** How far a node has read and published the stream. Any thread may call any function. */

#include "place.h"

#include <pthread.h>

struct progress {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool begun;
    unsigned waiting; /**< threads in progress_await */
    struct place start;
    struct place read;
    struct place published;
};

void progress_open(struct progress *progress);
void progress_close(struct progress *progress);

/** This node publishes only what comes after `start`. */
void progress_begin(struct progress *progress, struct place start);

/** Records that everything up to `place` has been read and published. `event`: an event with this place was
 *  published. */
void progress_note(struct progress *progress, struct place place, bool event);

bool progress_has_begun(struct progress *progress);

/** Returns the place at which the node began. */
struct place progress_start(struct progress *progress);

/** Returns the place of the last entry that was read. */
struct place progress_read(struct progress *progress);

/** Returns the place of the last event that was published, or the start before the first one. */
struct place progress_published(struct progress *progress);

/** Waits up to two seconds until everything up to `place` has been published. Returns whether it has. Only a
 *  limited number of threads may wait. For the others it returns false at once, so that they can do other work. */
bool progress_await(struct progress *progress, struct place place);

#endif
