/* SPDX-License-Identifier: MIT */
#ifndef HUB_HUB_H
#define HUB_HUB_H

/** What all parts of the hub share: options, registry, counts; and the one way to send an event. */

#include "memory.h"
#include "options.h"
#include "statistics.h"

#include <sse/registry.h>

/** Time for a stream that completes to send what waits. */
#define HUB_DRAIN_MS 5000

/** Type of the event that tells a client that it may have missed some. */
#define HUB_GAP_TYPE "gap"

struct hub {
    struct options options;
    struct memory memory;
    struct sse_registry *registry;
    struct statistics statistics;
    size_t body_bytes; /**< memory that bodies of unfinished requests hold */
    uint64_t random_state;
};

/** Returns 0 or a negative errno. */
int hub_begin(struct hub *hub, const struct options *options);
void hub_end(struct hub *hub);

/**
 * The largest event, in bytes on the wire, that the queue of an emitter can hold with its chunk
 * framing. A larger one would end every stream that it is sent to.
 */
size_t hub_message_max(const struct hub *hub);

/** The most memory that bodies of unfinished requests may hold together. */
size_t hub_body_bytes_max(const struct hub *hub);

/**
 * Publishes to a topic, or to all if it is absent. Returns 0 or a negative errno: -EMSGSIZE if the
 * event is too large for the queue of a client with the id that it will get.
 */
int hub_send(const struct hub *hub, struct sse_str topic, const struct sse_event *event,
             struct sse_delivery *delivery);

/** Ends the streams of a topic gracefully, or all if it is absent. Returns how many, or a negative errno. */
ssize_t hub_complete(struct hub *hub, struct sse_str topic);

/** 64 random bits, good enough to spread clients in time. */
uint64_t hub_random(struct hub *hub);

#endif
