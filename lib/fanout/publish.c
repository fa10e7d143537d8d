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

/** A message on its way to the subscribers of a topic, or to all members. */
struct publication {
    struct sse_registry *registry;
    struct sse_str name; /* absent: everyone */
    struct topic *topic; /* NULL: a topic that nobody has; that of the broadcasts for everyone */
    struct sse_message *message;
    bool kept;     /* in the history */
    bool assigned; /* the id is the registry's to fill in */
    bool to_serve; /* the receivers are this call's to write to */
    bool too_much; /* to be held back any longer */
    size_t ended;  /* emitters that the event was too much for */
    uint64_t now;
    struct sse_delivery counts;
};

static size_t audience_count(const struct publication *publication)
{
    if (!publication->name.ptr)
        return publication->registry->count;
    return publication->topic ? publication->topic->count : 0;
}

static struct sse_emitter *audience_at(const struct publication *publication, size_t position)
{
    return publication->name.ptr ? sse_topic_subscribers(publication->topic)[position].emitter
                                 : publication->registry->members[position];
}

static struct publisher *find_publisher(const struct sse_registry *registry)
{
    struct publisher *publisher = registry->publishers;

    while (publisher && !pthread_equal(publisher->thread, pthread_self()))
        publisher = publisher->next;
    return publisher;
}

static void add_publisher(struct sse_registry *registry, struct publisher *publisher)
{
    publisher->next = registry->publishers;
    registry->publishers = publisher;
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

/* Finds the topic, and makes it if the history needs one. Lock held. */
static int find_topic(struct publication *publication)
{
    struct sse_registry *registry = publication->registry;

    if (!publication->name.ptr) {
        publication->topic = registry->broadcasts;
        return 0;
    }
    if (!publication->kept) {
        publication->topic = sse_topics_find(&registry->topics, publication->name);
        return 0;
    }
    publication->topic = sse_topics_find_or_add(&registry->topics, publication->name);
    return publication->topic ? 0 : -ENOMEM;
}

/* For on_gap: how far a host may go that fills a gap from its own store. Lock held. */
static void note_newest(struct publication *publication)
{
    struct sse_registry *registry = publication->registry;

    if (!registry->on_gap || !sse_message_id(publication->message).ptr)
        return;
    sse_message_unref(registry->newest);
    registry->newest = sse_message_ref(publication->message);
}

/* Lock held. A history so small that it keeps nothing may take the topic with it. */
static int keep(struct publication *publication)
{
    struct sse_registry *registry = publication->registry;
    int error;

    if (!publication->kept)
        return 0;
    error = sse_archive_keep(&registry->archive, publication->topic, publication->message,
                             publication->assigned, publication->now);
    if (!error && publication->name.ptr)
        publication->topic = sse_topics_find(&registry->topics, publication->name);
    return error;
}

/* The first step. Lock held. */
static void enqueue_all(struct publication *publication, struct roster *roster)
{
    struct sse_delivery *counts = &publication->counts;
    struct sse_message *message = publication->message;
    size_t count = audience_count(publication);
    struct sse_emitter **members = publication->name.ptr ? NULL : publication->registry->members;
    const struct subscriber *subscribers =
        count && !members ? sse_topic_subscribers(publication->topic) : NULL;
    uint64_t now = publication->now;

    for (size_t i = 0; i < count; i++) {
        struct sse_emitter *emitter = members ? members[i] : subscribers[i].emitter;
        enum admission admission = sse_emitter_enqueue(emitter, message, now);

        if (admission == ADMISSION_QUEUED || admission == ADMISSION_ENDED)
            sse_roster_add(roster, emitter);
        if (admission == ADMISSION_ENDED)
            publication->ended++;
        if (admission == ADMISSION_DROPPED)
            counts->dropped++;
    }
    publication->registry->counts.published++;
}

/* The first step while writing is held back. Lock held. */
static void hold_all(struct publication *publication, struct roster *roster)
{
    struct sse_delivery *counts = &publication->counts;
    size_t count = audience_count(publication);

    for (size_t i = 0; i < count; i++) {
        struct sse_emitter *emitter = audience_at(publication, i);
        bool newly;

        switch (sse_emitter_enqueue_held(emitter, publication->message, publication->now, &newly)) {
        case ADMISSION_QUEUED:
            counts->queued++;
            break;
        case ADMISSION_ENDED:
            counts->closed++;
            break;
        case ADMISSION_DROPPED:
            counts->dropped++;
            break;
        case ADMISSION_CLOSED:
            break;
        }
        if (newly)
            sse_roster_add(roster, emitter);
    }
    publication->registry->counts.published++;
}

/* Lock held: how often a delivery had to wait. */
static void note_queued(struct sse_registry *registry, const struct sse_delivery *delivery)
{
    registry->counts.queued += delivery->queued;
}

static inline void count_outcome(struct sse_delivery *delivery, struct emitter_outcome outcome)
{
    if (outcome.error)
        delivery->closed++;
    else if (outcome.queued)
        delivery->queued++;
    else
        delivery->written++;
}

/* The roster has a reference, and cancellation is off. */
static struct emitter_outcome service(struct sse_emitter *emitter, uint64_t now)
{
    pthread_mutex_lock(&emitter->lock);
    emitter->held = false;
    return sse_emitter_settle(emitter, now);
}

/* The second step, for this publish and for those that its hooks make. */
static void serve(struct sse_registry *registry, struct publisher *publisher, uint64_t now,
                  struct sse_delivery *delivery)
{
    struct sse_delivery nested = {.size = sizeof(nested)};
    struct roster *roster;
    int cancel_state;

    /* A cancelled thread must take neither a sink nor a hook with it. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&registry->lock);
    while ((roster = publisher->first)) {
        publisher->first = roster->next;
        if (!publisher->first)
            publisher->last = &publisher->first;
        pthread_mutex_unlock(&registry->lock);
        for (size_t i = 0, count = roster->count; i < count; i++)
            count_outcome(delivery, service(roster->emitters[i], now));
        sse_roster_give_back(registry, roster);
        pthread_mutex_lock(&registry->lock);
        note_queued(registry, delivery);
        nested = (struct sse_delivery){.size = sizeof(nested)};
        delivery = &nested;
    }
    remove_publisher(registry, publisher);
    pthread_mutex_unlock(&registry->lock);
    pthread_setcancelstate(cancel_state, NULL);
}

/* The reading behind the last write tells how long the deliveries took at most. */
static void count_latency(struct publication *publication)
{
    struct sse_registry *registry = publication->registry;
    uint64_t now;

    if (!publication->counts.written)
        return;
    now = sse_host_now(registry->host);
    sse_tally_correct(&registry->owner.tally, now > publication->now ? now - publication->now : 0,
                      publication->counts.written);
}

void sse_registry_write_held(struct sse_registry *registry, uint64_t now)
{
    struct publisher self = {.thread = pthread_self(), .last = &self.first};
    struct publisher *outer = find_publisher(registry);
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct roster *roster = sse_cork_take(&registry->cork);

    if (!roster)
        return;
    while (roster) {
        struct roster *next = roster->next;

        append_roster(outer ? outer : &self, roster);
        roster = next;
    }
    if (outer)
        return;
    add_publisher(registry, &self);
    pthread_mutex_unlock(&registry->lock);
    serve(registry, &self, now, &delivery);
    sse_budget_enforce(registry, now);
    pthread_mutex_lock(&registry->lock);
}

/* Without memory, nothing has happened. Lock held. */
static void give_up(struct publication *publication, struct roster *roster)
{
    if (publication->topic)
        sse_topics_free_if_unused(&publication->registry->topics, publication->topic);
    if (roster)
        sse_roster_put_back(publication->registry, roster);
}

/* Leaves the receivers to the publish that this one is inside of, or to deliver. Lock held. */
static void leave_to_publisher(struct publication *publication, struct roster *roster, struct publisher *self)
{
    struct publisher *outer = find_publisher(publication->registry);

    append_roster(outer ? outer : self, roster);
    if (outer) {
        publication->counts.closed = publication->ended;
        publication->counts.queued = roster->count - publication->ended;
    } else {
        add_publisher(publication->registry, self);
        publication->to_serve = true;
    }
}

/* Queues it for all receivers. Lock held; let go while the host is woken. */
static void pass_on(struct publication *publication, struct roster *roster, struct publisher *self)
{
    struct sse_registry *registry = publication->registry;
    bool wake = publication->kept && sse_expiry_note(registry);

    if (registry->cork.holds) {
        hold_all(publication, roster);
        wake |= sse_cork_add(registry, roster, publication->message);
        publication->too_much = sse_cork_is_full(&registry->cork);
    } else {
        enqueue_all(publication, roster);
        leave_to_publisher(publication, roster, self);
    }
    if (wake)
        sse_registry_wake(registry);
}

/* The first step: 0, or nothing has happened. */
static int begin(struct publication *publication, struct publisher *self)
{
    struct sse_registry *registry = publication->registry;
    struct roster *roster = NULL;
    int error;

    pthread_mutex_lock(&registry->lock);
    sse_archive_expire(&registry->archive, publication->now);
    error = find_topic(publication);
    if (!error && !(roster = sse_roster_take(registry, audience_count(publication))))
        error = -ENOMEM;
    if (!error)
        error = keep(publication);
    if (!error) {
        note_newest(publication);
        pass_on(publication, roster, self);
    } else {
        give_up(publication, roster);
    }
    pthread_mutex_unlock(&registry->lock);
    return error;
}

static int deliver(struct publication *publication, struct sse_delivery *delivery)
{
    struct sse_registry *registry = publication->registry;
    struct publisher self = {.thread = pthread_self(), .last = &self.first};
    struct sse_str id = sse_message_id(publication->message);
    int error;

    publication->counts.size = sizeof(publication->counts);
    publication->now = sse_host_now(registry->host);
    atomic_store_explicit(&publication->message->published, publication->now, memory_order_relaxed);
    /* on_wake and the hooks may give back the reference that the caller came with. */
    sse_owner_hold(&registry->owner);
    error = begin(publication, &self);
    if (!error && publication->assigned)
        memcpy(publication->counts.id, id.ptr, id.len);
    if (publication->too_much) {
        pthread_mutex_lock(&registry->lock);
        sse_registry_write_held(registry, publication->now);
        pthread_mutex_unlock(&registry->lock);
    }
    if (publication->to_serve) {
        serve(registry, &self, publication->now, &publication->counts);
        count_latency(publication);
        sse_budget_enforce(registry, publication->now);
    }
    sse_owner_release(&registry->owner);
    if (!error && delivery)
        *delivery = publication->counts;
    return error;
}

static int check(const struct sse_registry *registry, const struct sse_delivery *delivery)
{
    int error = sse_registry_check(registry);

    if (!error && delivery && delivery->size != sizeof(*delivery))
        error = -EINVAL;
    return error;
}

/* Messages are shared: one that is to get an id is copied. */
static int publish_message(struct sse_registry *registry, struct sse_str topic, struct sse_message *message,
                           struct sse_delivery *delivery)
{
    struct archive *archive = &registry->archive;
    struct publication publication = {
        .registry = registry,
        .name = topic,
        .message = message,
        .kept = sse_archive_is_on(archive) && sse_message_is_dispatched(message),
    };
    int error;

    if (!sse_archive_may_be_given(archive, sse_message_id(message)))
        return -EINVAL;
    if (!publication.kept || sse_message_ends_with_id(message))
        return deliver(&publication, delivery);
    publication.assigned = true;
    publication.message = sse_message_copy_with_id(message, sse_archive_id_size(archive), registry->host);
    if (!publication.message)
        return -ENOMEM;
    error = deliver(&publication, delivery);
    sse_message_unref(publication.message);
    return error;
}

static int publish_event(struct sse_registry *registry, struct sse_str topic, const struct sse_event *event,
                         struct sse_delivery *delivery)
{
    const struct archive *archive = &registry->archive;
    char blank[SSE_ASSIGNED_ID_SIZE];
    struct sse_event with_id;
    struct publication publication = {.registry = registry, .name = topic};
    int error;

    if (!event)
        return -EINVAL;
    if (!sse_archive_may_be_given(archive, event->id))
        return -EINVAL;
    with_id = *event;
    publication.kept = sse_archive_is_on(archive) && (event->data.ptr || event->id.ptr);
    publication.assigned = publication.kept && !event->id.ptr && !event->id.len;
    if (publication.assigned) {
        sse_archive_format_id(archive, 0, blank);
        with_id.id = (struct sse_str){.ptr = blank, .len = sse_archive_id_size(archive)};
    }
    error = sse_message_new(&publication.message, &with_id, 1, registry->host);
    if (error)
        return error;
    error = deliver(&publication, delivery);
    sse_message_unref(publication.message);
    return error;
}

int sse_registry_publish(struct sse_registry *registry, struct sse_str topic, const struct sse_event *event,
                         struct sse_delivery *delivery)
{
    int error = check(registry, delivery);

    if (!error)
        error = sse_topic_name_check(topic);
    return error ? error : publish_event(registry, topic, event, delivery);
}

int sse_registry_publish_message(struct sse_registry *registry, struct sse_str topic,
                                 struct sse_message *message, struct sse_delivery *delivery)
{
    int error = check(registry, delivery);

    if (!error)
        error = message ? sse_topic_name_check(topic) : -EINVAL;
    return error ? error : publish_message(registry, topic, message, delivery);
}

int sse_registry_broadcast(struct sse_registry *registry, const struct sse_event *event,
                           struct sse_delivery *delivery)
{
    int error = check(registry, delivery);

    return error ? error : publish_event(registry, (struct sse_str){.ptr = NULL}, event, delivery);
}

int sse_registry_broadcast_message(struct sse_registry *registry, struct sse_message *message,
                                   struct sse_delivery *delivery)
{
    int error = check(registry, delivery);

    if (!error && !message)
        error = -EINVAL;
    return error ? error : publish_message(registry, (struct sse_str){.ptr = NULL}, message, delivery);
}

int sse_registry_each(struct sse_registry *registry, struct sse_str topic,
                      int (*visit)(struct sse_emitter *emitter, void *user), void *user)
{
    struct publication audience = {.registry = registry, .name = topic};
    struct roster *roster;
    int cancel_state;
    int result = sse_registry_check(registry);

    if (result)
        return result;
    if (!visit)
        return -EINVAL;
    if (!sse_topic_is_absent(topic) && sse_topic_name_check(topic))
        return sse_topic_name_check(topic);
    pthread_mutex_lock(&registry->lock);
    (void)find_topic(&audience);
    roster = sse_roster_take(registry, audience_count(&audience));
    for (size_t i = 0; roster && i < audience_count(&audience); i++)
        sse_roster_add(roster, audience_at(&audience, i));
    pthread_mutex_unlock(&registry->lock);
    if (!roster)
        return -ENOMEM;
    sse_owner_hold(&registry->owner);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    for (size_t i = 0; !result && i < roster->count; i++)
        result = visit(roster->emitters[i], user);
    pthread_setcancelstate(cancel_state, NULL);
    sse_roster_give_back(registry, roster);
    sse_owner_release(&registry->owner);
    return result;
}
