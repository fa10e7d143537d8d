/* SPDX-License-Identifier: MIT */
#include "fanout/topics.h"
#include "fanout/seniority.h"

#include <errno.h>

void sse_topics_init(struct topics *topics, const struct sse_platform *platform)
{
    topics->platform = platform;
    sse_map_init(&topics->map, platform);
}

void sse_topics_free(struct topics *topics)
{
    sse_topics_limit_remembered(topics, 0);
    sse_map_free(&topics->map, topics->platform);
}

static struct topic *topic_of_node(struct map_node *node)
{
    return (struct topic *)(void *)((char *)node - offsetof(struct topic, node));
}

struct topic *sse_topics_find(const struct topics *topics, struct sse_text name)
{
    struct map_node *node = sse_map_find(&topics->map, NULL, name.ptr, name.len);

    return node ? topic_of_node(node) : NULL;
}

/** A topic with a history. */
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
    return sizeof(struct topic_with_past) + topic->node.key_size;
}

/* `lost`: the topic may have existed before, and have lost its events. */
static void begin_past(struct topic *topic, uint64_t lost)
{
    topic->past = &((struct topic_with_past *)topic)->past;
    *topic->past = (struct topic_past){
        .history.lost = lost,
        .size.position = HEAP_NOWHERE,
        .age.position = HEAP_NOWHERE,
    };
}

/* The name is at the end of the block. */
static struct topic *allocate_topic(const struct topics *topics, struct sse_text name)
{
    size_t size = topics->have_past ? sizeof(struct topic_with_past) : sizeof(struct topic);
    struct topic *topic = sse_platform_allocate(topics->platform, size + name.len);

    if (!topic)
        return NULL;
    *topic = (struct topic){.shares_ids = topics->shares_ids};
    if (topics->have_past)
        begin_past(topic, topics->lost);
    if (name.len) {
        topic->node.key = memcpy((char *)topic + size, name.ptr, name.len);
        topic->node.key_size = name.len;
    }
    return topic;
}

struct topic *sse_topic_new_kept(const struct topics *topics)
{
    return allocate_topic(topics, (struct sse_text){.ptr = NULL});
}

static struct topic *topic_new(struct topics *topics, struct sse_text name)
{
    struct topic *topic = allocate_topic(topics, name);

    if (!topic)
        return NULL;
    if (!sse_map_insert(&topics->map, &topic->node, topics->platform)) {
        sse_platform_deallocate(topics->platform, topic);
        return NULL;
    }
    return topic;
}

/* The topic is in use again, or is about to be freed. */
static void stop_remembering(struct topics *topics, struct topic *topic)
{
    struct topic_past *past = topic->past;

    if (past->earlier)
        past->earlier->past->later = past->later;
    else
        topics->earliest = past->later;
    if (past->later)
        past->later->past->earlier = past->earlier;
    else
        topics->latest = past->earlier;
    topics->remembered--;
    topics->remembered_bytes -= sse_topic_size(topic);
    topic->remembered = false;
    begin_past(topic, past->history.lost);
}

struct topic *sse_topics_find_or_add(struct topics *topics, struct sse_text name)
{
    struct topic *topic = sse_topics_find(topics, name);

    if (!topic)
        return topic_new(topics, name);
    if (topic->remembered)
        stop_remembering(topics, topic);
    return topic;
}

static void free_topic(struct topics *topics, struct topic *topic)
{
    if (topic->past && topics->lost < topic->past->history.lost)
        topics->lost = topic->past->history.lost;
    topics->shares_ids |= topic->shares_ids;
    sse_map_remove(&topics->map, &topic->node);
    if (topic->has_many)
        sse_array_free(&topic->many, topics->platform);
    sse_platform_deallocate(topics->platform, topic);
}

void sse_topics_limit_remembered(struct topics *topics, size_t bytes)
{
    topics->remembered_bytes_max = bytes;
    while (topics->remembered_bytes > bytes) {
        struct topic *earliest = topics->earliest;

        stop_remembering(topics, earliest);
        free_topic(topics, earliest);
    }
}

static void remember(struct topics *topics, struct topic *topic)
{
    struct topic_past *past = topic->past;

    if (topic->has_many)
        sse_array_free(&topic->many, topics->platform);
    topic->has_many = false;
    past->earlier = topics->latest;
    past->later = NULL;
    if (past->earlier)
        past->earlier->past->later = topic;
    else
        topics->earliest = topic;
    topics->latest = topic;
    topics->remembered++;
    topics->remembered_bytes += sse_topic_size(topic);
    topic->remembered = true;
    sse_topics_limit_remembered(topics, topics->remembered_bytes_max);
}

void sse_topics_free_if_unused(struct topics *topics, struct topic *topic)
{
    if (topic->count || sse_topic_retained(topic) || !topic->node.key)
        return;
    /* A topic that is made again counts as having lost what any forgotten topic has lost. */
    if (topic->past && topic->past->history.lost > topics->lost)
        remember(topics, topic);
    else
        free_topic(topics, topic);
}

static bool reserve_subscriber(struct topic *topic, const struct sse_platform *platform)
{
    struct array many = {.block = NULL};

    if (topic->has_many)
        return sse_array_reserve(&topic->many, sizeof(struct subscriber), (size_t)topic->count + 1, platform);
    if (!topic->count)
        return true;
    if (!sse_array_reserve(&many, sizeof(struct subscriber), 2, platform))
        return false;
    memcpy(sse_array_at(&many, sizeof(struct subscriber), 0), &topic->one, sizeof(struct subscriber));
    topic->many = many;
    topic->has_many = true;
    return true;
}

static bool has_topic(const struct sse_emitter *emitter, const struct topic *topic)
{
    return sse_subscriptions_find(&emitter->membership, topic) <
           sse_subscriptions_count(&emitter->membership);
}

static int add_subscription(struct topics *topics, struct sse_emitter *emitter, struct topic *topic,
                            size_t max)
{
    struct emitter_membership *membership = &emitter->membership;

    if (topic->count >= max)
        return -EAGAIN;
    if (!sse_subscriptions_reserve(membership, topics->platform) ||
        !reserve_subscriber(topic, topics->platform))
        return -ENOMEM;
    *sse_topic_subscriber(topic, topic->count) = (struct subscriber){
        .emitter = emitter,
        .position = sse_subscriptions_count(membership),
        .since = topics->order++,
    };
    sse_subscriptions_add(membership, (struct subscription){.topic = topic, .place = topic->count});
    topic->count++;
    return 0;
}

static int subscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_text name, size_t max)
{
    struct topic *topic = sse_topics_find_or_add(topics, name);
    int error;

    if (!topic)
        return -ENOMEM;
    if (has_topic(emitter, topic))
        return 0;
    error = add_subscription(topics, emitter, topic, max);
    if (error)
        sse_topics_free_if_unused(topics, topic);
    return error;
}

int sse_topics_subscribe(struct topics *topics, struct sse_emitter *emitter, const struct sse_text *names,
                         size_t count, size_t max)
{
    uint32_t before = sse_subscriptions_count(&emitter->membership);
    int error = 0;

    for (size_t i = 0; !error && i < count; i++)
        error = subscribe(topics, emitter, names[i], max);
    if (error)
        sse_topics_unsubscribe_back_to(topics, emitter, before);
    return error;
}

static uint64_t since(const void *topic, uint32_t place)
{
    return sse_topic_subscriber(topic, place)->since;
}

static void swap(void *topic, uint32_t left, uint32_t right)
{
    struct subscriber *at_left = sse_topic_subscriber(topic, left);
    struct subscriber *at_right = sse_topic_subscriber(topic, right);
    struct subscriber moved = *at_left;

    *at_left = *at_right;
    *at_right = moved;
    sse_subscriptions_move(&at_left->emitter->membership, at_left->position, left);
    sse_subscriptions_move(&at_right->emitter->membership, at_right->position, right);
}

static void leave_topic(struct topic *topic, uint32_t place, const struct sse_platform *platform)
{
    static const struct seniority order = {.rank = since, .swap = swap};

    sse_seniority_extract(&order, topic, topic->count, place);
    topic->count--;
    if (topic->has_many)
        sse_array_trim(&topic->many, topic->count, platform);
}

static void end_subscription(struct topics *topics, struct sse_emitter *emitter, uint32_t position)
{
    struct emitter_membership *membership = &emitter->membership;
    struct subscription ended = sse_subscriptions_at(membership, position);
    struct subscription moved;

    leave_topic(ended.topic, ended.place, topics->platform);
    sse_subscriptions_remove(membership, position, topics->platform);
    if (position < sse_subscriptions_count(membership)) {
        moved = sse_subscriptions_at(membership, position);
        sse_topic_subscriber(moved.topic, moved.place)->position = position;
    }
    sse_topics_free_if_unused(topics, ended.topic);
}

void sse_topics_unsubscribe(struct topics *topics, struct sse_emitter *emitter, const struct sse_text *names,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct topic *topic = sse_topics_find(topics, names[i]);

        if (topic && has_topic(emitter, topic))
            end_subscription(topics, emitter, sse_subscriptions_find(&emitter->membership, topic));
    }
}

void sse_topics_unsubscribe_back_to(struct topics *topics, struct sse_emitter *emitter, uint32_t count)
{
    uint32_t left;

    while ((left = sse_subscriptions_count(&emitter->membership)) > count)
        end_subscription(topics, emitter, left - 1);
}
