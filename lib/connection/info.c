/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/emitter.h"

int64_t sse_emitter_age_ms(const struct sse_emitter *emitter, uint64_t now)
{
    return now > emitter->created ? (int64_t)((now - emitter->created) / NANOSECONDS_PER_MILLISECOND) : 0;
}

/* Lock held. */
static struct sse_emitter_info info_of(const struct sse_emitter *emitter, uint64_t now)
{
    bool closed = emitter->state == SSE_STATE_CLOSED;
    /* After the end nothing counts as queued, even if a reader still uses bytes that a peek has shown. */
    bool waits = !emitter->finishing;
    const struct pause *started = emitter->paused ? NULL : sse_emitter_pause(emitter);

    return (struct sse_emitter_info){
        .state = sse_emitter_state(emitter),
        .reason = closed ? (enum sse_reason)emitter->reason : SSE_REASON_NONE,
        .error = closed ? emitter->error : 0,
        .paused = emitter->paused && !closed,
        .queued_bytes = waits ? emitter->queue.bytes + (started ? started->later.bytes : 0) : 0,
        .queued_messages = waits ? emitter->queue.count + (started ? started->later.count : 0) : 0,
        .events = emitter->events,
        .bytes = emitter->bytes,
        .dropped = emitter->dropped,
        .age_ms = sse_emitter_age_ms(emitter, now),
    };
}

int sse_emitter_get_info(struct sse_emitter *emitter, struct sse_emitter_info *info, size_t size)
{
    struct sse_emitter_info present;
    uint64_t now;
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    if (!info || !size)
        return -EINVAL;
    now = sse_platform_now(emitter->platform);
    pthread_mutex_lock(&emitter->lock);
    present = info_of(emitter, now);
    pthread_mutex_unlock(&emitter->lock);
    /* A newer program has a larger struct. This version sets the members that it does not know to zero. */
    if (size > sizeof(present))
        memset((char *)info + sizeof(present), 0, size - sizeof(present));
    memcpy(info, &present, size < sizeof(present) ? size : sizeof(present));
    return 0;
}

const char *sse_reason_name(enum sse_reason reason)
{
    static const char *const names[] = {
        [SSE_REASON_NONE] = "not ended",
        [SSE_REASON_COMPLETED] = "completed",
        [SSE_REASON_LIFETIME] = "lifetime over",
        [SSE_REASON_STALLED] = "stalled",
        [SSE_REASON_DRAIN_TIMEOUT] = "draining took too long",
        [SSE_REASON_DISCONNECTED] = "client disconnected",
        [SSE_REASON_OUTPUT_ERROR] = "output error",
        [SSE_REASON_OVERFLOW] = "queue overflow",
        [SSE_REASON_ABORTED] = "aborted",
        [SSE_REASON_CLOSED] = "closed",
        [SSE_REASON_SHUTDOWN] = "shutdown",
        [SSE_REASON_NOT_STARTED] = "not started in time",
        [SSE_REASON_EVICTED] = "evicted for a newer one",
    };

    return (size_t)reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown";
}
