/* SPDX-License-Identifier: MIT */
#ifndef HUB_HUB_H
#define HUB_HUB_H

/** What all parts of the hub share: options, registry, counts; and the one way to send an event. */

#include "options.h"
#include "statistics.h"

#include <sse/registry.h>

/** From the signal that stops the hub to its end, at most; for a stream that completes as well. */
#define HUB_DRAIN_MS 5000

struct hub {
    struct options options;
    struct sse_registry *registry;
    struct statistics statistics;
    size_t body_bytes; /**< memory that bodies of unfinished requests hold */
    uint64_t random_state;
};

/** Returns 0 or a negative errno. */
int hub_begin(struct hub *hub, const struct options *options);
void hub_end(struct hub *hub);

/**
 * The largest message, in bytes, that the queue of an emitter can hold with its chunk framing.
 * A larger one would end every stream that it is sent to.
 */
size_t hub_message_max(const struct hub *hub);

/** The most memory that bodies of unfinished requests may hold together. */
size_t hub_body_bytes_max(const struct hub *hub);

/** Publishes to a topic, or to all if it is absent, and counts. Returns 0 or a negative errno. */
int hub_send(struct hub *hub, struct sse_str topic, struct sse_message *message,
             struct sse_delivery *delivery);

/** Ends the streams of a topic gracefully, or all if it is absent. Returns how many, or a negative errno. */
ssize_t hub_complete(struct hub *hub, struct sse_str topic);

/** 64 random bits, good enough to spread clients in time. */
uint64_t hub_random(struct hub *hub);

#endif
