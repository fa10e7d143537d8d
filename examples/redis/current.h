/* SPDX-License-Identifier: MIT */
#ifndef REDIS_CURRENT_H
#define REDIS_CURRENT_H

/**
 * The registry that clients join, and how far this node has read the stream. Both change together when the
 * stream goes back: the registry retains events that Redis no longer has, and their ids are out of order with
 * those that come. So a new registry takes its place.
 *
 * Any thread may call any function.
 */

#include "progress.h"

#include <sse/registry.h>

struct current {
    struct sse_registry_options options;
    struct progress progress;
    pthread_mutex_t lock;
    struct sse_registry *registry;
};

/** Makes the first registry. Returns 0 or a negative errno. */
int current_open(struct current *current, const struct sse_registry_options *options);

/** Returns a new reference. */
struct sse_registry *current_registry(struct current *current);

/** The same; `*published` is the place of the last event that this registry has published. */
struct sse_registry *current_registry_at(struct current *current, struct place *published);

/** Makes a registry that begins at `start`, and ends the streams of the one before with this event. Their
 *  clients come back soon. Returns 0, or a negative errno with nothing changed. */
int current_replace(struct current *current, struct place start, const struct sse_event *final_event);

/** Ends all streams with this event. Returns 0 or a negative errno. */
int current_shut_down(struct current *current, const struct sse_event *final_event);

void current_close(struct current *current);

#endif
