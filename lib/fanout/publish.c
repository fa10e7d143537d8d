/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "fanout/registry.h"

#include <errno.h>

/*
 * Publishing has two steps. With the lock held, the message enters the queue of every receiver:
 * that fixes one order for all of them. Without it, the receivers are seen to one by one: bytes
 * are written, hooks run. A hook may publish again; such a publish only takes the first step, and
 * leaves its receivers to the call that it is inside of.
 */

/** Who is addressed: the subscribers of a topic, or all members. */
struct audience {
    const struct topic *topic; /* NULL with `everyone` false: nobody */
    bool everyone;
};

static struct audience audience_of(const struct sse_registry *registry, struct sse_str topic)
{
    return (struct audience){
        .topic = topic.ptr ? sse_topics_find(&registry->topics, topic) : NULL,
        .everyone = !topic.ptr,
    };
}

static size_t audience_count(const struct sse_registry *registry, const struct audience *audience)
{
    if (audience->everyone)
        return registry->count;
    return audience->topic ? audience->topic->count : 0;
}

static struct sse_emitter *audience_at(const struct sse_registry *registry, const struct audience *audience,
                                       size_t position)
{
    return audience->everyone ? registry->members[position] : audience->topic->subscribers[position]->emitter;
}

static struct publisher *find_publisher(const struct sse_registry *registry)
{
    struct publisher *publisher = registry->publishers;

    while (publisher && !pthread_equal(publisher->thread, pthread_self()))
        publisher = publisher->next;
    return publisher;
}

static void remove_publisher(struct sse_registry *registry, struct publisher *publisher)
{
    struct publisher **at = &registry->publishers;

    while (*at != publisher)
        at = &(*at)->next;
    *at = publisher->next;
}

static void append_roster(struct publisher *publisher, struct roster *roster)
{
    roster->next = NULL;
    *publisher->last = roster;
    publisher->last = &roster->next;
}

/* The first step. Returns how many ended over it. Lock held. */
static size_t enqueue_all(struct sse_registry *registry, const struct audience *audience,
                          struct sse_message *message, uint64_t now, struct roster *roster)
{
    size_t count = audience_count(registry, audience);
    size_t ended_count = 0;

    for (size_t i = 0; i < count; i++) {
        struct sse_emitter *emitter = audience_at(registry, audience, i);
        bool ended;

        if (!sse_emitter_enqueue(emitter, message, now, &ended) || ended)
            sse_roster_add(roster, emitter);
        ended_count += ended;
    }
    return ended_count;
}

static void count_outcome(struct sse_delivery *delivery, struct emitter_outcome outcome)
{
    if (outcome.error)
        delivery->closed++;
    else if (outcome.queued)
        delivery->queued++;
    else
        delivery->written++;
}

/* The second step, for this publish and for those that its hooks make. */
static void serve(struct sse_registry *registry, struct publisher *publisher, uint64_t now,
                  struct sse_delivery *delivery)
{
    struct sse_delivery nested = {.size = sizeof(nested)};
    struct roster *roster;

    pthread_mutex_lock(&registry->lock);
    while ((roster = publisher->first)) {
        publisher->first = roster->next;
        if (!publisher->first)
            publisher->last = &publisher->first;
        pthread_mutex_unlock(&registry->lock);
        for (size_t i = 0; i < roster->count; i++)
            count_outcome(delivery, sse_emitter_service(roster->emitters[i], now));
        sse_roster_give_back(registry, roster);
        delivery = &nested;
        pthread_mutex_lock(&registry->lock);
    }
    remove_publisher(registry, publisher);
    pthread_mutex_unlock(&registry->lock);
}

static int deliver(struct sse_registry *registry, struct sse_str topic, struct sse_message *message,
                   struct sse_delivery *delivery)
{
    struct publisher self = {.thread = pthread_self(), .last = &self.first};
    struct sse_delivery counts = {.size = sizeof(counts)};
    uint64_t now = sse_host_now(registry->host);
    struct publisher *outer;
    struct audience audience;
    struct roster *roster;
    size_t ended_count;

    pthread_mutex_lock(&registry->lock);
    audience = audience_of(registry, topic);
    roster = sse_roster_take(registry, audience_count(registry, &audience));
    if (!roster) {
        pthread_mutex_unlock(&registry->lock);
        return -ENOMEM;
    }
    ended_count = enqueue_all(registry, &audience, message, now, roster);
    outer = find_publisher(registry);
    append_roster(outer ? outer : &self, roster);
    if (outer) {
        counts.queued = roster->count - ended_count;
        counts.closed = ended_count;
    } else {
        self.next = registry->publishers;
        registry->publishers = &self;
    }
    pthread_mutex_unlock(&registry->lock);

    if (!outer) {
        sse_registry_hold(&registry->owner);
        serve(registry, &self, now, &counts);
        sse_registry_release(&registry->owner);
    }
    if (delivery)
        *delivery = counts;
    return 0;
}

static bool delivery_is_valid(const struct sse_delivery *delivery)
{
    return !delivery || delivery->size == sizeof(*delivery);
}

static int publish_event(struct sse_registry *registry, struct sse_str topic, const struct sse_event *event,
                         struct sse_delivery *delivery)
{
    struct sse_message *message;
    int error = sse_message_new(&message, event, 1, registry->host);

    if (error)
        return error;
    error = deliver(registry, topic, message, delivery);
    sse_message_unref(message);
    return error;
}

int sse_registry_publish(struct sse_registry *registry, struct sse_str topic, const struct sse_event *event,
                         struct sse_delivery *delivery)
{
    int error = sse_topic_name_check(topic);

    if (!registry || !delivery_is_valid(delivery))
        return -EINVAL;
    return error ? error : publish_event(registry, topic, event, delivery);
}

int sse_registry_publish_message(struct sse_registry *registry, struct sse_str topic,
                                 struct sse_message *message, struct sse_delivery *delivery)
{
    int error = sse_topic_name_check(topic);

    if (!registry || !message || !delivery_is_valid(delivery))
        return -EINVAL;
    return error ? error : deliver(registry, topic, message, delivery);
}

int sse_registry_broadcast(struct sse_registry *registry, const struct sse_event *event,
                           struct sse_delivery *delivery)
{
    if (!registry || !delivery_is_valid(delivery))
        return -EINVAL;
    return publish_event(registry, (struct sse_str){.ptr = NULL}, event, delivery);
}

int sse_registry_broadcast_message(struct sse_registry *registry, struct sse_message *message,
                                   struct sse_delivery *delivery)
{
    if (!registry || !message || !delivery_is_valid(delivery))
        return -EINVAL;
    return deliver(registry, (struct sse_str){.ptr = NULL}, message, delivery);
}

int sse_registry_each(struct sse_registry *registry, struct sse_str topic,
                      int (*visit)(struct sse_emitter *emitter, void *user), void *user)
{
    struct audience audience;
    struct roster *roster;
    int cancel_state;
    int result = 0;

    if (!registry || !visit)
        return -EINVAL;
    if (!sse_topic_is_absent(topic) && sse_topic_name_check(topic))
        return sse_topic_name_check(topic);
    pthread_mutex_lock(&registry->lock);
    audience = audience_of(registry, topic);
    roster = sse_roster_take(registry, audience_count(registry, &audience));
    for (size_t i = 0; roster && i < audience_count(registry, &audience); i++)
        sse_roster_add(roster, audience_at(registry, &audience, i));
    pthread_mutex_unlock(&registry->lock);
    if (!roster)
        return -ENOMEM;
    sse_registry_hold(&registry->owner);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    for (size_t i = 0; !result && i < roster->count; i++)
        result = visit(roster->emitters[i], user);
    pthread_setcancelstate(cancel_state, NULL);
    sse_roster_give_back(registry, roster);
    sse_registry_release(&registry->owner);
    return result;
}
