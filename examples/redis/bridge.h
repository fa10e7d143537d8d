/* SPDX-License-Identifier: MIT */
#ifndef REDIS_BRIDGE_H
#define REDIS_BRIDGE_H

/**
 * Connects a registry to a Redis stream. All events of all nodes are in one stream, in one order, whatever their
 * topics. The place of an entry is the id of its event, so every node understands a Last-Event-ID from another
 * node, for any number of topics.
 *
 * reader.c reads the stream in a thread and publishes each entry to the registry. It begins at the end of the
 * stream when the node starts. bridge.c begins the streams of clients. If a client missed events that the registry
 * does not retain, bridge.c reads them from Redis.
 *
 * Redis may lose entries that nodes have already read: someone deletes the key, a replica without them takes over,
 * or Redis loads an older file. Then reader.c notices that the last entry that it read does not exist any more.
 * Every client receives a `gap` event and reconnects to a new registry. For events that were accepted and lost
 * before any node read them, see store.h.
 */

#include "current.h"
#include "store.h"

#include <stdatomic.h>

struct bridge {
    const char *stream;
    struct current current;
    struct redis reader;   /**< waits for new entries */
    struct redis commands; /**< for all other commands */
    struct store store;    /**< made by `commands` */
    unsigned confirmed;    /**< confirms accepted events; uses the reader's connection */
    pthread_t thread;
    atomic_bool stopping;
    atomic_ullong filled;  /**< gaps that were filled */
    atomic_ullong told;    /**< gaps that were reported to one client or to all */
    atomic_ullong renewed; /**< how often the stream lost entries that were read */
    atomic_ullong put_off; /**< clients that must reconnect for the rest of a gap */
};

/** `options` are those of the registry, which must have a history. Ownership: the texts are borrowed. Returns 0 or
 *  a negative errno. Call bridge_close in both cases. */
int bridge_open(struct bridge *bridge, const char *host, int port, const char *stream,
                const struct sse_registry_options *options);

/** Starts the thread that publishes. Returns 0 or a negative errno. */
int bridge_start(struct bridge *bridge);

/**
 * Begins the stream of a client, as sse_emitter_new with these options. The call sets `registry` and `paused`. It
 * sends the events that the client missed, so it may take seconds.
 *
 * Errors, with nothing written: -EAGAIN: this node is not ready for the client; the client must reconnect later.
 * Every error of sse_emitter_new.
 */
int bridge_begin_stream(struct bridge *bridge, const struct sse_emitter_options *options);

/** After this call nothing is published, and no gap is filled. */
void bridge_stop(struct bridge *bridge);
void bridge_close(struct bridge *bridge);

#endif
