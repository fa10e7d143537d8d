/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/ending.h"
#include "fanout/members.h"

int sse_registry_complete(struct sse_registry *registry, struct sse_text topic)
{
    struct mark_chain chain = {.to_wake = NULL};
    struct audience audience;
    int error = sse_registry_check(registry);
    uint64_t now;

    if (!error)
        error = sse_audience_check(topic);
    if (error)
        return error;
    now = sse_platform_now(registry->platform);
    pthread_mutex_lock(&registry->lock);
    audience = sse_audience_find(registry, topic);
    for (uint32_t i = 0, count = sse_audience_count(&audience); i < count; i++) {
        struct sse_emitter *emitter = sse_audience_at(&audience, i);

        pthread_mutex_lock(&emitter->lock);
        if (sse_emitter_end(emitter, SSE_REASON_COMPLETED, 0, now))
            sse_members_notify(emitter, &chain);
        pthread_mutex_unlock(&emitter->lock);
    }
    pthread_mutex_unlock(&registry->lock);
    sse_mark_chain_finish(&chain);
    return 0;
}

/* Makes a list of the emitters that are there, with a reference to each. False if there is no memory. */
static bool list(struct sse_registry *registry, struct sse_text topic, struct sse_emitter ***emitters,
                 uint32_t *count)
{
    struct audience audience;

    pthread_mutex_lock(&registry->lock);
    audience = sse_audience_find(registry, topic);
    *count = sse_audience_count(&audience);
    *emitters = sse_platform_allocate(registry->platform, ((size_t)*count + 1) * sizeof(**emitters));
    for (uint32_t i = 0; *emitters && i < *count; i++) {
        (*emitters)[i] = sse_audience_at(&audience, i);
        sse_emitter_keep((*emitters)[i]);
    }
    pthread_mutex_unlock(&registry->lock);
    return *emitters;
}

int sse_registry_each(struct sse_registry *registry, struct sse_text topic,
                      int (*visit)(struct sse_emitter *emitter, void *user), void *user)
{
    struct sse_emitter **emitters;
    uint32_t count;
    int cancel_state, result = sse_registry_check(registry);

    if (!result)
        result = visit ? sse_audience_check(topic) : -EINVAL;
    if (!result && !list(registry, topic, &emitters, &count))
        result = -ENOMEM;
    if (result)
        return result;
    /* The visitor may release the caller's reference. */
    registry->group.ref(&registry->group);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    for (uint32_t i = 0; i < count; i++) {
        if (!result)
            result = visit(emitters[i], user);
        sse_emitter_let_go(emitters[i]);
    }
    sse_platform_deallocate(registry->platform, emitters);
    pthread_setcancelstate(cancel_state, NULL);
    registry->group.unref(&registry->group);
    return result;
}

size_t sse_registry_count(struct sse_registry *registry, struct sse_text topic)
{
    struct audience audience;
    size_t count;

    if (sse_registry_check(registry) || sse_audience_check(topic))
        return 0;
    pthread_mutex_lock(&registry->lock);
    audience = sse_audience_find(registry, topic);
    count = sse_audience_count(&audience);
    pthread_mutex_unlock(&registry->lock);
    return count;
}
