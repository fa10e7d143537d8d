/* SPDX-License-Identifier: MIT */
#include "fanout/joining.h"
#include "connection/accept.h"
#include "connection/ending.h"
#include "fanout/gap.h"
#include "fanout/members.h"
#include "fanout/replay.h"

int sse_joining_check(const struct sse_text *topics, size_t count, struct sse_text last_event_id)
{
    int error = 0;

    if ((!topics && count) || !sse_topic_is_text(last_event_id))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (!sse_topic_is_text(topics[i]))
            return -EINVAL;
        if (!topics[i].len || topics[i].len > SSE_TOPIC_SIZE_MAX)
            error = -EBADMSG;
    }
    return error;
}

/* Checks a subscription to more topics: the emitter must be open, and a member. */
static int check_member(const struct sse_registry *registry, struct sse_emitter *emitter)
{
    int error;

    pthread_mutex_lock(&emitter->lock);
    error = sse_emitter_end_error(emitter);
    if (!error && !sse_members_has(registry, emitter))
        error = -ENOENT;
    pthread_mutex_unlock(&emitter->lock);
    return error;
}

/* Checks whether the emitter may join, and makes room for it. */
static int admit(struct joining *joining)
{
    struct sse_registry *registry = joining->registry;

    if (registry->shutdown.begun)
        return -ECONNREFUSED;
    if (!joining->is_new)
        return check_member(registry, joining->emitter);
    if (registry->admission == SSE_ADMISSION_REFUSE && registry->count >= registry->emitters_max)
        return -EAGAIN;
    return sse_members_reserve(registry) ? 0 : -ENOMEM;
}

/* Counts the messages behind a pause whose writing depends on whether the server fills the gap. */
static void split_pause(struct joining *joining, const struct replay_place *place, bool tells_gap,
                        size_t before)
{
    struct pause *pause = sse_emitter_pause(joining->emitter);

    if (!joining->is_new || !pause || !place->gap)
        return;
    pause->if_gap = (uint32_t)(tells_gap + before);
    if (!place->known)
        pause->if_filled = (uint32_t)joining->replay.messages;
}

/* Queues the replay. It cannot fail, because the memory is reserved and a replay is exempt. The emitter's lock
 * held. */
static void queue_all(struct joining *joining, const struct replay_place *place, struct replay *replay,
                      struct sse_message *gap)
{
    struct sse_emitter *emitter = joining->emitter;
    const struct history_entry *entry;
    struct sse_text id;
    size_t before = 0;

    joining->replay.messages = replay->messages;
    if (gap)
        (void)sse_emitter_enqueue_exempt(emitter, gap, joining->now);
    for (; (entry = sse_replay_first(replay)) != NULL; sse_replay_advance(replay)) {
        (void)sse_emitter_enqueue_exempt(emitter, entry->message, joining->now);
        if (entry->sequence <= place->lost)
            before++;
        id = sse_message_id(entry->message);
        if (place->gap && !joining->replay.oldest[0] && (!joining->paused || entry->sequence > place->lost))
            memcpy(joining->replay.oldest, id.ptr, id.len);
    }
    split_pause(joining, place, gap != NULL, before);
}

static int queue_replay(struct joining *joining, const struct replay_place *place, struct replay *replay,
                        struct sse_message *gap)
{
    struct sse_emitter *emitter = joining->emitter;
    int error;

    pthread_mutex_lock(&emitter->lock);
    error = sse_emitter_end_error(emitter);
    if (!error)
        error =
            sse_queue_reserve(sse_emitter_tail(emitter), replay->messages + (gap != NULL), emitter->platform);
    if (!error)
        queue_all(joining, place, replay, gap);
    pthread_mutex_unlock(&emitter->lock);
    return error;
}

/* The place after which events are replayed. If the id is unknown, nothing is replayed, unless the emitter is
 * paused: then everything retained is replayed, because the server may fill the gap only up to there. */
static uint64_t begin_of(const struct joining *joining, const struct replay_place *place)
{
    return place->known || !joining->paused ? place->last : place->lost;
}

static int make_gap_message(const struct joining *joining, const struct replay_place *place,
                            const struct replay *replay, struct sse_message **gap)
{
    const struct history_entry *first = place->known ? sse_replay_first(replay) : NULL;

    if (!place->gap || !joining->registry->gap_type)
        return 0;
    return sse_gap_message_new(gap, joining->registry, joining->last_event_id,
                               first ? sse_message_id(first->message) : (struct sse_text){.ptr = NULL},
                               place);
}

static int replay_from(struct joining *joining, const struct replay_place *place,
                       const struct replay_request *request)
{
    struct sse_message *gap = NULL;
    struct replay replay;
    int error = sse_replay_begin(&replay, request) ? 0 : -ENOMEM;

    if (!error)
        error = make_gap_message(joining, place, &replay, &gap);
    if (!error)
        error = queue_replay(joining, place, &replay, gap);
    sse_message_unref(gap);
    sse_replay_end(&replay);
    return error;
}

/* `first` is the position of the first new subscription. */
static int replay(struct joining *joining, uint32_t first)
{
    struct registry_counts *counts = &joining->registry->counts;
    struct replay_request request = {
        .registry = joining->registry,
        .emitter = joining->emitter,
        .first = first,
        .everyone = joining->is_new,
        .now = joining->now,
    };
    struct replay_place place;
    int error;

    if (!joining->last_event_id.len)
        return 0;
    place = sse_replay_find(&request, joining->topics, joining->count, joining->last_event_id);
    request.after = begin_of(joining, &place);
    error = replay_from(joining, &place, &request);
    if (error)
        return error;
    joining->replay.outcome = place.gap ? SSE_REPLAY_GAP : SSE_REPLAY_COMPLETE;
    if (place.gap)
        memcpy(joining->replay.newest, joining->registry->newest, sizeof(joining->replay.newest));
    counts->replays += !place.gap;
    counts->gaps += place.gap;
    counts->replayed += joining->replay.messages;
    return 0;
}

/* If ids are assigned, reserves the memory for one, so that the first event needs none. */
static void reserve_id(struct sse_emitter *emitter, const struct sse_registry *registry)
{
    if (sse_archive_is_on(&registry->archive))
        (void)sse_last_id_reserve(&emitter->last_id, sse_archive_id_size(&registry->archive),
                                  emitter->platform);
}

static void join(struct joining *joining)
{
    struct sse_emitter *emitter = joining->emitter;

    pthread_mutex_lock(&emitter->lock);
    reserve_id(emitter, joining->registry);
    sse_members_join(joining->registry, emitter);
    pthread_mutex_unlock(&emitter->lock);
}

/* The emitter leaves the registry at once, and drains like any other. */
static void evict(struct joining *joining, struct sse_emitter *oldest)
{
    pthread_mutex_lock(&oldest->lock);
    sse_members_leave(joining->registry, oldest);
    (void)sse_emitter_end(oldest, SSE_REASON_EVICTED, 0, joining->now);
    sse_members_notify(oldest, &joining->chain);
    pthread_mutex_unlock(&oldest->lock);
}

/* Evicts at most one emitter for each new subscription, and one for the registry. It is never the new emitter,
 * which is the youngest. */
static void evict_oldest(struct joining *joining, uint32_t first)
{
    struct sse_registry *registry = joining->registry;
    const struct emitter_membership *membership = &joining->emitter->membership;

    for (uint32_t i = first; i < sse_subscriptions_count(membership); i++) {
        const struct topic *topic = sse_subscriptions_at(membership, i).topic;

        if (topic->count > registry->topic_emitters_max)
            evict(joining, sse_topic_subscriber(topic, 0)->emitter);
    }
    if (registry->count > registry->emitters_max)
        evict(joining, *sse_array_pointer(&registry->members, 0));
}

static int run(struct joining *joining)
{
    struct sse_registry *registry = joining->registry;
    struct sse_emitter *emitter = joining->emitter;
    bool refuses = registry->admission == SSE_ADMISSION_REFUSE;
    uint32_t first = 0;
    int error = admit(joining);

    /* Not read earlier: if the emitter is not a member, another registry's lock guards its subscriptions. */
    if (!error)
        first = sse_subscriptions_count(&emitter->membership);
    if (!error)
        error = sse_topics_subscribe(&registry->topics, emitter, joining->topics, joining->count,
                                     refuses ? registry->topic_emitters_max : SIZE_MAX);
    if (error) {
        registry->counts.refused += error == -EAGAIN;
        return error;
    }
    error = replay(joining, first);
    if (error) {
        sse_topics_unsubscribe_back_to(&registry->topics, emitter, first);
        return error;
    }
    if (joining->is_new)
        join(joining);
    evict_oldest(joining, first);
    return 0;
}

int sse_joining_run(struct joining *joining)
{
    struct sse_registry *registry = joining->registry;
    int error;

    pthread_mutex_lock(&registry->lock);
    sse_archive_expire(&registry->archive, joining->now);
    error = run(joining);
    pthread_mutex_unlock(&registry->lock);
    return error;
}
