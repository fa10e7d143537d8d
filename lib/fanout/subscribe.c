/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/leave.h"
#include "fanout/joining.h"
#include "fanout/members.h"

static void finish(struct joining *joining)
{
    sse_mark_chain_finish(&joining->chain);
    pthread_mutex_lock(&joining->emitter->lock);
    sse_emitter_leave(joining->emitter, false, joining->now);
}

int sse_registry_subscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                           const struct sse_text *topics, size_t count, struct sse_text last_event_id,
                           struct sse_replay *replay)
{
    struct joining joining = {
        .registry = registry,
        .emitter = emitter,
        .topics = topics,
        .count = count,
        .last_event_id = last_event_id,
    };
    int cancel_state, error = sse_registry_check_both(registry, emitter);

    if (error)
        return error;
    if (!topics || !count)
        return -EINVAL;
    error = sse_joining_check(topics, count, last_event_id);
    if (error)
        return error;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    joining.now = sse_platform_now(registry->platform);
    error = sse_joining_run(&joining);
    if (!error)
        finish(&joining);
    pthread_setcancelstate(cancel_state, NULL);
    if (!error && replay)
        *replay = joining.replay;
    return error;
}

int sse_registry_unsubscribe(struct sse_registry *registry, struct sse_emitter *emitter,
                             const struct sse_text *topics, size_t count)
{
    bool member;
    int error = sse_registry_check_both(registry, emitter);

    if (!error && (!topics || !count))
        error = -EINVAL;
    if (!error)
        error = sse_joining_check(topics, count, (struct sse_text){.ptr = NULL});
    if (error)
        return error;
    pthread_mutex_lock(&registry->lock);
    pthread_mutex_lock(&emitter->lock);
    member = sse_members_has(registry, emitter);
    pthread_mutex_unlock(&emitter->lock);
    if (member)
        sse_topics_unsubscribe(&registry->topics, emitter, topics, count);
    pthread_mutex_unlock(&registry->lock);
    return member ? 0 : -ENOENT;
}
