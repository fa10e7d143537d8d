/* SPDX-License-Identifier: MIT */
#include "fanout/members.h"
#include "connection/account.h"
#include "connection/ending.h"
#include "connection/mark.h"
#include "fanout/seniority.h"

static struct sse_emitter *member_at(const void *registry, uint32_t position)
{
    return *sse_array_pointer(&((const struct sse_registry *)registry)->members, position);
}

static void place(struct sse_registry *registry, uint32_t position, struct sse_emitter *emitter)
{
    *sse_array_pointer(&registry->members, position) = emitter;
    emitter->membership.position = position;
}

static uint64_t joined(const void *registry, uint32_t position)
{
    return member_at(registry, position)->membership.joined;
}

static void swap(void *registry, uint32_t left, uint32_t right)
{
    struct sse_emitter *moved = member_at(registry, left);

    place(registry, left, member_at(registry, right));
    place(registry, right, moved);
}

bool sse_members_reserve(struct sse_registry *registry)
{
    return sse_array_reserve(&registry->members, sizeof(struct sse_emitter *), (size_t)registry->count + 1,
                             registry->platform);
}

void sse_members_join(struct sse_registry *registry, struct sse_emitter *emitter)
{
    emitter->group = &registry->group;
    emitter->group->ref(emitter->group);
    emitter->member = true;
    emitter->membership.joined = registry->topics.order++;
    if (!registry->count || emitter->queue.bytes_max < registry->smallest_queue)
        registry->smallest_queue = emitter->queue.bytes_max;
    place(registry, registry->count++, emitter);
    registry->remaining++;
    registry->counts.added++;
}

void sse_members_leave(struct sse_registry *registry, struct sse_emitter *emitter)
{
    static const struct seniority order = {.rank = joined, .swap = swap};

    if (!emitter->member)
        return;
    sse_seniority_extract(&order, registry, registry->count, emitter->membership.position);
    registry->count--;
    sse_array_trim(&registry->members, registry->count, registry->platform);
    sse_topics_unsubscribe_back_to(&registry->topics, emitter, 0);
    emitter->member = false;
    atomic_fetch_sub_explicit(&registry->group.tally.queued, emitter->charged, memory_order_relaxed);
    if (emitter->tried)
        atomic_fetch_sub_explicit(&registry->group.tally.tried, emitter->charged, memory_order_relaxed);
    emitter->charged = 0;
    emitter->tried = false;
}

/* Whether the message fits into the empty queue. *smallest becomes the size of the queue, if that is smaller. An
 * emitter that drains receives nothing. */
static bool has_room(struct sse_emitter *emitter, const struct sse_message *message, uint32_t *smallest)
{
    bool fits = true;

    pthread_mutex_lock(&emitter->lock);
    if (emitter->state == SSE_STATE_OPEN) {
        fits = sse_queue_fits(&emitter->queue, message);
        if (emitter->queue.bytes_max < *smallest)
            *smallest = emitter->queue.bytes_max;
    }
    pthread_mutex_unlock(&emitter->lock);
    return fits;
}

bool sse_members_have_room(struct sse_registry *registry, struct sse_text topic,
                           const struct sse_message *message)
{
    const struct audience audience = sse_audience_find(registry, topic);
    uint32_t smallest = UINT32_MAX;

    for (uint32_t i = 0; i < sse_audience_count(&audience); i++)
        if (!has_room(sse_audience_at(&audience, i), message, &smallest))
            return false;
    /* The next publish need not check each. */
    if (audience.everyone)
        registry->smallest_queue = smallest;
    return true;
}

static void count_end(struct sse_registry *registry, const struct sse_emitter *emitter)
{
    struct shutdown *shutdown = &registry->shutdown;

    registry->counts.ended_by[emitter->reason]++;
    if (!shutdown->begun)
        return;
    if (sse_emitter_ended_gracefully(emitter)) {
        shutdown->completed++;
        return;
    }
    shutdown->cut++;
    shutdown->bytes_left += sse_emitter_backlog(emitter);
}

void sse_members_forget(struct sse_registry *registry, struct sse_emitter *emitter)
{
    sse_members_leave(registry, emitter);
    if (emitter->forgotten)
        return;
    emitter->forgotten = true;
    count_end(registry, emitter);
}

/* Begins at the end, because a member that takes the place of a removed one has then been checked already, or will
 * be. A topic may be freed with its last subscriber. */
void sse_members_forget_ended(struct sse_registry *registry, const struct audience *audience)
{
    uint32_t count = sse_audience_count(audience), index = count;

    while (index > 0) {
        struct sse_emitter *emitter = sse_audience_at(audience, index - 1);
        bool ended;

        pthread_mutex_lock(&emitter->lock);
        ended = emitter->state == SSE_STATE_CLOSED;
        if (ended)
            sse_members_forget(registry, emitter);
        pthread_mutex_unlock(&emitter->lock);
        count -= ended;
        if (!ended || index > count)
            index--;
    }
}

/* An emitter that is not open yet is not marked here: sse_emitter_open marks it. */
void sse_members_notify(struct sse_emitter *emitter, struct mark_chain *chain)
{
    /* `tried` does not change, because only the owner knows whether it has tried to write. */
    sse_emitter_account(emitter, emitter->tried, NULL);
    sse_emitter_wake_waiters(emitter);
    if (!emitter->opening)
        sse_emitter_mark_always(emitter, chain);
}
