/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_SUBSCRIPTIONS_H
#define FANOUT_SUBSCRIPTIONS_H

/**
 * The subscriptions of one emitter. They are in the order of their beginning until one ends. The registry's lock
 * guards them.
 *
 * Nearly every emitter has one subscription, which needs no other memory. Several are in a list. A long list has an
 * index, because a client may have the server subscribe it to any number of topics.
 */

#include "connection/emitter.h"

struct subscription {
    struct topic *topic;
    uint32_t place; /* among the topic's subscribers */
};

uint32_t sse_subscriptions_count(const struct emitter_membership *membership);

/** The subscription at a position below the count. */
struct subscription sse_subscriptions_at(const struct emitter_membership *membership, uint32_t position);

/** The position of a topic, or the count. */
uint32_t sse_subscriptions_find(const struct emitter_membership *membership, const struct topic *topic);

/** Sets the new place of the emitter among the topic's subscribers. */
void sse_subscriptions_move(struct emitter_membership *membership, uint32_t position, uint32_t place);

/** Makes room for one more subscription, so that adding it cannot fail. False if there is no memory. */
bool sse_subscriptions_reserve(struct emitter_membership *membership, const struct sse_platform *platform);
void sse_subscriptions_add(struct emitter_membership *membership, struct subscription subscription);

/** Removes a subscription. The last one moves to its position. */
void sse_subscriptions_remove(struct emitter_membership *membership, uint32_t position,
                              const struct sse_platform *platform);

#endif
