/* SPDX-License-Identifier: MIT */
#ifndef LOOP_WATCHES_H
#define LOOP_WATCHES_H

/**
 * The descriptors that a polled loop watches, by number. A number that is closed and used again gets
 * another generation, so that what was reported of the old one is ignored.
 *
 * One emitter writes to a descriptor; several may name the same one as watch_fd. No locks: the loop's.
 */

#include "connection/emitter.h"
#include "loop/poller.h"

/** An emitter that names a descriptor without writing to it. */
struct watcher {
    struct sse_emitter *emitter;
    struct watcher *next;
};

struct watch {
    struct sse_emitter *writer; /* or NULL */
    struct watcher *watchers;   /* instead, or NULL: then the number is not watched */
    uint32_t generation;
    unsigned interest; /* what the poller was asked for */
    dev_t device;      /* of the file that was watched first */
    ino_t inode;
};

struct watches {
    struct watch *by_number;
    size_t size;
    uint32_t generation; /* the last one that was given */
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

/** Asks the poller for room if an emitter of this descriptor asks for it, and for input until the client has
 * closed its sending side. In the loop's thread. */
void sse_watches_ask(struct watches *watches, int descriptor, struct poller *poller);

#endif
