/* SPDX-License-Identifier: MIT */
#ifndef REDIS_STORE_H
#define REDIS_STORE_H

/** Appends to the stream in Redis, and finds its end. */

#include "place.h"
#include "redis.h"

#include <sse/event.h>

struct store {
    struct redis *redis;
    const char *stream;
    unsigned long keep; /**< the fewest entries that the stream keeps; older ones are trimmed */
};

/**
 * Appends an event. Redis makes its id, which the call writes to `id`, PLACE_SIZE bytes. After 0 the event is
 * stored as safely as Redis is configured to (appendfsync).
 *
 * Errors: those of entry_check, with nothing stored. -EAGAIN: Redis did not answer, or refused; the event may
 * have been stored.
 */
int store_append(const struct store *store, struct sse_text topic, const struct sse_event *event, char *id);

/** Finds the place of the last entry. An empty stream gets an entry that is no event first, so that a client
 * never has a place without an entry. False: Redis is away. */
bool store_end(const struct store *store, struct place *end);

#endif
