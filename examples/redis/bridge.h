/* SPDX-License-Identifier: MIT */
#ifndef REDIS_BRIDGE_H
#define REDIS_BRIDGE_H

/**
 * Connects a registry to a Redis stream. All events of all nodes are in one stream, in one order, whatever
 * their topics. The Redis id of an entry is the id of its event, so every node understands the
 * Last-Event-ID that another node gave, for any number of topics.
 *
 * reader.c reads the stream in a thread and publishes each entry to the registry. It begins where the stream
 * ends when the node begins. bridge.c begins the streams of clients. What a client missed and the registry
 * does not retain, bridge.c reads from Redis.
 */

#include "progress.h"
#include "redis.h"

#include <sse/registry.h>
#include <stdatomic.h>

struct bridge {
    struct sse_registry *registry;
    const char *stream;
    struct redis reader;   /**< waits for entries */
    struct redis commands; /**< for everything else */
    struct progress progress;
    pthread_t thread;
    atomic_bool stopping;
    atomic_ullong filled;  /**< gaps that were filled */
    atomic_ullong told;    /**< `gap` events that clients were sent */
    atomic_ullong put_off; /**< clients that must come back for the rest of a gap */
};

/** Ownership: the texts are borrowed. */
void bridge_open(struct bridge *bridge, const char *host, int port, const char *stream);

/** Starts the thread that publishes. The registry needs a history. Returns 0 or a negative errno. */
int bridge_start(struct bridge *bridge, struct sse_registry *registry);

/**
 * Begins the stream of a client, as sse_emitter_new with these options. The call sets `registry` and
 * `paused`. It sends the events that the client missed, so it may take seconds.
 *
 * Errors, with nothing written: -EAGAIN: this node is not ready for the client, who should come back.
 * Every error of sse_emitter_new.
 */
int bridge_begin_stream(struct bridge *bridge, const struct sse_emitter_options *options);

/** Nothing is published after this call, and no gap is filled. */
void bridge_stop(struct bridge *bridge);
void bridge_close(struct bridge *bridge);

#endif
