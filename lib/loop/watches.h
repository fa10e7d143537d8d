/* SPDX-License-Identifier: MIT */
#ifndef LOOP_WATCHES_H
#define LOOP_WATCHES_H

/**
 * The descriptors that a polled loop watches, by number. A number that is closed and used again gets another
 * generation, so that reports of the old descriptor are ignored. The loop's lock guards them.
 *
 * A watch is one number. Either one emitter writes to it, or one or more emitters name it as watch_fd.
 */

#include "base/array.h"
#include "connection/emitter.h"
#include "loop/poller.h"

/** An emitter that names a descriptor as watch_fd, and what it needs from the poller. */
struct watcher {
    struct sse_emitter *emitter;
    unsigned interest;
    uint32_t written; /* bytes of the emitter, when sse_watches_must_ask was last called */
    uint32_t in_vain; /* reports of room since then with which it has written nothing */
};

/** The watchers of one descriptor, such as the streams of an HTTP/2 connection. */
struct watchers {
    struct array list; /* of struct watcher; each emitter knows its place */
    uint32_t count;
    uint32_t asking_for_room; /* how many of them ask for it */
    uint32_t asking_for_hangup;
};

struct watch {
    struct sse_emitter *writer; /* the emitter that writes to it, or NULL */
    struct watchers *watchers;  /* or the watchers; if both are NULL, the number is not watched */
    uint32_t generation;
    unsigned interest; /* what the poller was asked for */
    dev_t device;      /* the identity of the file when the watch began */
    ino_t inode;
};

struct watches {
    struct array by_number; /* of struct watch */
    uint32_t generation;    /* of the newest watch */
};

void sse_watches_free(struct watches *watches, const struct sse_platform *platform);

/** The watch of a number, or NULL. */
struct watch *sse_watches_find(const struct watches *watches, int descriptor);

/** Adds an emitter, and adds its descriptor to the poller if it is not watched yet. 0, -ENOMEM, -EEXIST if an
 *  emitter writes to it already or watches what this one writes to, or an error of the poller. */
int sse_watches_add(struct watches *watches, struct sse_emitter *emitter, struct poller *poller,
                    const struct sse_platform *platform);

/** Removes an emitter. Does nothing if it is not there. */
void sse_watches_remove(struct watches *watches, struct sse_emitter *emitter, struct poller *poller,
                        const struct sse_platform *platform);

/** Whether the descriptor that an emitter writes to is still that of the file that the emitter was made with. */
bool sse_watches_is_same_file(const struct watches *watches, const struct sse_emitter *emitter);

/** To be called when an emitter needs something else from the poller. Asks for room if one emitter of its
 *  descriptor needs it, and for input until the client has closed its sending side. In the loop's thread. */
void sse_watches_ask(struct watches *watches, const struct sse_emitter *emitter, struct poller *poller);

/** Whether an emitter whose write callback is full must ask for room although its socket has room: unless room was
 *  reported twice, and it has written nothing since. After true, sse_watches_ask asks the poller even if
 *  the interest is the same. In the loop's thread. */
bool sse_watches_must_ask(struct watches *watches, const struct sse_emitter *emitter);

/** Room was reported to a watcher, which no longer asks for it. */
void sse_watches_note_room(const struct watch *watch, struct watcher *watcher);

/** To be called when an emitter of a descriptor may have been removed. */
void sse_watches_ask_again(struct watches *watches, int descriptor, struct poller *poller);

/** How many emitters name the descriptor as watch_fd. */
static inline uint32_t sse_watch_count(const struct watch *watch)
{
    return watch->watchers ? watch->watchers->count : 0;
}

static inline struct watcher *sse_watch_at(const struct watch *watch, uint32_t place)
{
    return sse_array_at(&watch->watchers->list, sizeof(struct watcher), place);
}

#endif
