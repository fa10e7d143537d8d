/* SPDX-License-Identifier: MIT */
#ifndef REDIS_BRIDGE_H
#define REDIS_BRIDGE_H

/**
 * Connects a registry to a Redis stream. All events of all nodes are in one stream, in one order, whatever
 * their topics. The place of an entry is the id of its event, so every node understands the Last-Event-ID
 * that another node gave, for any number of topics.
 *
 * reader.c reads the stream in a thread and publishes each entry to the registry. It begins where the stream
 * ends when the node begins. bridge.c begins the streams of clients. What a client missed and the registry
 * does not retain, bridge.c reads from Redis.
 *
 * Redis may lose entries that were read already: the key is deleted, a replica takes over that did not have
 * them, an older file is loaded. reader.c notices that the last entry that it read is gone. Every client gets
 * a `gap` event and comes back to a new registry. Events that were accepted and lost before any node read
 * them: see store.h.
 */

#include "current.h"
#include "store.h"

#include <stdatomic.h>

struct bridge {
    const char *stream;
    struct current current;
    struct redis reader;   /**< waits for entries */
    struct redis commands; /**< for everything else */
    struct store store;    /**< by `commands` */
    unsigned confirmed;    /**< the reader's connection by which what was accepted is confirmed */
    pthread_t thread;
    atomic_bool stopping;
    atomic_ullong filled;  /**< gaps that were filled */
    atomic_ullong told;    /**< gaps that one client or all were told of */
    atomic_ullong renewed; /**< how often the stream went back */
    atomic_ullong put_off; /**< clients that must come back for the rest of a gap */
};

/** `options` are those of the registry, which needs a history. Ownership: the texts are borrowed. Returns 0
 * or a negative errno; call bridge_close in both cases. */
int bridge_open(struct bridge *bridge, const char *host, int port, const char *stream,
                const struct sse_registry_options *options);

/** Starts the thread that publishes. Returns 0 or a negative errno. */
int bridge_start(struct bridge *bridge);

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
