/* SPDX-License-Identifier: MIT */
#include "fanout/topics.h"

#include <errno.h>
#include <sse/registry.h>

void topics_init(struct topics *topics, const struct sse_host *host)
{
    topics->host = host;
    map_init(&topics->map, host);
}

void topics_free(struct topics *topics)
{
    map_free(&topics->map, topics->host);
}

int topic_name_check(struct sse_str name)
{
    if (!name.ptr || !name.len)
        return -EINVAL;
    return name.len > SSE_TOPIC_SIZE_MAX ? -EMSGSIZE : 0;
}

static struct topic *topic_of_node(struct map_node *node)
{
    return (struct topic *)(void *)((char *)node - offsetof(struct topic, node));
}

struct topic *topics_find(const struct topics *topics, struct sse_str name)
{
    struct map_node *node = map_find(&topics->map, name.ptr, name.len);

    return node ? topic_of_node(node) : NULL;
}

static struct topic *topic_new(struct topics *topics, struct sse_str name)
{
    struct topic *topic = host_allocate(topics->host, sizeof(*topic) + name.len);

    if (!topic)
        return NULL;
    *topic = (struct topic){.count = 0};
    memcpy(topic->name, name.ptr, name.len);
    topic->node.key = topic->name;
    topic->node.key_size = name.len;
    if (!map_insert(&topics->map, &topic->node, topics->host)) {
        host_release(topics->host, topic);
        return NULL;
    }
    return topic;
}

static void free_if_unused(struct topics *topics, struct topic *topic)
{
    if (topic->count)
        return;
    map_remove(&topics->map, &topic->node);
    host_release(topics->host, topic->subscribers);
    host_release(topics->host, topic);
}

static bool reserve_subscriber(struct topic *topic, const struct sse_host *host)
{
    size_t capacity = topic->capacity ? topic->capacity * 2 : 1;
    struct subscription **subscribers;

    if (topic->count < topic->capacity)
        return true;
    subscribers = host_allocate(host, capacity * sizeof(struct subscription *));
    if (!subscribers)
        return false;
    if (topic->count)
        memcpy(subscribers, topic->subscribers, topic->count * sizeof(struct subscription *));
    host_release(host, topic->subscribers);
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

int topics_subscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name)
{
    struct topic *topic = topics_find(topics, name);
    struct subscription *subscription;

    if (!topic)
        topic = topic_new(topics, name);
    if (!topic)
        return -ENOMEM;
    if (*find_subscription(emitter, topic))
        return 0;
    subscription = host_allocate(topics->host, sizeof(*subscription));
    if (!subscription || !reserve_subscriber(topic, topics->host)) {
        host_release(topics->host, subscription);
        free_if_unused(topics, topic);
        return -ENOMEM;
    }
    *subscription = (struct subscription){
        .emitter = emitter,
        .topic = topic,
        .next = emitter->membership.subscriptions,
        .position = topic->count,
    };
    topic->subscribers[topic->count++] = subscription;
    emitter->membership.subscriptions = subscription;
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
    host_release(topics->host, subscription);
    free_if_unused(topics, topic);
}

void topics_unsubscribe(struct topics *topics, struct sse_emitter *emitter, struct sse_str name)
{
    struct topic *topic = topics_find(topics, name);
    struct subscription **at;

    if (!topic)
        return;
    at = find_subscription(emitter, topic);
    if (*at)
        end_subscription(topics, at);
}

void topics_unsubscribe_back_to(struct topics *topics, struct sse_emitter *emitter,
                                const struct subscription *last)
{
    while (emitter->membership.subscriptions != last)
        end_subscription(topics, &emitter->membership.subscriptions);
}
