/* SPDX-License-Identifier: MIT */
#ifndef LOOP_WATCHES_H
#define LOOP_WATCHES_H

/**
 * The descriptors that a polled loop watches, by number. A number that is closed and used again gets
 * another generation, so that what was reported of the old one is ignored.
 *
 * One emitter writes to a descriptor; several may name the same one as watch_fd. No locks: the loop's.
 */

#include "base/array.h"
#include "connection/emitter.h"
#include "loop/poller.h"

/** An emitter that names a descriptor without writing to it, and what it asks of the poller. */
struct watcher {
    struct sse_emitter *emitter;
    unsigned interest;
};

/** Those of one descriptor: as many as there are streams on a connection. */
struct watchers {
    struct array list; /* of struct watcher; each emitter knows its place */
    uint32_t count;
    uint32_t asking_for_room; /* how many of them */
    uint32_t asking_for_hangup;
};

struct watch {
    struct sse_emitter *writer; /* or NULL */
    struct watchers *watchers;  /* instead, or NULL: then the number is not watched */
    uint32_t generation;
    unsigned interest; /* what the poller was asked for */
    dev_t device;      /* of the file that was watched first */
    ino_t inode;
};

struct watches {
    struct array by_number; /* of struct watch */
    uint32_t generation;    /* the last one that was given */
};

void sse_watches_free(struct watches *watches, const struct sse_platform *platform);

/** The watch of a number, or NULL. */
struct watch *sse_watches_find(const struct watches *watches, int descriptor);

/** Adds an emitter, and its descriptor to the poller if it is new there. 0, -ENOMEM, -EEXIST (somebody writes
 *  to it, or is to), or an error of the poller. */
int sse_watches_add(struct watches *watches, struct sse_emitter *emitter, struct poller *poller,
                    const struct sse_platform *platform);

/** Nothing if it is not there. */
void sse_watches_remove(struct watches *watches, struct sse_emitter *emitter, struct poller *poller,
                        const struct sse_platform *platform);

/** Whether the descriptor of an emitter that writes to it is still the file that the emitter was made with. */
bool sse_watches_is_same_file(const struct watches *watches, const struct sse_emitter *emitter);

/** Asks the poller for what the emitters of a descriptor want, which has changed for this one: room if one of
 *  them asks for it, and input until the client has closed its sending side. In the loop's thread. */
void sse_watches_ask(struct watches *watches, const struct sse_emitter *emitter, struct poller *poller);

/** The same when somebody may have left them. */
void sse_watches_ask_again(struct watches *watches, int descriptor, struct poller *poller);

/** How many watch without writing. */
static inline uint32_t sse_watch_count(const struct watch *watch)
{
    return watch->watchers ? watch->watchers->count : 0;
}

static inline struct watcher *sse_watch_at(const struct watch *watch, uint32_t place)
{
    return sse_array_at(&watch->watchers->list, sizeof(struct watcher), place);
}

#endif
