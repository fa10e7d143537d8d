/* SPDX-License-Identifier: MIT */
#ifndef REDIS_STORE_H
#define REDIS_STORE_H

/**
 * Appends to the stream in Redis, and finds its ends.
 *
 * Another Redis may take over which lacks events that this node has accepted and not read yet. So the store
 * remembers the last one, and looks for it once a connection was renewed. If it is lost, the clients of all
 * nodes are told of a gap.
 */

#include "place.h"
#include "redis.h"

#include <sse/event.h>

struct store {
    struct redis *redis;
    const char *stream;
    unsigned long keep; /**< the fewest entries that the stream keeps; older ones are trimmed */
    int replicas;       /**< that must have an event before it is accepted */

    pthread_mutex_t lock;
    bool has_accepted;
    struct place accepted; /**< the last event that was accepted */
    unsigned connection;   /**< by which it was */
};

/** `redis` and `stream` are borrowed. */
void store_open(struct store *store, struct redis *redis, const char *stream);
void store_close(struct store *store);

/** The longest key of a publisher. */
#define STORE_KEY_MAX 255

/** How long a key is remembered after its event was stored. */
#define STORE_KEY_SECONDS 86400

/**
 * Appends an event and finds its place. After 0 the event is stored as safely as Redis is configured to
 * (appendfsync), and the replicas have it.
 *
 * With a key that is not absent, the event is appended once: if an event with this key was appended before,
 * the call finds its place.
 *
 * Errors:
 * - Those of entry_check: nothing is stored.
 * - -EEXIST: the key belongs to another event. Nothing is stored.
 * - -EAGAIN: Redis is away, or refuses. Nothing is stored.
 * - -ETIMEDOUT: nobody knows. The event may have been stored, or may be stored later.
 */
int store_append(struct store *store, struct sse_text topic, const struct sse_event *event,
                 struct sse_text key, struct place *place);

/** Appends an entry that tells every client that events up to `lost` are lost. False: Redis is away, or
 * refuses. */
bool store_tell_gap(const struct store *store, struct place lost, struct place *place);

/** Looks for the last event that was accepted. If Redis has lost it, clients are told of a gap. False: Redis
 * is away, or refuses; call it again. */
bool store_confirm(struct store *store);

/** Every client has been told of a gap: what was accepted before need not be confirmed. */
void store_forget(struct store *store);

/** Finds the first entry; `*empty`: there is none. False: Redis is away. */
bool store_first(const struct store *store, struct place *first, bool *empty);

/** Finds the last entry. An empty stream gets an entry that is no event first, so that a client never has a
 *  place without an entry. False: Redis is away. */
bool store_end(const struct store *store, struct place *end);

/** Whether this very entry is there. False: Redis is away. */
bool store_has(const struct store *store, struct place place, bool *there);

#endif
