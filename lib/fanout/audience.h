/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_AUDIENCE_H
#define FANOUT_AUDIENCE_H

/** The subscribers of a topic. If the topic is absent, all members. The registry's lock held. */

#include "fanout/registry.h"

struct audience {
    const struct sse_registry *registry;
    const struct topic *topic; /* NULL if nobody has subscribed to it, or it is absent */
    bool everyone;
};

/** 0, -EINVAL if the topic has a length and no pointer, -EBADMSG if it is present and empty, or too long. No lock
 *  needed. */
static inline int sse_audience_check(struct sse_text topic)
{
    if (!topic.len)
        return topic.ptr ? -EBADMSG : 0;
    if (!topic.ptr)
        return -EINVAL;
    return topic.len > SSE_TOPIC_SIZE_MAX ? -EBADMSG : 0;
}

static inline struct audience sse_audience_find(const struct sse_registry *registry, struct sse_text topic)
{
    return (struct audience){
        .registry = registry,
        .topic = topic.ptr ? sse_topics_find(&registry->topics, topic) : NULL,
        .everyone = !topic.ptr,
    };
}

static inline uint32_t sse_audience_count(const struct audience *audience)
{
    if (audience->everyone)
        return audience->registry->count;
    return audience->topic ? audience->topic->count : 0;
}

/** The emitter at an index below the count. */
static inline struct sse_emitter *sse_audience_at(const struct audience *audience, uint32_t index)
{
    if (audience->everyone)
        return *sse_array_pointer(&audience->registry->members, index);
    return sse_topic_subscriber(audience->topic, index)->emitter;
}

#endif
