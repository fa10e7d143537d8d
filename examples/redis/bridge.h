/* SPDX-License-Identifier: MIT */
#ifndef REDIS_BRIDGE_H
#define REDIS_BRIDGE_H

/**
 * Between a Redis stream and a registry. Everybody's events are in one stream, in one order, whatever their
 * topics, and the Redis id is the event id: so any node understands the Last-Event-ID of any other, for
 * any number of topics.
 *
 * A node reads the stream from where it ended when the node began, and publishes each entry. What a client
 * wants from before that, or from before the history, on_gap fetches from the stream.
 */

#include "progress.h"
#include "redis.h"

#include <sse/registry.h>
#include <stdatomic.h>

struct bridge {
    struct sse_registry *registry;
    const char *stream;
    struct redis reader;   /**< waits for entries */
    struct redis commands; /**< all else */
    struct progress progress;
    pthread_t thread;
    atomic_bool stopping;
    atomic_ullong filled;  /**< gaps that could be filled */
    atomic_ullong told;    /**< gaps that clients were told of */
    atomic_ullong put_off; /**< clients that were told to come back for the rest */
};

/** The texts are borrowed. */
void bridge_open(struct bridge *bridge, const char *host, int port, const char *stream);

/**
 * From now on publishes what comes into the stream. The registry's on_gap is bridge_fill, its `user` the
 * bridge, its gap_type "gap", and the `user` of each of its emitters a struct subscriber. The history should
 * hold what comes in some seconds: if a gap cannot be filled before the history lets go of what follows it,
 * then the client is told so. 0 or a negative errno.
 */
int bridge_start(struct bridge *bridge, struct sse_registry *registry);

/** One step of the reader's thread: publishes what has come, or waits a while for it. False: Redis is away,
 * or memory ran out; nothing is lost by it. */
bool bridge_read(struct bridge *bridge);

/** The hook: sends what is missing. Without Redis, the client is told to come back. */
bool bridge_fill(struct sse_registry *registry, struct sse_emitter *emitter, const struct sse_gap *gap,
                 void *user);

/** Nothing is published after this, and no gap filled. */
void bridge_stop(struct bridge *bridge);
/** After the last emitter has left. */
void bridge_close(struct bridge *bridge);

#endif
