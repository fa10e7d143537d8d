/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "fanout/registry.h"

#include <errno.h>

/*
 * Publishing has two steps. With the lock held, the message enters the queue of every receiver:
 * that fixes one order for all of them. Without it, the receivers are written to: see serve.c. A hook may
 * publish again; such a publish only takes the first step, and leaves its receivers to the call that it is
 * inside of. So does one whose writing is held back: see cork.c.
 */

/** A message on its way to the subscribers of a topic, or to all members. */
struct publication {
    struct sse_registry *registry;
    struct sse_str name; /* absent: everyone */
    struct topic *topic; /* NULL: a topic that nobody has; that of the broadcasts for everyone */
    struct sse_message *message;
    bool kept;             /* in the history */
    bool assigned;         /* the id is the registry's to fill in */
    bool to_serve;         /* its receivers are this call's to write to */
    bool too_much;         /* to be held back any longer */
    struct roster *roster; /* those who are to be written to */
    size_t ended;          /* emitters that the event was too much for */
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
    return publication->name.ptr ? sse_topic_subscriber(publication->topic, position)->emitter
                                 : sse_members_at(publication->registry, position);
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

static inline void enqueue(struct publication *publication, struct sse_emitter *emitter)
{
    enum admission admission = sse_emitter_enqueue(emitter, publication->message, publication->now);

    if (admission == ADMISSION_QUEUED || admission == ADMISSION_ENDED)
        sse_roster_add(publication->roster, emitter);
    if (admission == ADMISSION_ENDED)
        publication->ended++;
    if (admission == ADMISSION_DROPPED)
        publication->counts.dropped++;
}

/* The first step. What lies side by side is gone through without a look at where. Lock held. */
static void enqueue_all(struct publication *publication)
{
    const struct sse_registry *registry = publication->registry;
    size_t count = audience_count(publication);

    for (size_t begin = 0; begin < count; begin += ARRAY_SEGMENT) {
        size_t length = count - begin < ARRAY_SEGMENT ? count - begin : ARRAY_SEGMENT;
        void *const *members = publication->name.ptr ? NULL : sse_array_pointer(&registry->members, begin);
        const struct subscriber *subscribers =
            members ? NULL : sse_topic_subscriber(publication->topic, begin);

        for (size_t i = 0; i < length; i++)
            enqueue(publication, members ? members[i] : subscribers[i].emitter);
    }
    publication->registry->counts.published++;
}

/* Each is noted once for all that is held. Lock held. */
static void note_held(struct roster *roster, struct sse_emitter *emitter)
{
    if (emitter->standing & STANDING_HELD)
        return;
    emitter->standing |= STANDING_HELD;
    sse_roster_add(roster, emitter);
}

/* The first step while writing is held back. Lock held. */
static void hold_all(struct publication *publication)
{
    struct sse_delivery *counts = &publication->counts;
    size_t count = audience_count(publication);

    for (size_t i = 0; i < count; i++) {
        struct sse_emitter *emitter = audience_at(publication, i);

        switch (sse_emitter_enqueue_held(emitter, publication->message, publication->now,
                                         emitter->standing & STANDING_HELD)) {
        case ADMISSION_QUEUED:
            counts->queued++;
            note_held(publication->roster, emitter);
            break;
        case ADMISSION_ENDED:
            counts->closed++;
            note_held(publication->roster, emitter);
            break;
        case ADMISSION_DROPPED:
            counts->dropped++;
            break;
        case ADMISSION_CLOSED:
            break;
        }
    }
    publication->registry->counts.published++;
}

/* Without memory, nothing has happened. Lock held. */
static void give_up(struct publication *publication, const struct publisher *self)
{
    if (publication->topic)
        sse_topics_free_if_unused(&publication->registry->topics, publication->topic);
    if (publication->roster && publication->roster != &self->small)
        sse_roster_put_back(publication->registry, publication->roster);
}

/* One that is left to an outer publish, or held, outlives this call. Lock held. */
static int take_roster(struct publication *publication, struct publisher *self, const struct publisher *outer)
{
    struct sse_registry *registry = publication->registry;
    size_t count = audience_count(publication);

    if (!outer && !registry->cork.holds && count <= self->small.capacity)
        publication->roster = &self->small;
    else
        publication->roster = sse_roster_take(registry, count);
    return publication->roster ? 0 : -ENOMEM;
}

/* A publish inside a hook leaves its receivers to the one that it is inside of. Lock held. */
static void leave_to_outer(struct publication *publication, struct publisher *outer)
{
    publication->counts.closed = publication->ended;
    publication->counts.queued = publication->roster->count - publication->ended;
    sse_publisher_leave(outer, publication->roster);
}

/* Queues it for all receivers. Lock held; let go while the host is woken. */
static void pass_on(struct publication *publication, struct publisher *self, struct publisher *outer)
{
    struct sse_registry *registry = publication->registry;
    bool wake = publication->kept && sse_expiry_note(registry);

    if (registry->cork.holds) {
        hold_all(publication);
        wake |= sse_cork_add(registry, publication->roster, publication->message);
        publication->too_much = sse_cork_is_full(&registry->cork);
    } else {
        enqueue_all(publication);
        publication->to_serve = !outer;
        if (outer)
            leave_to_outer(publication, outer);
        else
            sse_publisher_enter(registry, self);
    }
    if (wake)
        sse_registry_wake(registry);
}

/* The first step: 0, or nothing has happened. */
static int begin(struct publication *publication, struct publisher *self)
{
    struct sse_registry *registry = publication->registry;
    struct publisher *outer;
    int error;

    sse_publisher_lock(registry);
    outer = sse_publisher_find(registry);
    sse_archive_expire(&registry->archive, publication->now);
    error = find_topic(publication);
    if (!error)
        error = take_roster(publication, self, outer);
    if (!error)
        error = keep(publication);
    if (!error) {
        note_newest(publication);
        pass_on(publication, self, outer);
    } else {
        give_up(publication, self);
    }
    pthread_mutex_unlock(&registry->lock);
    return error;
}

/* The second step, if it is this call's. */
static void finish(struct publication *publication, struct publisher *self)
{
    struct sse_registry *registry = publication->registry;

    if (publication->to_serve) {
        sse_publisher_serve(registry, self, publication->roster, publication->now, &publication->counts);
        sse_budget_enforce(registry, publication->now);
    }
    if (publication->too_much) {
        pthread_mutex_lock(&registry->lock);
        sse_registry_write_held(registry, publication->now);
        pthread_mutex_unlock(&registry->lock);
    }
}

static int deliver(struct publication *publication, struct sse_delivery *delivery)
{
    struct sse_registry *registry = publication->registry;
    struct sse_str id = sse_message_id(publication->message);
    struct publisher self;
    int error;

    sse_publisher_init(&self);
    publication->counts.size = sizeof(publication->counts);
    publication->now = sse_host_now(registry->host);
    atomic_store_explicit(&publication->message->published, publication->now, memory_order_relaxed);
    /* on_wake and the hooks may give back the reference that the caller came with. */
    sse_owner_hold(&registry->owner);
    error = begin(publication, &self);
    if (!error && publication->assigned)
        memcpy(publication->counts.id, id.ptr, id.len);
    if (!error)
        finish(publication, &self);
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
