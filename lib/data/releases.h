/* SPDX-License-Identifier: MIT */
#ifndef DATA_RELEASES_H
#define DATA_RELEASES_H

/**
 * References to messages that one thread releases together. Many clients get the same message, and the loops
 * of several cores release it: each release by itself would take the cache line of its count from another
 * core.
 */

#include "data/message.h"

/* As many messages as one write takes. Of a burst of up to so many, each client gets the same ones in the same
 * order. A longer burst is released as without this table: one message at a time. */
#define RELEASES_MAX 16

struct release {
    struct sse_message *message; /* NULL: none was added */
    unsigned count;
};

struct releases {
    struct release *last; /* that was counted in */
    struct release *end;  /* of those in use; the first always is */
    struct release places[RELEASES_MAX];
};

static inline void sse_releases_begin(struct releases *releases)
{
    releases->last = releases->places;
    releases->end = releases->places + 1;
    releases->places[0].message = NULL;
}

/** Finds or makes the place of a message that has neither the last place nor the one after it. */
struct release *sse_releases_place(struct releases *releases, struct sse_message *message);

/** Takes over a reference. */
static inline void sse_releases_add(struct releases *releases, struct sse_message *message)
{
    struct release *place = releases->last;

    if (place->message != message) {
        place = place + 1 < releases->end ? place + 1 : releases->places;
        if (place->message != message)
            place = sse_releases_place(releases, message);
        releases->last = place;
    }
    place->count++;
}

/** Releases all of them. */
void sse_releases_finish(struct releases *releases);

#endif
