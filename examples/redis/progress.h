/* SPDX-License-Identifier: MIT */
#ifndef REDIS_PROGRESS_H
#define REDIS_PROGRESS_H

/** How far a node has published the stream. Any thread may call any function. */

#include "place.h"

#include <pthread.h>

struct progress {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool begun;
    struct place start;
    struct place read;
    struct place published;
    struct place skipped;
};

void progress_open(struct progress *progress);
void progress_close(struct progress *progress);

/** This node publishes what comes after `start`, and nothing else. */
void progress_begin(struct progress *progress, struct place start);

/** Everything up to `place` has been read, and published if it is an event; whether the last is one. */
void progress_note(struct progress *progress, struct place place, bool event);

/** Something before `place` was trimmed before it could be read. */
void progress_skip(struct progress *progress, struct place place);

bool progress_has_begun(struct progress *progress);

/** Where the node began. */
struct place progress_start(struct progress *progress);

/** The place of the last entry that was read. */
struct place progress_read(struct progress *progress);

/** The place of the last event published, at first the start. */
struct place progress_published(struct progress *progress);

/** The place of the last progress_skip, at first 0-0: the history does not hold all that is before it. */
struct place progress_skipped(struct progress *progress);

/** Waits a while until everything up to `place` has been read, and published. Whether it has. */
bool progress_await(struct progress *progress, struct place place);

#endif
