/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_SUBSCRIPTIONS_H
#define FANOUT_SUBSCRIPTIONS_H

/**
 * The subscriptions of one emitter, oldest first until one ends. Nearly every emitter has one, which needs
 * no memory of its own; more are in a list, and many have an index: a client may name as many as it likes,
 * one after the other. No locks: the registry's.
 */

#include "connection/emitter.h"

struct subscription {
    struct topic *topic;
    uint32_t place; /* among the topic's subscribers */
};

uint32_t sse_subscriptions_count(const struct emitter_membership *membership);

/** The one at a position below the count. */
struct subscription sse_subscriptions_at(const struct emitter_membership *membership, uint32_t position);

/** The position of a topic, or the count. */
uint32_t sse_subscriptions_find(const struct emitter_membership *membership, const struct topic *topic);

/** Its place among the topic's subscribers has changed. */
void sse_subscriptions_move(struct emitter_membership *membership, uint32_t position, uint32_t place);

/** Makes room for one more, so that adding it cannot fail. False without memory. */
bool sse_subscriptions_reserve(struct emitter_membership *membership, const struct sse_platform *platform);
void sse_subscriptions_add(struct emitter_membership *membership, struct subscription subscription);

/** The last takes its position. */
void sse_subscriptions_remove(struct emitter_membership *membership, uint32_t position,
                              const struct sse_platform *platform);

#endif
