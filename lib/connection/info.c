/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "connection/emitter.h"

#include <errno.h>

int64_t sse_emitter_age_ms(const struct sse_emitter *emitter, uint64_t now)
{
    return now > emitter->created ? (int64_t)((now - emitter->created) / NANOSECONDS_PER_MILLISECOND) : 0;
}

int sse_emitter_info(struct sse_emitter *emitter, struct sse_emitter_info *info)
{
    uint64_t now;
    bool waits;
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    if (!info || info->size != sizeof(*info))
        return -EINVAL;
    now = sse_host_now(emitter->host);
    pthread_mutex_lock(&emitter->lock);
    /* After the end, what a reader still looks at is no queue any more. */
    waits = !emitter->finishing;
    *info = (struct sse_emitter_info){
        .size = sizeof(*info),
        .state = (enum sse_state)emitter->state,
        .reason = emitter->state == SSE_STATE_CLOSED ? (enum sse_reason)emitter->reason : SSE_REASON_NONE,
        .error = emitter->state == SSE_STATE_CLOSED ? emitter->error : 0,
        .queued_bytes = waits ? emitter->queue.bytes : 0,
        .queued_messages = waits ? emitter->queue.count : 0,
        .events = emitter->events,
        .bytes = emitter->bytes,
        .dropped = emitter->dropped,
        .age_ms = sse_emitter_age_ms(emitter, now),
    };
    pthread_mutex_unlock(&emitter->lock);
    return 0;
}
