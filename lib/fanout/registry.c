/* SPDX-License-Identifier: MIT */
#include "fanout/registry.h"
#include "base/condition.h"
#include "base/options.h"
#include "fanout/budget.h"
#include "fanout/members.h"

/* The oldest version of the options that is accepted: 0.2. */
#define OPTIONS_SIZE_OLDEST OPTIONS_SIZE_TO(struct sse_registry_options, admission)

static void keep(struct emitter_group *group)
{
    atomic_fetch_add_explicit(&sse_registry_of(group)->refs, 1, memory_order_relaxed);
}

static void free_parts(struct sse_registry *registry)
{
    sse_archive_free(&registry->archive);
    sse_topics_free(&registry->topics);
    sse_platform_deallocate(registry->platform, registry->everyone);
    sse_platform_deallocate(registry->platform, registry->gap_type);
    sse_array_free(&registry->members, registry->platform);
}

/* If another thread had the lock at a fork, the registry stays allocated in the child. */
static void release(struct emitter_group *group)
{
    struct sse_registry *registry = sse_registry_of(group);

    if (atomic_fetch_sub_explicit(&registry->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (!process_is_current(registry->process) && process_left_locked(&registry->lock))
        return;
    /* The lock makes visible what other threads did before they released their references. */
    pthread_mutex_lock(&registry->lock);
    free_parts(registry);
    pthread_mutex_unlock(&registry->lock);
    /* In a forked child this could wait for ever, for a thread of the parent that was waiting at the fork. */
    if (process_is_current(registry->process))
        pthread_cond_destroy(&registry->none_remain);
    pthread_mutex_destroy(&registry->lock);
    sse_platform_deallocate(registry->platform, registry);
}

static void forget(struct emitter_group *group, struct sse_emitter *emitter, uint64_t now)
{
    struct sse_registry *registry = sse_registry_of(group);

    (void)now;
    if (!process_is_current(registry->process) && process_left_locked(&registry->lock))
        return;
    pthread_mutex_lock(&registry->lock);
    pthread_mutex_lock(&emitter->lock);
    sse_members_forget(registry, emitter);
    pthread_mutex_unlock(&emitter->lock);
    pthread_mutex_unlock(&registry->lock);
}

static void done(struct emitter_group *group)
{
    struct sse_registry *registry = sse_registry_of(group);

    if (!process_is_current(registry->process))
        return;
    pthread_mutex_lock(&registry->lock);
    if (!--registry->remaining)
        pthread_cond_broadcast(&registry->none_remain);
    pthread_mutex_unlock(&registry->lock);
}

static void relieve(struct emitter_group *group, uint64_t now)
{
    sse_budget_enforce(sse_registry_of(group), now);
}

static int copy_gap_type(struct sse_registry *registry, struct sse_text type)
{
    const struct sse_event example = {.type = type, .data = sse_str("")};
    ssize_t size = sse_event_encode(&example, NULL, 0);

    if (size < 0)
        return (int)size;
    if (!type.len)
        return 0;
    registry->gap_type = sse_platform_allocate(registry->platform, type.len);
    if (!registry->gap_type)
        return -ENOMEM;
    memcpy(registry->gap_type, type.ptr, type.len);
    registry->gap_type_size = type.len;
    return 0;
}

static int init_locks(struct sse_registry *registry)
{
    if (pthread_mutex_init(&registry->lock, NULL))
        return -ENOMEM;
    if (!sse_condition_init_monotonic(&registry->none_remain))
        return 0;
    pthread_mutex_destroy(&registry->lock);
    return -ENOMEM;
}

static size_t limit_or_none(size_t limit)
{
    return limit ? limit : SIZE_MAX;
}

static int init(struct sse_registry *registry, const struct sse_registry_options *options)
{
    int error;

    *registry = (struct sse_registry){
        .group = {.ref = keep,
                  .unref = release,
                  .forget = forget,
                  .done = done,
                  .relieve = relieve,
                  .backlog_max = limit_or_none(options->backlog_bytes)},
        .platform = options->platform,
        .process = process_current(),
        .emitters_max = limit_or_none(options->emitters_max),
        .topic_emitters_max = limit_or_none(options->topic_emitters_max),
        .admission = options->admission,
    };
    atomic_init(&registry->refs, 1);
    sse_topics_init(&registry->topics, options->platform);
    error = sse_archive_init(&registry->archive, options, &registry->topics);
    if (!error)
        error = copy_gap_type(registry, options->gap_type);
    if (!error && !(registry->everyone = sse_topic_new_kept(&registry->topics)))
        error = -ENOMEM;
    if (!error)
        error = init_locks(registry);
    if (error)
        free_parts(registry);
    return error;
}

static int make(struct sse_registry **registry, const struct sse_registry_options *options)
{
    struct sse_registry *made;
    int error = sse_process_watch();

    if (error)
        return error;
    made = sse_platform_allocate(options->platform, sizeof(*made));
    if (!made)
        return -ENOMEM;
    error = init(made, options);
    if (error)
        sse_platform_deallocate(options->platform, made);
    else
        *registry = made;
    return error;
}

int sse_registry_new(struct sse_registry **registry, const struct sse_registry_options *options)
{
    struct sse_registry_options known = {.size = sizeof(known)};
    int cancel_state, error;

    if (!registry ||
        (options && !sse_options_copy(&known, sizeof(known), options, options->size, OPTIONS_SIZE_OLDEST)) ||
        !sse_platform_is_valid(known.platform) || (unsigned)known.admission > SSE_ADMISSION_EVICT_OLDEST)
        return -EINVAL;
    /* Making a registry may read random bits from a file, which is a cancellation point. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    error = make(registry, &known);
    pthread_setcancelstate(cancel_state, NULL);
    return error;
}

struct sse_registry *sse_registry_ref(struct sse_registry *registry)
{
    if (registry)
        keep(&registry->group);
    return registry;
}

void sse_registry_unref(struct sse_registry *registry)
{
    if (registry)
        release(&registry->group);
}
