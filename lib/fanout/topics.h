/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_TOPICS_H
#define FANOUT_TOPICS_H

/**
 * Topics, their subscribers, and their past: what was published to them. A topic is in use while it has
 * subscribers or retained events, or is kept. One that has lost events and is no longer in use is remembered while
 * there is room. Otherwise a client that reconnects to it would be told of what other topics have lost. The
 * registry's lock guards them.
 */

#include "base/map.h"
#include "connection/emitter.h"
#include "data/history.h"
#include "fanout/subscriptions.h"

struct subscriber {
    struct sse_emitter *emitter;
    uint32_t position; /* among the emitter's subscriptions */
    uint64_t since;    /* how many had joined, or subscribed, before it */
};

/* A publish without a history reads only this and the name. The name is behind it in the same block. */
struct topic {
    struct topic_past *past; /* right behind the topic; NULL in a registry without a history */
    union {
        struct subscriber one; /* if `has_many` is not set */
        struct array many;
    };
    uint32_t count; /* subscribers; the oldest is at place 0 */
    bool has_many;   /* the topic has, or had, more than one subscriber */
    bool shares_ids; /* publishers have given the same id to events of another topic */
    bool remembered; /* it is not in use */
    struct map_node node;
};

/** What was published to a topic. */
struct topic_past {
    struct history history;
    union {
        struct {
            struct heap_node size; /* in the archive's heaps */
            struct heap_node age;
        };
        struct {
            struct topic *earlier; /* among those that are remembered */
            struct topic *later;
        };
    };
    size_t charged; /* bytes that are charged to the archive for the topic itself */
};

struct topics {
    struct map map;
    const struct sse_platform *platform;
    bool have_past;  /* each topic has a past */
    bool shares_ids; /* a topic that no longer exists shared ids */
    uint64_t lost;  /* the highest place in the sequence of an event that a topic had which no longer exists */
    uint64_t order; /* how many emitters have joined, or subscribed */
    struct topic *earliest; /* of those that are remembered: the first one to be forgotten */
    struct topic *latest;
    size_t remembered;
    size_t remembered_bytes;
    size_t remembered_bytes_max;
};

void sse_topics_init(struct topics *topics, const struct sse_platform *platform);
void sse_topics_free(struct topics *topics);

/** Whether the name is valid as a text: false if it has a length and no pointer. */
static inline bool sse_topic_is_text(struct sse_text name)
{
    return name.ptr || !name.len;
}

/** The topic, or NULL. */
struct topic *sse_topics_find(const struct topics *topics, struct sse_text name);

/** The topic, which is made if it does not exist, or NULL if there is no memory. If it stays unused, it must be
 *  freed. */
struct topic *sse_topics_find_or_add(struct topics *topics, struct sse_text name);

/** A topic that has no name, is in no map, and is kept: for the events to everyone. NULL if there is no memory. */
struct topic *sse_topic_new_kept(const struct topics *topics);

/** How many events of it are retained. */
static inline size_t sse_topic_retained(const struct topic *topic)
{
    return topic->past ? topic->past->history.count : 0;
}

/** The memory of a topic with a history, and its name. */
size_t sse_topic_size(const struct topic *topic);

/** Frees the topic if it is not in use, or remembers it. */
void sse_topics_free_if_unused(struct topics *topics, struct topic *topic);

/** Sets how much memory topics may have that are only remembered, and forgets the others. */
void sse_topics_limit_remembered(struct topics *topics, size_t bytes);

struct topic *sse_topic_of_size(struct heap_node *size);
struct topic *sse_topic_of_age(struct heap_node *age);

/** Subscribes an emitter to all topics, or to none. Topics that it has already, or that are named
 *  twice, are ignored. The new subscriptions are its last. `max` is the most subscribers of a topic.
 *  0, -EAGAIN, or -ENOMEM. */
int sse_topics_subscribe(struct topics *topics, struct sse_emitter *emitter, const struct sse_text *names,
                         size_t count, size_t max);

/** Ends subscriptions. Topics that the emitter does not have are ignored. */
void sse_topics_unsubscribe(struct topics *topics, struct sse_emitter *emitter, const struct sse_text *names,
                            size_t count);

/** Ends the emitter's newest subscriptions until `count` are left. */
void sse_topics_unsubscribe_back_to(struct topics *topics, struct sse_emitter *emitter, uint32_t count);

/** A subscriber of a topic, or a place for one. */
static inline struct subscriber *sse_topic_subscriber(const struct topic *topic, size_t place)
{
    return topic->has_many ? sse_array_at(&topic->many, sizeof(struct subscriber), place)
                           : (struct subscriber *)(uintptr_t)&topic->one;
}

#endif
