/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/accept.h"
#include "connection/turn.h"
#include "connection/write.h"
#include "fanout/budget.h"
#include "fanout/members.h"

/* All tries together take some 20 microseconds. */
#define LOCK_TRIES 64
#define LOCK_PAUSE 200

/* With 10,000 receivers, the memory of most is not in a near cache. If it is asked for this many receivers ahead,
 * queueing costs a quarter less. */
#define RECEIVERS_AHEAD 4

/** A message on its way to the subscribers of a topic, or to all members. */
struct publication {
    struct sse_registry *registry;
    struct sse_text name; /* absent: everyone */
    struct sse_message *message;
    bool retained; /* in the history */
    bool assigned; /* the registry assigns its id */
    struct enqueueing enqueueing;
    struct sse_delivery delivery;
};

/* A publish holds the lock for less time than it takes to sleep and to be woken. So a thread that publishes at the
 * same time tries again for a while before it sleeps. Two threads with topics of 10 then do 1.5 times the work of
 * one, and only 0.9 times if they sleep at once. */
static void lock_soon(pthread_mutex_t *lock)
{
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        if (!pthread_mutex_trylock(lock))
            return;
        /* Each try takes the cache line from the thread with the lock. So wait between them. */
        for (volatile int pause = 0; pause < LOCK_PAUSE; pause++)
            continue;
    }
    pthread_mutex_lock(lock);
}

/* Retains the message. If the history is too small for it, the topic may be freed. Lock held. */
static int retain(struct publication *publication)
{
    struct sse_registry *registry = publication->registry;
    struct topic *topic = registry->everyone;
    int error;

    if (!publication->retained)
        return 0;
    if (publication->name.ptr)
        topic = sse_topics_find_or_add(&registry->topics, publication->name);
    if (!topic)
        return -ENOMEM;
    error = sse_archive_retain(&registry->archive, topic, publication->message, publication->assigned,
                               publication->enqueueing.now);
    if (error)
        sse_topics_free_if_unused(&registry->topics, topic);
    return error;
}

/* Stores the newest id, so that a server that fills a gap knows where to stop. Lock held. */
static void note_newest(struct sse_registry *registry, struct sse_text id)
{
    if (!id.len)
        return;
    memcpy(registry->newest, id.ptr, id.len);
    registry->newest[id.len] = '\0';
}

static inline void enqueue(struct publication *publication, struct sse_emitter *emitter)
{
    switch (sse_emitter_enqueue(emitter, publication->message, &publication->enqueueing)) {
    case ADMISSION_QUEUED:
        publication->delivery.receivers++;
        break;
    case ADMISSION_DROPPED:
        publication->delivery.dropped++;
        break;
    case ADMISSION_ENDED:
        publication->delivery.ended++;
        break;
    default:
        break;
    }
}

static inline struct sse_emitter *receiver_at(void *const *members, const struct subscriber *subscribers,
                                              size_t index)
{
    return members ? members[index] : subscribers[index].emitter;
}

/* Queues the message for each receiver. Receivers in one segment of the array are visited without a lookup for
 * each. The message gets the references for all receivers at once, because the loops of other cores write their
 * count too. Lock held. */
static void enqueue_all(struct publication *publication, const struct audience *audience)
{
    uint32_t *references = &publication->enqueueing.references;
    uint32_t count = sse_audience_count(audience);

    *references = count;
    sse_message_keep_many(publication->message, count);
    for (size_t begin = 0; begin < count; begin += ARRAY_SEGMENT) {
        size_t length = count - begin < ARRAY_SEGMENT ? count - begin : ARRAY_SEGMENT;
        void *const *members =
            audience->everyone ? sse_array_pointer(&audience->registry->members, begin) : NULL;
        const struct subscriber *subscribers = members ? NULL : sse_topic_subscriber(audience->topic, begin);

        for (size_t i = 0; i < length; i++) {
            if (i + RECEIVERS_AHEAD < length)
                sse_emitter_fetch_to_queue(receiver_at(members, subscribers, i + RECEIVERS_AHEAD));
            enqueue(publication, receiver_at(members, subscribers, i));
        }
    }
    if (*references)
        sse_message_release_many(publication->message, *references);
}

/* Queues the message for all receivers. Lock held. */
static void deliver(struct publication *publication)
{
    struct sse_registry *registry = publication->registry;
    struct emitter_tally *tally = &registry->group.tally;
    const struct enqueueing *enqueueing = &publication->enqueueing;
    struct audience audience;

    atomic_store_explicit(&publication->message->published, enqueueing->now, memory_order_relaxed);
    audience = sse_audience_find(registry, publication->name);
    enqueue_all(publication, &audience);
    atomic_fetch_add_explicit(&tally->queued, enqueueing->charged, memory_order_relaxed);
    if (enqueueing->tried)
        atomic_fetch_add_explicit(&tally->tried, enqueueing->tried, memory_order_relaxed);
    if (publication->delivery.ended)
        sse_members_forget_ended(registry, &audience);
    registry->counts.published++;
    registry->counts.queued += publication->delivery.receivers;
}

/* Whether the message fits into the empty queue of every receiver. Most messages fit into the smallest queue of all
 * members, so there is no need to check each. Lock held. */
static bool fits_all(const struct publication *publication)
{
    struct sse_registry *registry = publication->registry;

    return sse_message_wire_size(publication->message, true) <= registry->smallest_queue ||
           sse_members_have_room(registry, publication->name, publication->message);
}

/* The first step, under the lock: retains and queues the message. 0, or an error with nothing changed. */
static int queue(struct publication *publication)
{
    struct sse_registry *registry = publication->registry;
    struct sse_text id = sse_message_id(publication->message);
    int error;

    lock_soon(&registry->lock);
    sse_archive_expire(&registry->archive, publication->enqueueing.now);
    error = fits_all(publication) ? retain(publication) : -EMSGSIZE;
    if (!error) {
        if (publication->retained)
            note_newest(registry, id);
        deliver(publication);
    }
    pthread_mutex_unlock(&registry->lock);
    if (!error && publication->assigned)
        memcpy(publication->delivery.id, id.ptr, id.len);
    return error;
}

/* The next receiver below *index that is far behind, with a reference, or NULL. It is busy for this thread, so that
 * no other thread writes first. Receivers may join and leave between two calls. One that is missed is found by the
 * next publish. */
static struct sse_emitter *next_behind(const struct publication *publication, uint32_t *index)
{
    struct sse_registry *registry = publication->registry;
    struct sse_emitter *found = NULL;
    struct audience audience;
    uint32_t count;

    pthread_mutex_lock(&registry->lock);
    audience = sse_audience_find(registry, publication->name);
    count = sse_audience_count(&audience);
    *index = *index < count ? *index : count;
    while (!found && *index > 0) {
        struct sse_emitter *emitter = sse_audience_at(&audience, --*index);

        pthread_mutex_lock(&emitter->lock);
        if (sse_emitter_is_behind(emitter)) {
            sse_emitter_become_busy(emitter);
            found = emitter;
        }
        pthread_mutex_unlock(&emitter->lock);
    }
    if (found)
        sse_emitter_keep(found);
    pthread_mutex_unlock(&registry->lock);
    return found;
}

/* The second step, without the lock: wakes the loops, and writes to receivers that are far behind. */
static void follow_up(struct publication *publication)
{
    struct sse_registry *registry = publication->registry;
    uint64_t now = publication->enqueueing.now;
    uint32_t index = UINT32_MAX;
    struct sse_emitter *emitter;

    sse_mark_chain_finish(&publication->enqueueing.chain);
    while (publication->enqueueing.behind && (emitter = next_behind(publication, &index)) != NULL) {
        sse_emitter_catch_up(emitter, now);
        sse_emitter_release(emitter);
    }
    sse_budget_enforce(registry, now);
}

static int run(struct publication *publication, struct sse_delivery *delivery)
{
    uint64_t now;
    int cancel_state, error;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    now = sse_platform_now(publication->registry->platform);
    publication->enqueueing.now = now;
    error = queue(publication);
    if (!error)
        follow_up(publication);
    pthread_setcancelstate(cancel_state, NULL);
    if (!error && delivery)
        *delivery = publication->delivery;
    return error;
}

static int publish_event(struct sse_registry *registry, struct sse_text topic, const struct sse_event *event,
                         struct sse_delivery *delivery)
{
    const struct archive *archive = &registry->archive;
    struct publication publication = {.registry = registry, .name = topic};
    struct sse_event with_id = *event;
    char blank[SSE_ASSIGNED_ID_SIZE];
    int error = sse_archive_check_id(archive, event->id);

    if (error)
        return error;
    publication.retained = sse_archive_is_on(archive) && (event->data.ptr || event->id.ptr);
    publication.assigned = publication.retained && !event->id.ptr;
    if (publication.assigned) {
        sse_archive_format_id(archive, 0, blank);
        with_id.id = (struct sse_text){.ptr = blank, .len = sse_archive_id_size(archive)};
    }
    error = sse_message_new(&publication.message, &with_id, 1, registry->platform);
    if (error)
        return error;
    error = run(&publication, delivery);
    sse_message_unref(publication.message);
    return error;
}

/* Checks every id of a batch, because a client that received a part of it may come back with any of them. */
static int check_ids(const struct archive *archive, const struct sse_message *message)
{
    struct sse_text id = {.ptr = NULL};
    int error = 0;

    if (!sse_archive_is_on(archive) || message->events == 1)
        return sse_archive_check_id(archive, sse_message_id(message));
    while (!error && (id = sse_message_id_after(message, id)).ptr)
        error = sse_archive_check_id(archive, id);
    return error;
}

/* A message that gets an id is copied, because others may have a reference to it. */
static int publish_message(struct sse_registry *registry, struct sse_text topic, struct sse_message *message,
                           struct sse_delivery *delivery)
{
    const struct archive *archive = &registry->archive;
    struct publication publication = {
        .registry = registry,
        .name = topic,
        .message = message,
        .retained = sse_archive_is_on(archive) && sse_message_is_dispatched(message),
    };
    int error = check_ids(archive, message);

    if (error)
        return error;
    if (!publication.retained || sse_message_ends_with_id(message))
        return run(&publication, delivery);
    publication.assigned = true;
    error = sse_message_copy_with_id(&publication.message, message, sse_archive_id_size(archive),
                                     registry->platform);
    if (error)
        return error;
    error = run(&publication, delivery);
    sse_message_unref(publication.message);
    return error;
}

int sse_registry_publish(struct sse_registry *registry, struct sse_text topic, const struct sse_event *event,
                         struct sse_delivery *delivery)
{
    int error = sse_registry_check(registry);

    if (!error)
        error = event ? sse_audience_check(topic) : -EINVAL;
    return error ? error : publish_event(registry, topic, event, delivery);
}

int sse_registry_publish_message(struct sse_registry *registry, struct sse_text topic,
                                 struct sse_message *message, struct sse_delivery *delivery)
{
    int error = sse_registry_check(registry);

    if (!error)
        error = message ? sse_audience_check(topic) : -EINVAL;
    return error ? error : publish_message(registry, topic, message, delivery);
}
