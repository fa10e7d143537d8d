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

struct topic *sse_topic_of_size(struct heap_node *size)
{
    return (struct topic *)(void *)((char *)size - offsetof(struct topic, size));
}

struct topic *sse_topic_of_age(struct heap_node *age)
{
    return (struct topic *)(void *)((char *)age - offsetof(struct topic, age));
}

static struct topic *allocate_topic(struct sse_str name, const struct sse_host *host)
{
    struct topic *topic = sse_host_allocate(host, sizeof(*topic) + name.len);

    if (!topic)
        return NULL;
    *topic = (struct topic){.size.position = HEAP_NOWHERE, .age.position = HEAP_NOWHERE};
    if (name.len)
        memcpy(topic->name, name.ptr, name.len);
    return topic;
}

struct topic *sse_topic_new_kept(const struct sse_host *host)
{
    struct topic *topic = allocate_topic((struct sse_str){.ptr = NULL}, host);

    if (topic)
        topic->kept = true;
    return topic;
}

static struct topic *topic_new(struct topics *topics, struct sse_str name)
{
    struct topic *topic = allocate_topic(name, topics->host);

    if (!topic)
        return NULL;
    topic->node.key = topic->name;
    topic->node.key_size = name.len;
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
    if (topic)
        topic->history.lost = topics->lost;
    return topic;
}

void sse_topics_free_if_unused(struct topics *topics, struct topic *topic)
{
    if (topic->count || topic->history.count || topic->kept)
        return;
    if (topics->lost < topic->history.lost)
        topics->lost = topic->history.lost;
    sse_map_remove(&topics->map, &topic->node);
    sse_host_release(topics->host, topic->subscribers);
    sse_host_release(topics->host, topic);
}

static bool reserve_subscriber(struct topic *topic, const struct sse_host *host)
{
    size_t capacity = topic->capacity ? topic->capacity * 2 : 1;
    struct subscription **subscribers;

    if (topic->count < topic->capacity)
        return true;
    subscribers = sse_host_allocate(host, capacity * sizeof(struct subscription *));
    if (!subscribers)
        return false;
    if (topic->count)
        memcpy(subscribers, topic->subscribers, topic->count * sizeof(struct subscription *));
    sse_host_release(host, topic->subscribers);
    topic->subscribers = subscribers;
    topic->capacity = capacity;
    return true;
}

static struct subscription **find_subscription(struct sse_emitter *emitter, const struct topic *topic)
{
    struct subscription **at = &emitter->membership.subscriptions;

    while (*at && (*at)->topic != topic)
        at = &(*at)->next;
    return at;
}

/* On the shorter side: a client may name many topics, and a topic may have many subscribers. */
bool sse_topics_is_subscribed(struct sse_emitter *emitter, const struct topic *topic)
{
    if (emitter->membership.subscription_count <= topic->count)
        return *find_subscription(emitter, topic);
    for (size_t i = 0; i < topic->count; i++)
        if (topic->subscribers[i]->emitter == emitter)
            return true;
    return false;
}

int sse_topics_subscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name)
{
    struct topic *topic = sse_topics_find_or_add(topics, name);
    struct subscription *subscription;

    if (!topic)
        return -ENOMEM;
    if (sse_topics_is_subscribed(emitter, topic))
        return 0;
    subscription = sse_host_allocate(topics->host, sizeof(*subscription));
    if (!subscription || !reserve_subscriber(topic, topics->host)) {
        sse_host_release(topics->host, subscription);
        sse_topics_free_if_unused(topics, topic);
        return -ENOMEM;
    }
    *subscription = (struct subscription){
        .emitter = emitter,
        .topic = topic,
        .next = emitter->membership.subscriptions,
        .position = topic->count,
        .since = topics->subscribed++,
    };
    topic->subscribers[topic->count++] = subscription;
    emitter->membership.subscriptions = subscription;
    emitter->membership.subscription_count++;
    return 0;
}

/* `at` is the link that leads to it. */
static void end_subscription(struct topics *topics, struct subscription **at)
{
    struct subscription *subscription = *at;
    struct topic *topic = subscription->topic;
    struct subscription *last = topic->subscribers[--topic->count];

    topic->subscribers[subscription->position] = last;
    last->position = subscription->position;
    *at = subscription->next;
    subscription->emitter->membership.subscription_count--;
    sse_host_release(topics->host, subscription);
    sse_topics_free_if_unused(topics, topic);
}

void sse_topics_unsubscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name)
{
    struct topic *topic = sse_topics_find(topics, name);
    struct subscription **at;

    if (!topic)
        return;
    at = find_subscription(emitter, topic);
    if (*at)
        end_subscription(topics, at);
}

void sse_topics_unsubscribe_back_to(struct topics *topics, struct sse_emitter *emitter,
                                    const struct subscription *last)
{
    while (emitter->membership.subscriptions != last)
        end_subscription(topics, &emitter->membership.subscriptions);
}
