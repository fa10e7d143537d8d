/* SPDX-License-Identifier: MIT */
#ifndef REDIS_CURRENT_H
#define REDIS_CURRENT_H

/**
 * The registry that clients join, and how far this node has read the stream. When Redis loses entries, both are
 * replaced together: the registry retains events that Redis does not have any more, and their ids are not in order
 * with the ids of new events.
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

/** Returns a new reference. `*published` is the place of the last event that this registry has published. */
struct sse_registry *current_registry_at(struct current *current, struct place *published);

/** Makes a registry that begins at `start`, and ends the streams of the previous one with this event. Their clients
 *  reconnect soon. Returns 0, or a negative errno with nothing changed. */
int current_replace(struct current *current, struct place start, const struct sse_event *final_event);

/** Ends all streams with this event. Returns 0 or a negative errno. */
int current_shut_down(struct current *current, const struct sse_event *final_event);

void current_close(struct current *current);

#endif
