/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_TOPICS_H
#define FANOUT_TOPICS_H

/**
 * Topics and who is subscribed to them. A topic exists while it has subscribers. No locks: the
 * registry's. The history of a topic will live beside its subscribers.
 */

#include "base/map.h"
#include "connection/emitter.h"

struct subscription {
    struct sse_emitter *emitter;
    struct topic *topic;
    struct subscription *next; /* of the same emitter */
    size_t position;           /* among the topic's subscribers */
};

struct topic {
    struct map_node node;
    struct subscription **subscribers;
    size_t count;
    size_t capacity;
    char name[];
};

struct topics {
    struct map map;
    const struct sse_host *host;
};

void sse_topics_init(struct topics *topics, const struct sse_host *host);
void sse_topics_free(struct topics *topics);

/** 0, -EINVAL for absent or empty, -EMSGSIZE. */
int sse_topic_name_check(struct sse_str name);

/** False for a length without a pointer, which is no topic at all. */
bool sse_topic_is_absent(struct sse_str name);

/** The topic, or NULL. */
struct topic *sse_topics_find(const struct topics *topics, struct sse_str name);

/** 0 also if it is subscribed already; -ENOMEM. A new subscription is the emitter's first. */
int sse_topics_subscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name);

/** Nothing if it is not subscribed. */
void sse_topics_unsubscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name);

/** Ends the emitter's newest subscriptions until `last` is the newest; NULL ends all. */
void sse_topics_unsubscribe_back_to(struct topics *topics, struct sse_emitter *emitter,
                                    const struct subscription *last);

#endif
