/* SPDX-License-Identifier: MIT */
#ifndef REDIS_STORE_H
#define REDIS_STORE_H

/** The stream in Redis, but for reading it. */

#include "place.h"
#include "redis.h"

#include <sse/event.h>

struct store {
    struct redis *redis;
    const char *stream;
    unsigned long keep; /**< so many entries at least; older ones are trimmed */
};

/**
 * Appends an event, whose id Redis makes, and writes that to `id`, PLACE_SIZE bytes. Once this has returned 0
 * the event is stored, as safely as Redis is told to (appendfsync).
 *
 * Errors: those of entry_check: nothing is stored. -EAGAIN: no answer, or a refusal; it may have been
 * stored all the same.
 */
int store_append(const struct store *store, struct sse_str topic, const struct sse_event *event, char *id);

/** The place of the last entry. An empty stream gets one that is no event, so that every place that a client
 * may hold is that of an entry. False: Redis is away. */
bool store_end(const struct store *store, struct place *end);

#endif
