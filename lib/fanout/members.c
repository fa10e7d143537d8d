/* SPDX-License-Identifier: MIT */
#include "fanout/registry.h"

#include <errno.h>

void sse_owner_hold(struct emitter_owner *owner)
{
    struct sse_registry *registry = (struct sse_registry *)(void *)owner;

    atomic_fetch_add_explicit(&registry->holds, 1, memory_order_relaxed);
}

void sse_owner_release(struct emitter_owner *owner)
{
    struct sse_registry *registry = (struct sse_registry *)(void *)owner;

    if (atomic_fetch_sub_explicit(&registry->holds, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_lock(&registry->lock);
    pthread_mutex_unlock(&registry->lock);
    pthread_cond_destroy(&registry->wake_done);
    pthread_mutex_destroy(&registry->lock);
    sse_archive_free(&registry->archive);
    sse_topics_free(&registry->topics);
    sse_host_release(registry->host, registry->broadcasts);
    sse_host_release(registry->host, registry->gap_type);
    sse_message_unref(registry->newest);
    sse_heap_free(&registry->timers, registry->host);
    sse_array_free(&registry->members, registry->host);
    sse_host_release(registry->host, registry->spare);
    sse_host_release(registry->host, registry);
}

static bool reserve_member(struct sse_registry *registry)
{
    return sse_heap_reserve(&registry->timers, registry->count + 1, registry->host) &&
           sse_array_reserve(&registry->members, sizeof(struct sse_emitter *), registry->count + 1,
                             registry->host);
}

/* Once in some thousand million times: those who are here stay older than those who come. */
static void forget_order(struct sse_registry *registry)
{
    registry->topics.order = 0;
    for (size_t i = 0; i < registry->count; i++) {
        struct emitter_membership *membership = &sse_members_at(registry, i)->membership;

        membership->joined = 0;
        for (uint32_t at = 0; at < sse_subscriptions_count(membership); at++) {
            struct subscription subscription = sse_subscriptions_at(membership, at);

            sse_topic_subscriber(subscription.topic, subscription.place)->since = 0;
        }
    }
    (void)sse_topics_next_order(&registry->topics);
}

/* Where ids are assigned every member will have one: its first event is to need no memory. Without memory, or
 * where the present id is too long for a block, the message that holds it will be kept instead. */
static void reserve_id(struct sse_registry *registry, struct sse_emitter *emitter)
{
    if (sse_archive_is_on(&registry->archive))
        (void)sse_last_id_reserve(&emitter->last_id, sse_archive_id_size(&registry->archive), emitter->host);
}

static int join(struct sse_registry *registry, struct sse_emitter *emitter)
{
    if (emitter->owner)
        return emitter->owner == &registry->owner ? -EALREADY : -EBUSY;
    if (emitter->state != SSE_STATE_OPEN)
        return sse_emitter_end_error(emitter);
    if (registry->closed || registry->shutdown.begun)
        return -ESHUTDOWN;
    if (registry->admission == SSE_ADMISSION_REFUSE && registry->count >= registry->emitters_max) {
        registry->counts.refused++;
        return -EAGAIN;
    }
    if (!reserve_member(registry))
        return -ENOMEM;
    reserve_id(registry, emitter);
    if (sse_topics_order_is_used_up(&registry->topics))
        forget_order(registry);
    emitter->owner = &registry->owner;
    emitter->membership.timer.mark = (uint32_t)registry->count;
    emitter->membership.joined = sse_topics_next_order(&registry->topics);
    emitter->standing &= (unsigned char)~STANDING_LEAVING;
    registry->counts.added++;
    *sse_array_pointer(&registry->members, registry->count++) = emitter;
    sse_cork_note_limits(&registry->cork, &emitter->queue);
    sse_heap_push(&registry->timers, &emitter->membership.timer, sse_emitter_deadline(emitter));
    sse_emitter_account(emitter);
    sse_owner_hold(&registry->owner);
    sse_emitter_ref(emitter);
    return 0;
}

int sse_members_add(struct sse_registry *registry, struct sse_emitter *emitter)
{
    int error;

    pthread_mutex_lock(&emitter->lock);
    error = join(registry, emitter);
    pthread_mutex_unlock(&emitter->lock);
    return error;
}

bool sse_members_has(const struct sse_registry *registry, struct sse_emitter *emitter)
{
    bool member;

    pthread_mutex_lock(&emitter->lock);
    member = emitter->owner == &registry->owner;
    pthread_mutex_unlock(&emitter->lock);
    return member;
}

void sse_members_take(struct sse_registry *registry, struct sse_emitter *emitter)
{
    struct emitter_membership *membership = &emitter->membership;
    struct sse_emitter *last = sse_members_at(registry, --registry->count);

    *sse_array_pointer(&registry->members, membership->timer.mark) = last;
    last->membership.timer.mark = membership->timer.mark;
    if (membership->timer.position != HEAP_NOWHERE)
        sse_heap_remove(&registry->timers, &membership->timer);
    sse_topics_unsubscribe_back_to(&registry->topics, emitter, 0);
    pthread_mutex_lock(&emitter->lock);
    atomic_fetch_sub_explicit(&registry->owner.tally.backlog, emitter->charged, memory_order_relaxed);
    emitter->charged = 0;
    emitter->owner = NULL;
    membership->timer.deadline = 0;
    pthread_mutex_unlock(&emitter->lock);
}

void sse_members_give_back(struct sse_registry *registry, struct sse_emitter *emitter, bool member,
                           bool ready)
{
    if (ready)
        sse_emitter_unref(emitter);
    if (!member)
        return;
    sse_emitter_unref(emitter);
    sse_owner_release(&registry->owner);
}

/* One of those that a cap counts, and since when. */
struct candidate {
    struct sse_emitter *emitter;
    uint32_t since;
};

static struct candidate candidate_at(const struct sse_registry *registry, const struct topic *topic,
                                     size_t position)
{
    struct sse_emitter *member;

    if (topic)
        return (struct candidate){.emitter = sse_topic_subscriber(topic, position)->emitter,
                                  .since = sse_topic_subscriber(topic, position)->since};
    member = sse_members_at(registry, position);
    return (struct candidate){.emitter = member, .since = member->membership.joined};
}

static bool is_leaving(struct sse_emitter *emitter)
{
    bool leaving;

    pthread_mutex_lock(&emitter->lock);
    leaving = emitter->standing & STANDING_LEAVING || emitter->state != SSE_STATE_OPEN;
    pthread_mutex_unlock(&emitter->lock);
    return leaving;
}

struct sse_emitter *sse_members_over_cap(struct sse_registry *registry, const struct topic *topic)
{
    size_t max = topic ? registry->topic_emitters_max : registry->emitters_max;
    size_t count = topic ? topic->count : registry->count;
    struct candidate oldest = {.emitter = NULL};
    size_t staying = 0;

    for (size_t i = 0; count > max && i < count; i++) {
        struct candidate candidate = candidate_at(registry, topic, i);

        if (is_leaving(candidate.emitter))
            continue;
        if (!staying++ || candidate.since < oldest.since)
            oldest = candidate;
    }
    if (staying <= max)
        return NULL;
    oldest.emitter->standing |= STANDING_LEAVING;
    return oldest.emitter;
}

void sse_registry_trace(struct sse_registry *registry, struct sse_emitter *emitter, enum sse_trace step)
{
    if (registry->on_trace)
        registry->on_trace(registry, emitter, step, registry->user);
}
