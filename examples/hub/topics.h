/* SPDX-License-Identifier: MIT */
#ifndef HUB_TOPICS_H
#define HUB_TOPICS_H

/**
 * The topics that were used recently, for GET /topics. The registry counts their subscribers. This list has their
 * names, their numbers of events, and the time of their last use.
 */

#include "buffer.h"

#include <sse/registry.h>

/** When there are more, the least recently used topic is removed. */
#define TOPICS_MAX 1000

struct topic {
    struct sse_text name; /**< allocated elements */
    uint64_t published;
    int64_t used_ms;
};

/** All members zero is an empty list. */
struct topics {
    struct topic items[TOPICS_MAX]; /**< by name */
    size_t count;
};

/** Records that a topic was subscribed to. Without memory, nothing is recorded. */
void topics_note_subscriber(struct topics *topics, struct sse_text name);

/** Records that an event was published. */
void topics_note_event(struct topics *topics, struct sse_text name);

/** Removes topics without subscribers that were not used for `keep_ms`; 0 keeps all. */
void topics_forget_unused(struct topics *topics, struct sse_registry *registry, int64_t keep_ms);

/** Writes them as a JSON array. */
void topics_write(const struct topics *topics, struct sse_registry *registry, struct buffer *json);

void topics_release(struct topics *topics);

#endif
