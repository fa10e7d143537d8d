/* SPDX-License-Identifier: MIT */
#ifndef REDIS_STORE_H
#define REDIS_STORE_H

/**
 * Appends entries to the stream in Redis, and finds its first and last entry.
 *
 * A Redis server that takes over may lack events that this node has accepted and not read yet. So the store
 * remembers the last accepted event, and looks for it after each new connection. If the event is lost, the clients
 * of all nodes are notified of a gap.
 */

#include "place.h"
#include "redis.h"

#include <sse/event.h>

struct store {
    struct redis *redis;
    const char *stream;
    unsigned long keep; /**< the fewest entries that the stream keeps; older ones are trimmed */
    int replicas;       /**< the number of replicas that must have an event before it is accepted */

    pthread_mutex_t lock;
    bool has_accepted;
    struct place accepted; /**< the last event that was accepted */
    unsigned connection;   /**< the connection that was used */
};

/** `redis` and `stream` are borrowed. */
void store_open(struct store *store, struct redis *redis, const char *stream);
void store_close(struct store *store);

/** The longest key that a publisher may choose. */
#define STORE_KEY_MAX 255

/** How long a key is remembered after its event was stored. */
#define STORE_KEY_SECONDS 86400

/**
 * Appends an event and finds its place. If it returns 0, the event is stored as safely as Redis is configured
 * (appendfsync), and the replicas have it.
 *
 * With a key, the event is appended only once: if an event with this key was appended before, the call finds its
 * place.
 *
 * Errors:
 * - Those of entry_check: nothing is stored.
 * - -EEXIST: the key belongs to another event. Nothing is stored.
 * - -EAGAIN: Redis does not answer, or refuses. Nothing is stored.
 * - -ETIMEDOUT: unknown. The event may have been stored, or may be stored later.
 */
int store_append(struct store *store, struct sse_text topic, const struct sse_event *event,
                 struct sse_text key, struct place *place);

/** Appends an entry that notifies every client that events up to `lost` are lost. Returns false if Redis does not
 *  answer, or refuses. */
bool store_tell_gap(const struct store *store, struct place lost, struct place *place);

/** Looks for the last accepted event. If Redis has lost it, notifies clients of a gap. Returns false if Redis does
 *  not answer, or refuses; then call it again. */
bool store_confirm(struct store *store);

/** Every client has been notified of a gap, so earlier accepted events need not be confirmed any more. */
void store_forget(struct store *store);

/** Finds the first entry. `*empty`: there is none. Returns false if Redis does not answer. */
bool store_first(const struct store *store, struct place *first, bool *empty);

/** Finds the last entry. To an empty stream it first adds an entry without an event, so that a client always has
 *  the place of an entry. Returns false if Redis does not answer. */
bool store_end(const struct store *store, struct place *end);

/** Sets `*there` to whether this very entry exists. Returns false if Redis does not answer. */
bool store_has(const struct store *store, struct place place, bool *there);

#endif
