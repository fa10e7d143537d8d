/* SPDX-License-Identifier: MIT */
#include "fanout/registry.h"

#include <errno.h>

void sse_registry_hold(struct emitter_owner *owner)
{
    struct sse_registry *registry = (struct sse_registry *)(void *)owner;

    atomic_fetch_add_explicit(&registry->holds, 1, memory_order_relaxed);
}

void sse_registry_release(struct emitter_owner *owner)
{
    struct sse_registry *registry = (struct sse_registry *)(void *)owner;

    if (atomic_fetch_sub_explicit(&registry->holds, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_lock(&registry->lock);
    pthread_mutex_unlock(&registry->lock);
    pthread_cond_destroy(&registry->wake_done);
    pthread_mutex_destroy(&registry->lock);
    sse_topics_free(&registry->topics);
    sse_heap_free(&registry->timers, registry->host);
    sse_host_release(registry->host, registry->members);
    sse_host_release(registry->host, registry->spare);
    sse_host_release(registry->host, registry);
}

static bool reserve_member(struct sse_registry *registry)
{
    size_t capacity = registry->capacity ? registry->capacity * 2 : 8;
    struct sse_emitter **members;

    if (!sse_heap_reserve(&registry->timers, registry->count + 1, registry->host))
        return false;
    if (registry->count < registry->capacity)
        return true;
    members = sse_host_allocate(registry->host, capacity * sizeof(struct sse_emitter *));
    if (!members)
        return false;
    if (registry->count)
        memcpy(members, registry->members, registry->count * sizeof(struct sse_emitter *));
    sse_host_release(registry->host, registry->members);
    registry->members = members;
    registry->capacity = capacity;
    return true;
}

static int join(struct sse_registry *registry, struct sse_emitter *emitter)
{
    if (emitter->owner)
        return emitter->owner == &registry->owner ? -EALREADY : -EBUSY;
    if (emitter->state != SSE_STATE_OPEN)
        return sse_emitter_end_error(emitter);
    if (registry->closed)
        return -ESHUTDOWN;
    if (!reserve_member(registry))
        return -ENOMEM;
    emitter->owner = &registry->owner;
    emitter->membership.position = registry->count;
    registry->members[registry->count++] = emitter;
    emitter->scheduled = sse_emitter_deadline(emitter);
    sse_heap_push(&registry->timers, &emitter->membership.timer, emitter->scheduled);
    sse_registry_hold(&registry->owner);
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
    struct sse_emitter *last = registry->members[--registry->count];

    registry->members[membership->position] = last;
    last->membership.position = membership->position;
    if (membership->timer.position != HEAP_NOWHERE)
        sse_heap_remove(&registry->timers, &membership->timer);
    sse_topics_unsubscribe_back_to(&registry->topics, emitter, NULL);
    pthread_mutex_lock(&emitter->lock);
    emitter->owner = NULL;
    emitter->scheduled = 0;
    pthread_mutex_unlock(&emitter->lock);
}
