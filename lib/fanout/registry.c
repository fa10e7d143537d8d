/* SPDX-License-Identifier: MIT */
#include "fanout/registry.h"

#include <errno.h>

/* Its state no longer changes. Lock held. */
static void count_end(struct sse_registry *registry, struct sse_emitter *emitter, size_t bytes_left)
{
    struct shutdown *shutdown = &registry->shutdown;

    pthread_mutex_lock(&emitter->lock);
    registry->counts.closed[emitter->reason]++;
    if (shutdown->begun && sse_emitter_ended_gracefully(emitter)) {
        shutdown->completed++;
    } else if (shutdown->begun) {
        shutdown->cut++;
        shutdown->bytes_left += bytes_left;
    }
    pthread_mutex_unlock(&emitter->lock);
}

/* A loop may wait for the report, whose last change another thread has made. */
static void tell_that_none_remains(struct sse_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    if (registry->shutdown.begun && !registry->count)
        sse_registry_wake(registry);
    pthread_mutex_unlock(&registry->lock);
}

static void forget(struct emitter_owner *owner, struct sse_emitter *emitter, size_t bytes_left)
{
    struct sse_registry *registry = (struct sse_registry *)(void *)owner;
    bool member;

    pthread_mutex_lock(&registry->lock);
    member = sse_members_has(registry, emitter);
    if (member) {
        sse_members_take(registry, emitter);
        count_end(registry, emitter, bytes_left);
    }
    pthread_mutex_unlock(&registry->lock);
    if (member)
        sse_registry_trace(registry, emitter, SSE_TRACE_ENDED);
    if (member)
        tell_that_none_remains(registry);
    sse_members_give_back(registry, emitter, member, false);
}

static int copy_gap_type(struct sse_registry *registry, struct sse_str type)
{
    const struct sse_event example = {.type = type, .data = sse_str("")};
    ssize_t size = sse_event_encode(&example, NULL, 0);

    if (size < 0)
        return (int)size;
    if (!type.len)
        return 0;
    registry->gap_type = sse_host_allocate(registry->host, type.len);
    if (!registry->gap_type)
        return -ENOMEM;
    memcpy(registry->gap_type, type.ptr, type.len);
    registry->gap_type_size = type.len;
    return 0;
}

int sse_registry_new(struct sse_registry **registry, const struct sse_registry_options *options)
{
    static const struct sse_registry_options defaults = {.size = sizeof(defaults)};
    struct sse_registry *made;
    int error;

    if (!options)
        options = &defaults;
    if (!registry || options->size != sizeof(*options) || !sse_host_is_valid(options->host) ||
        (unsigned)options->admission > SSE_ADMISSION_NEWEST)
        return -EINVAL;
    made = sse_host_allocate(options->host, sizeof(*made));
    if (!made)
        return -ENOMEM;
    *made = (struct sse_registry){
        .owner = {.hold = sse_owner_hold,
                  .release = sse_owner_release,
                  .notice = sse_registry_notice,
                  .forget = forget,
                  .relieve = sse_budget_relieve,
                  .backlog_max = options->backlog_bytes ? options->backlog_bytes : SIZE_MAX},
        .host = options->host,
        .process = getpid(),
        .emitters_max = options->emitters_max ? options->emitters_max : SIZE_MAX,
        .topic_emitters_max = options->topic_emitters_max ? options->topic_emitters_max : SIZE_MAX,
        .admission = options->admission,
        .on_gap = options->on_gap,
        .on_trace = options->on_trace,
        .on_wake = options->on_wake,
        .user = options->user,
        .wake_user = options->user,
        .announced = DEADLINE_NEVER,
    };
    atomic_init(&made->refs, 1);
    atomic_init(&made->holds, 1);
    sse_cork_init(&made->cork);
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
    error = sse_archive_init(&made->archive, options, &made->topics);
    if (!error)
        error = copy_gap_type(made, options->gap_type);
    if (!error && !(made->broadcasts = sse_topic_new_kept(&made->topics)))
        error = -ENOMEM;
    if (error)
        sse_owner_release(&made->owner);
    else
        *registry = made;
    return error;
}

int sse_registry_check(const struct sse_registry *registry)
{
    if (!registry)
        return -EINVAL;
    return process_is_current(registry->process) ? 0 : -EPERM;
}

int sse_registry_check_both(const struct sse_registry *registry, const struct sse_emitter *emitter)
{
    int error = sse_registry_check(registry);

    return error ? error : sse_emitter_check(emitter);
}

struct sse_registry *sse_registry_ref(struct sse_registry *registry)
{
    if (registry)
        atomic_fetch_add_explicit(&registry->refs, 1, memory_order_relaxed);
    return registry;
}

/* No other thread is inside on_wake any more. Lock held; let go meanwhile. */
static void wait_for_wake(struct sse_registry *registry)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    while (registry->waking && !pthread_equal(registry->waking_thread, pthread_self()))
        pthread_cond_wait(&registry->wake_done, &registry->lock);
    pthread_setcancelstate(cancel_state, NULL);
}

static void give_back_ready(struct sse_registry *registry)
{
    struct sse_emitter *emitter;

    do {
        pthread_mutex_lock(&registry->lock);
        emitter = registry->on_wake ? NULL : registry->first_ready;
        if (emitter)
            (void)sse_ready_remove(registry, emitter);
        pthread_mutex_unlock(&registry->lock);
        sse_emitter_unref(emitter);
    } while (emitter);
}

int sse_registry_set_wake(struct sse_registry *registry,
                          void (*on_wake)(struct sse_registry *registry, void *user), void *user)
{
    int error = sse_registry_check(registry);

    if (error)
        return error;
    /* on_wake may give back the reference that the caller came with. */
    sse_owner_hold(&registry->owner);
    pthread_mutex_lock(&registry->lock);
    registry->on_wake = NULL;
    wait_for_wake(registry);
    registry->on_wake = on_wake;
    registry->wake_user = user;
    if (registry->first_ready)
        sse_registry_wake(registry);
    pthread_mutex_unlock(&registry->lock);
    give_back_ready(registry);
    sse_owner_release(&registry->owner);
    return 0;
}

bool sse_registry_has(struct sse_registry *registry, struct sse_emitter *emitter)
{
    bool has;

    if (sse_registry_check_both(registry, emitter))
        return false;
    pthread_mutex_lock(&registry->lock);
    has = sse_members_has(registry, emitter);
    pthread_mutex_unlock(&registry->lock);
    return has;
}

/* Takes out every emitter that the registry holds. */
static void let_go(struct sse_registry *registry)
{
    struct sse_emitter *emitter;
    bool member, ready;

    for (;;) {
        pthread_mutex_lock(&registry->lock);
        member = registry->count > 0;
        emitter = member ? sse_members_at(registry, registry->count - 1) : registry->first_ready;
        ready = emitter && sse_ready_remove(registry, emitter);
        if (member)
            sse_members_take(registry, emitter);
        pthread_mutex_unlock(&registry->lock);
        if (!emitter)
            return;
        sse_members_give_back(registry, emitter, member, ready);
    }
}

/* In a forked child: whether another thread was inside the registry or one of its emitters. */
static bool was_left_locked(struct sse_registry *registry)
{
    bool locked = process_left_locked(&registry->lock);

    for (size_t i = 0; !locked && i < registry->count; i++)
        locked = process_left_locked(&sse_members_at(registry, i)->lock);
    return locked;
}

/* What is held is the parent's to write. */
static void give_back_held(struct sse_registry *registry)
{
    struct roster *roster = sse_cork_take(&registry->cork);

    while (roster) {
        struct roster *next = roster->next;

        sse_roster_give_back(registry, roster);
        roster = next;
    }
}

static void unref_in_child(struct sse_registry *registry)
{
    if (atomic_fetch_sub_explicit(&registry->refs, 1, memory_order_acq_rel) != 1 || was_left_locked(registry))
        return;
    give_back_held(registry);
    let_go(registry);
    sse_owner_release(&registry->owner);
}

void sse_registry_unref(struct sse_registry *registry)
{
    uint64_t now;

    if (sse_registry_check(registry) == -EPERM) {
        unref_in_child(registry);
        return;
    }
    if (!registry || atomic_fetch_sub_explicit(&registry->refs, 1, memory_order_acq_rel) != 1)
        return;
    now = sse_host_now(registry->host);
    pthread_mutex_lock(&registry->lock);
    registry->closed = true;
    wait_for_wake(registry);
    sse_registry_write_held(registry, now);
    pthread_mutex_unlock(&registry->lock);
    let_go(registry);
    sse_owner_release(&registry->owner);
}

int sse_registry_remove(struct sse_registry *registry, struct sse_emitter *emitter)
{
    bool member, ready = false, held = false;
    int error = sse_registry_check_both(registry, emitter);

    if (error)
        return error;
    pthread_mutex_lock(&registry->lock);
    member = sse_members_has(registry, emitter);
    if (member) {
        held = sse_cork_remove(&registry->cork, emitter);
        /* Once it is no member any more, another registry may use the link. */
        ready = sse_ready_remove(registry, emitter);
        sse_members_take(registry, emitter);
    }
    pthread_mutex_unlock(&registry->lock);
    if (held) {
        (void)sse_emitter_service(emitter, sse_host_now(registry->host));
        sse_emitter_give_back(emitter);
    }
    if (member)
        sse_registry_trace(registry, emitter, SSE_TRACE_REMOVED);
    sse_members_give_back(registry, emitter, member, ready);
    return member ? 0 : -ENOENT;
}

int sse_registry_unsubscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                             const struct sse_str *topics, size_t count)
{
    bool member;
    int error = sse_registry_check_both(registry, emitter);

    if (error)
        return error;
    if (!topics || !count)
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

    if (sse_registry_check(registry) || (!sse_topic_is_absent(topic) && sse_topic_name_check(topic)))
        return 0;
    pthread_mutex_lock(&registry->lock);
    found = topic.ptr ? sse_topics_find(&registry->topics, topic) : NULL;
    count = found ? found->count : 0;
    if (!topic.ptr)
        count = registry->count;
    pthread_mutex_unlock(&registry->lock);
    return count;
}
