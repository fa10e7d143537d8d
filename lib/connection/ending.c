/* SPDX-License-Identifier: MIT */
#include "connection/ending.h"
#include "connection/pause.h"
#include "connection/state.h"

#include <errno.h>

static void close_now(struct sse_emitter *emitter, enum sse_reason reason, int error)
{
    emitter->state = SSE_STATE_CLOSED;
    emitter->reason = (unsigned char)reason;
    emitter->error = (int16_t)error;
}

bool sse_emitter_end(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now)
{
    struct transition transition = sse_state_end(sse_emitter_state(emitter), reason);

    if (!transition.taken)
        return false;
    if (transition.next == SSE_STATE_CLOSED) {
        close_now(emitter, reason, error);
        return true;
    }
    emitter->state = SSE_STATE_DRAINING;
    emitter->reason = (unsigned char)reason;
    emitter->error = (int16_t)error;
    sse_timers_begin_drain(&emitter->timers, now);
    /* The client has not received what is queued behind a pause, and asks for it again. */
    if (emitter->paused) {
        sse_emitter_drop_pause(emitter);
        emitter->paused = false;
    }
    return true;
}

bool sse_emitter_end_drain(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->reason != SSE_REASON_SHUTDOWN)
        return sse_emitter_end(emitter, SSE_REASON_DRAIN_TIMEOUT, -ETIMEDOUT, now);
    close_now(emitter, SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    return true;
}

void sse_emitter_continue_draining(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->state != SSE_STATE_DRAINING || emitter->queue.count)
        return;
    if (emitter->queue.chunked && !emitter->last_chunk_queued) {
        emitter->last_chunk_queued = true;
        emitter->timers.progress = now;
        (void)sse_queue_push(&emitter->queue, sse_message_last_chunk(), emitter->platform);
        return;
    }
    emitter->state = SSE_STATE_CLOSED;
}

bool sse_emitter_ended_gracefully(const struct sse_emitter *emitter)
{
    return sse_reason_is_graceful((enum sse_reason)emitter->reason) && !emitter->error;
}

/* Whether calls on an emitter return this error with another meaning. */
static bool is_answer(int error)
{
    const int answers[] = {SSE_ENDED,  -EINVAL,   -EINTR,   -EAGAIN,      -EALREADY, -EPERM,
                           -EDEADLK,   -EMSGSIZE, -ENOBUFS, -ENOMEM,      -EILSEQ,   -ERANGE,
                           -EOVERFLOW, -ENOENT,   -EBADMSG, -ECONNREFUSED};

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        if (error == answers[i])
            return true;
    return false;
}

int sse_emitter_end_error(const struct sse_emitter *emitter)
{
    if (emitter->state == SSE_STATE_OPEN)
        return 0;
    if (emitter->state == SSE_STATE_DRAINING || sse_emitter_ended_gracefully(emitter))
        return SSE_ENDED;
    return is_answer(emitter->error) ? -EIO : emitter->error;
}
