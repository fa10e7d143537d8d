/* SPDX-License-Identifier: MIT */
#include "fanout/registry.h"

#include <errno.h>

/* Gives back what a member, and what the list of the ready, held. Lock not held. */
static void give_back(struct sse_registry *registry, struct sse_emitter *emitter, bool member, bool ready)
{
    if (ready)
        sse_emitter_unref(emitter);
    if (!member)
        return;
    sse_emitter_unref(emitter);
    sse_registry_release(&registry->owner);
}

static void forget(struct emitter_owner *owner, struct sse_emitter *emitter)
{
    struct sse_registry *registry = (struct sse_registry *)(void *)owner;
    bool member;

    pthread_mutex_lock(&registry->lock);
    member = sse_members_has(registry, emitter);
    if (member)
        sse_members_take(registry, emitter);
    pthread_mutex_unlock(&registry->lock);
    give_back(registry, emitter, member, false);
}

int sse_registry_new(struct sse_registry **registry, const struct sse_registry_options *options)
{
    static const struct sse_registry_options defaults = {.size = sizeof(defaults)};
    struct sse_registry *made;

    if (!options)
        options = &defaults;
    if (!registry || options->size != sizeof(*options) || !sse_host_is_valid(options->host))
        return -EINVAL;
    made = sse_host_allocate(options->host, sizeof(*made));
    if (!made)
        return -ENOMEM;
    *made = (struct sse_registry){
        .owner = {.hold = sse_registry_hold,
                  .release = sse_registry_release,
                  .notice = sse_registry_notice,
                  .forget = forget},
        .host = options->host,
        .on_wake = options->on_wake,
        .user = options->user,
        .announced = DEADLINE_NEVER,
    };
    atomic_init(&made->refs, 1);
    atomic_init(&made->holds, 1);
    if (pthread_mutex_init(&made->lock, NULL)) {
        sse_host_release(options->host, made);
        return -ENOMEM;
    }
    if (pthread_cond_init(&made->wake_done, NULL)) {
        pthread_mutex_destroy(&made->lock);
        sse_host_release(options->host, made);
        return -ENOMEM;
    }
    sse_topics_init(&made->topics, options->host);
    *registry = made;
    return 0;
}

struct sse_registry *sse_registry_ref(struct sse_registry *registry)
{
    if (registry)
        atomic_fetch_add_explicit(&registry->refs, 1, memory_order_relaxed);
    return registry;
}

/* No wake runs any more, and none will begin. Lock held. */
static void end_wakes(struct sse_registry *registry)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    registry->closed = true;
    while (registry->waking && !pthread_equal(registry->waking_thread, pthread_self()))
        pthread_cond_wait(&registry->wake_done, &registry->lock);
    pthread_setcancelstate(cancel_state, NULL);
}

/* Takes out every emitter that the registry holds. */
static void let_go(struct sse_registry *registry)
{
    struct sse_emitter *emitter;
    bool member, ready;

    for (;;) {
        pthread_mutex_lock(&registry->lock);
        member = registry->count > 0;
        emitter = member ? registry->members[registry->count - 1] : registry->first_ready;
        ready = emitter && sse_ready_remove(registry, emitter);
        if (member)
            sse_members_take(registry, emitter);
        pthread_mutex_unlock(&registry->lock);
        if (!emitter)
            return;
        give_back(registry, emitter, member, ready);
    }
}

void sse_registry_unref(struct sse_registry *registry)
{
    if (!registry || atomic_fetch_sub_explicit(&registry->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_lock(&registry->lock);
    end_wakes(registry);
    pthread_mutex_unlock(&registry->lock);
    let_go(registry);
    sse_registry_release(&registry->owner);
}

/* A new member may have bytes that nobody will announce again, or the next deadline. Lock held;
 * let go meanwhile. The caller holds the registry's memory: on_wake may give back the last reference. */
static void introduce(struct sse_registry *registry, struct sse_emitter *emitter)
{
    bool wake;

    pthread_mutex_lock(&emitter->lock);
    wake = sse_timer_note(registry, emitter);
    if (emitter->queue.count && sse_ready_add(registry, emitter))
        wake = true;
    pthread_mutex_unlock(&emitter->lock);
    if (wake)
        sse_registry_wake(registry);
}

int sse_registry_add(struct sse_registry *registry, struct sse_emitter *emitter)
{
    int error;

    if (!registry || !emitter)
        return -EINVAL;
    sse_registry_hold(&registry->owner);
    pthread_mutex_lock(&registry->lock);
    error = sse_members_add(registry, emitter);
    if (!error)
        introduce(registry, emitter);
    pthread_mutex_unlock(&registry->lock);
    sse_registry_release(&registry->owner);
    return error;
}

int sse_registry_remove(struct sse_registry *registry, struct sse_emitter *emitter)
{
    bool member, ready = false;

    if (!registry || !emitter)
        return -EINVAL;
    pthread_mutex_lock(&registry->lock);
    member = sse_members_has(registry, emitter);
    if (member) {
        /* Once it is no member any more, another registry may use the link. */
        ready = sse_ready_remove(registry, emitter);
        sse_members_take(registry, emitter);
    }
    pthread_mutex_unlock(&registry->lock);
    give_back(registry, emitter, member, ready);
    return member ? 0 : -ENOENT;
}

static int check_topics(const struct sse_str *topics, size_t count)
{
    int error = topics && count ? 0 : -EINVAL;

    for (size_t i = 0; !error && i < count; i++)
        error = sse_topic_name_check(topics[i]);
    return error;
}

/* All topics or none. Lock held. */
static int subscribe_all(struct sse_registry *registry, struct sse_emitter *emitter,
                         const struct sse_str *topics, size_t count)
{
    const struct subscription *newest = emitter->membership.subscriptions;
    int error = 0;

    for (size_t i = 0; !error && i < count; i++)
        error = sse_topics_subscribe(&registry->topics, emitter, topics[i]);
    if (error)
        sse_topics_unsubscribe_back_to(&registry->topics, emitter, newest);
    return error;
}

/* Lock held. *added tells whether the emitter has become a member. */
static int subscribe_member(struct sse_registry *registry, struct sse_emitter *emitter,
                            const struct sse_str *topics, size_t count, bool *added)
{
    int error = sse_members_add(registry, emitter);

    *added = !error;
    if (error && error != -EALREADY)
        return error;
    return subscribe_all(registry, emitter, topics, count);
}

int sse_registry_subscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                           const struct sse_str *topics, size_t count, struct sse_str last_event_id,
                           enum sse_replay *replay)
{
    bool added, undone = false;
    int error;

    if (!registry || !emitter || (!last_event_id.ptr && last_event_id.len))
        return -EINVAL;
    error = check_topics(topics, count);
    if (error)
        return error;
    sse_registry_hold(&registry->owner);
    pthread_mutex_lock(&registry->lock);
    error = subscribe_member(registry, emitter, topics, count, &added);
    if (error && added) {
        sse_members_take(registry, emitter);
        undone = true;
    } else if (added) {
        introduce(registry, emitter);
    }
    pthread_mutex_unlock(&registry->lock);
    give_back(registry, emitter, undone, false);
    sse_registry_release(&registry->owner);
    if (!error && replay)
        *replay = last_event_id.len ? SSE_REPLAY_GAP : SSE_REPLAY_NONE;
    return error;
}

int sse_registry_unsubscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                             const struct sse_str *topics, size_t count)
{
    bool member;

    if (!registry || !emitter || !topics || !count)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!topics[i].ptr && topics[i].len)
            return -EINVAL;
    pthread_mutex_lock(&registry->lock);
    member = sse_members_has(registry, emitter);
    for (size_t i = 0; member && i < count; i++)
        sse_topics_unsubscribe(&registry->topics, emitter, topics[i]);
    pthread_mutex_unlock(&registry->lock);
    return member ? 0 : -ENOENT;
}

size_t sse_registry_count(struct sse_registry *registry, struct sse_str topic)
{
    const struct topic *found;
    size_t count;

    if (!registry || (!sse_topic_is_absent(topic) && sse_topic_name_check(topic)))
        return 0;
    pthread_mutex_lock(&registry->lock);
    found = topic.ptr ? sse_topics_find(&registry->topics, topic) : NULL;
    count = found ? found->count : 0;
    if (!topic.ptr)
        count = registry->count;
    pthread_mutex_unlock(&registry->lock);
    return count;
}
