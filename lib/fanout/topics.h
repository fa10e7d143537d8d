/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_TOPICS_H
#define FANOUT_TOPICS_H

/**
 * Topics, who is subscribed to them, and what was published to them. A topic exists while it has
 * subscribers or a history, or is kept. No locks: the registry's.
 */

#include "base/map.h"
#include "connection/emitter.h"
#include "data/history.h"
#include "fanout/subscriptions.h"

struct subscriber {
    struct sse_emitter *emitter;
    uint32_t position; /* among the emitter's subscriptions */
    uint32_t since;    /* how many had joined, or subscribed, before */
};

/* What a publish without a history comes to lies side by side with the name, which is behind it. */
struct topic {
    struct topic_past *past; /* right behind the topic; NULL in a registry that keeps no history */
    union {
        struct subscriber one; /* up to one, unless they have been more */
        struct array many;
    };
    uint32_t count;
    bool has_many;
    struct map_node node;
};

/** What was published to a topic. */
struct topic_past {
    struct history history;
    struct heap_node size; /* in the archive's heaps */
    struct heap_node age;
    size_t charged; /* to the archive, for the topic itself */
};

struct topics {
    struct map map;
    const struct sse_host *host;
    bool have_past; /* a history is kept of each */
    uint64_t lost;  /* the highest sequence that was lost by a topic which is no more */
    uint32_t order; /* how many have joined, or subscribed; what is beyond 32 bits is all alike */
};

void sse_topics_init(struct topics *topics, const struct sse_host *host);
void sse_topics_free(struct topics *topics);

/** 0, -EINVAL for absent or empty, -EMSGSIZE. */
int sse_topic_name_check(struct sse_str name);

/** False for a length without a pointer, which is no topic at all. */
bool sse_topic_is_absent(struct sse_str name);

/** The topic, or NULL. */
struct topic *sse_topics_find(const struct topics *topics, struct sse_str name);

/** The topic, made if need be, or NULL without memory. One that stays unused is to be freed. */
struct topic *sse_topics_find_or_add(struct topics *topics, struct sse_str name);

/** A topic that is in no map, has no name, and stays: that of the broadcasts. NULL without memory. */
struct topic *sse_topic_new_kept(const struct topics *topics);

/** How many events of it are held. */
static inline size_t sse_topic_held(const struct topic *topic)
{
    return topic->past ? topic->past->history.count : 0;
}

/** The highest sequence that was published to it and is no longer held. */
static inline uint64_t sse_topic_lost(const struct topic *topic)
{
    return topic->past ? topic->past->history.lost : 0;
}

/** What a topic takes, its name included. */
size_t sse_topic_size(const struct topic *topic);

void sse_topics_free_if_unused(struct topics *topics, struct topic *topic);

struct topic *sse_topic_of_size(struct heap_node *size);
struct topic *sse_topic_of_age(struct heap_node *age);

/** 0 also if it is subscribed already; -ENOMEM. A new subscription is the emitter's last. */
int sse_topics_subscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name);

bool sse_topics_is_subscribed(struct sse_emitter *emitter, const struct topic *topic);

/** Nothing if it is not subscribed. */
void sse_topics_unsubscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name);

/** Ends the emitter's newest subscriptions until `count` are left. */
void sse_topics_unsubscribe_back_to(struct topics *topics, struct sse_emitter *emitter, uint32_t count);

/** A subscriber of a topic, or a place for one. */
static inline struct subscriber *sse_topic_subscriber(const struct topic *topic, size_t place)
{
    return topic->has_many ? sse_array_at(&topic->many, sizeof(struct subscriber), place)
                           : (struct subscriber *)(uintptr_t)&topic->one;
}

/** The next number by which one that came earlier is known. */
static inline uint32_t sse_topics_next_order(struct topics *topics)
{
    return topics->order < UINT32_MAX ? topics->order++ : UINT32_MAX;
}

/** Whether it is time to begin anew. */
static inline bool sse_topics_order_is_used_up(const struct topics *topics)
{
    return topics->order > UINT32_MAX / 2;
}

#endif
