/* SPDX-License-Identifier: MIT */
#include "fanout/topics.h"

#include <errno.h>
#include <sse/registry.h>

void sse_topics_init(struct topics *topics, const struct sse_host *host)
{
    topics->host = host;
    sse_map_init(&topics->map, host);
}

void sse_topics_free(struct topics *topics)
{
    sse_map_free(&topics->map, topics->host);
}

int sse_topic_name_check(struct sse_str name)
{
    if (!name.ptr || !name.len)
        return -EINVAL;
    return name.len > SSE_TOPIC_SIZE_MAX ? -EMSGSIZE : 0;
}

bool sse_topic_is_absent(struct sse_str name)
{
    return !name.ptr && !name.len;
}

static struct topic *topic_of_node(struct map_node *node)
{
    return (struct topic *)(void *)((char *)node - offsetof(struct topic, node));
}

struct topic *sse_topics_find(const struct topics *topics, struct sse_str name)
{
    struct map_node *node = sse_map_find(&topics->map, NULL, name.ptr, name.len);

    return node ? topic_of_node(node) : NULL;
}

/** A topic whose past is kept. */
struct topic_with_past {
    struct topic topic;
    struct topic_past past;
};

struct topic *sse_topic_of_size(struct heap_node *size)
{
    return (struct topic *)(void *)((char *)size - offsetof(struct topic_with_past, past.size));
}

struct topic *sse_topic_of_age(struct heap_node *age)
{
    return (struct topic *)(void *)((char *)age - offsetof(struct topic_with_past, past.age));
}

size_t sse_topic_size(const struct topic *topic)
{
    return (topic->past ? sizeof(struct topic_with_past) : sizeof(struct topic)) + topic->node.key_size;
}

static void begin_past(struct topic *topic)
{
    topic->past = &((struct topic_with_past *)topic)->past;
    *topic->past = (struct topic_past){.size.position = HEAP_NOWHERE, .age.position = HEAP_NOWHERE};
}

/* The name comes last. */
static struct topic *allocate_topic(const struct topics *topics, struct sse_str name)
{
    size_t size = topics->have_past ? sizeof(struct topic_with_past) : sizeof(struct topic);
    struct topic *topic = sse_host_allocate(topics->host, size + name.len);

    if (!topic)
        return NULL;
    *topic = (struct topic){.count = 0};
    if (topics->have_past)
        begin_past(topic);
    if (name.len) {
        topic->node.key = memcpy((char *)topic + size, name.ptr, name.len);
        topic->node.key_size = name.len;
    }
    return topic;
}

struct topic *sse_topic_new_kept(const struct topics *topics)
{
    return allocate_topic(topics, (struct sse_str){.ptr = NULL});
}

static struct topic *topic_new(struct topics *topics, struct sse_str name)
{
    struct topic *topic = allocate_topic(topics, name);

    if (!topic)
        return NULL;
    if (!sse_map_insert(&topics->map, &topic->node, topics->host)) {
        sse_host_release(topics->host, topic);
        return NULL;
    }
    return topic;
}

struct topic *sse_topics_find_or_add(struct topics *topics, struct sse_str name)
{
    struct topic *topic = sse_topics_find(topics, name);

    if (topic)
        return topic;
    topic = topic_new(topics, name);
    /* It may be one that was there before. */
    if (topic && topic->past)
        topic->past->history.lost = topics->lost;
    return topic;
}

void sse_topics_free_if_unused(struct topics *topics, struct topic *topic)
{
    if (topic->count || sse_topic_held(topic) || !topic->node.key)
        return;
    if (topics->lost < sse_topic_lost(topic))
        topics->lost = sse_topic_lost(topic);
    sse_map_remove(&topics->map, &topic->node);
    if (topic->has_many)
        sse_array_free(&topic->many, topics->host);
    sse_host_release(topics->host, topic);
}

static bool reserve_subscriber(struct topic *topic, const struct sse_host *host)
{
    struct array many = {.block = NULL};

    if (topic->has_many)
        return sse_array_reserve(&topic->many, sizeof(struct subscriber), (size_t)topic->count + 1, host);
    if (!topic->count)
        return true;
    if (!sse_array_reserve(&many, sizeof(struct subscriber), 2, host))
        return false;
    memcpy(sse_array_at(&many, sizeof(struct subscriber), 0), &topic->one, sizeof(struct subscriber));
    topic->many = many;
    topic->has_many = true;
    return true;
}

/* The position among the emitter's subscriptions, or their count. */
static uint32_t find_subscription(const struct sse_emitter *emitter, const struct topic *topic)
{
    uint32_t count = sse_subscriptions_count(&emitter->membership);
    uint32_t position = 0;

    while (position < count && sse_subscriptions_at(&emitter->membership, position).topic != topic)
        position++;
    return position;
}

/* On the shorter side: a client may name many topics, and a topic may have many subscribers. */
bool sse_topics_is_subscribed(struct sse_emitter *emitter, const struct topic *topic)
{
    uint32_t count = sse_subscriptions_count(&emitter->membership);

    if (count <= topic->count)
        return find_subscription(emitter, topic) < count;
    for (uint32_t i = 0; i < topic->count; i++)
        if (sse_topic_subscriber(topic, i)->emitter == emitter)
            return true;
    return false;
}

int sse_topics_subscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name)
{
    struct emitter_membership *membership = &emitter->membership;
    struct topic *topic = sse_topics_find_or_add(topics, name);

    if (!topic)
        return -ENOMEM;
    if (sse_topics_is_subscribed(emitter, topic))
        return 0;
    if (!sse_subscriptions_reserve(membership, topics->host) || !reserve_subscriber(topic, topics->host)) {
        sse_topics_free_if_unused(topics, topic);
        return -ENOMEM;
    }
    *sse_topic_subscriber(topic, topic->count) = (struct subscriber){
        .emitter = emitter,
        .position = sse_subscriptions_count(membership),
        .since = sse_topics_next_order(topics),
    };
    sse_subscriptions_add(membership, (struct subscription){.topic = topic, .place = topic->count});
    topic->count++;
    return 0;
}

/* The last subscriber takes the place that becomes free. */
static void leave_topic(struct topic *topic, uint32_t place, const struct sse_host *host)
{
    struct subscriber last = *sse_topic_subscriber(topic, --topic->count);

    *sse_topic_subscriber(topic, place) = last;
    sse_subscriptions_move(&last.emitter->membership, last.position, place);
    if (topic->has_many)
        sse_array_trim(&topic->many, topic->count, host);
}

static void end_subscription(struct topics *topics, struct sse_emitter *emitter, uint32_t position)
{
    struct emitter_membership *membership = &emitter->membership;
    struct subscription ended = sse_subscriptions_at(membership, position);
    struct subscription moved;

    leave_topic(ended.topic, ended.place, topics->host);
    sse_subscriptions_remove(membership, position, topics->host);
    if (position < sse_subscriptions_count(membership)) {
        moved = sse_subscriptions_at(membership, position);
        sse_topic_subscriber(moved.topic, moved.place)->position = position;
    }
    sse_topics_free_if_unused(topics, ended.topic);
}

void sse_topics_unsubscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name)
{
    struct topic *topic = sse_topics_find(topics, name);
    uint32_t position;

    if (!topic)
        return;
    position = find_subscription(emitter, topic);
    if (position < sse_subscriptions_count(&emitter->membership))
        end_subscription(topics, emitter, position);
}

void sse_topics_unsubscribe_back_to(struct topics *topics, struct sse_emitter *emitter, uint32_t count)
{
    uint32_t left;

    while ((left = sse_subscriptions_count(&emitter->membership)) > count)
        end_subscription(topics, emitter, left - 1);
}
