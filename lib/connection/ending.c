/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"
#include "connection/state.h"

#include <errno.h>

static void close_now(struct sse_emitter *emitter, enum sse_reason reason, int error)
{
    emitter->state = SSE_STATE_CLOSED;
    emitter->reason = (unsigned char)reason;
    emitter->error = (int16_t)error;
    emitter->notable = true;
}

bool sse_emitter_end(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now)
{
    struct transition transition = sse_state_end((enum sse_state)emitter->state, reason);

    if (!transition.taken)
        return false;
    if (transition.next == SSE_STATE_DRAINING) {
        emitter->state = SSE_STATE_DRAINING;
        emitter->reason = (unsigned char)reason;
        emitter->error = (int16_t)error;
        sse_timers_begin_drain(&emitter->timers, now);
    } else {
        close_now(emitter, reason, error);
    }
    return true;
}

bool sse_emitter_end_drain(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->reason != SSE_REASON_SHUTDOWN)
        return sse_emitter_end(emitter, SSE_REASON_DRAIN, -ETIMEDOUT, now);
    close_now(emitter, SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    return true;
}

bool sse_emitter_ended_gracefully(const struct sse_emitter *emitter)
{
    if (emitter->reason == SSE_REASON_SHUTDOWN)
        return !emitter->error;
    return sse_reason_is_graceful((enum sse_reason)emitter->reason);
}

int sse_emitter_end_error(const struct sse_emitter *emitter)
{
    if (emitter->state == SSE_STATE_OPEN)
        return 0;
    if (emitter->state == SSE_STATE_DRAINING)
        return -ESHUTDOWN;
    return sse_emitter_ended_gracefully(emitter) ? -ESHUTDOWN : emitter->error;
}

static struct sse_completion completion_of(const struct sse_emitter *emitter,
                                           const struct emitter_remains *remains, uint64_t now)
{
    return (struct sse_completion){
        .size = sizeof(struct sse_completion),
        .reason = (enum sse_reason)emitter->reason,
        .error = emitter->error,
        .last_event_id = remains->torn_id.ptr ? remains->torn_id : sse_last_id_get(&emitter->last_id),
        .events = emitter->events,
        .bytes = emitter->bytes,
        .dropped = emitter->dropped,
        .age_ms = sse_emitter_age_ms(emitter, now),
    };
}

/* Of a batch that was torn the client has the events before the tear; of a chunk it may have none. */
static unsigned count_torn_batch(struct sse_emitter *emitter, struct emitter_remains *remains)
{
    struct sse_message *message = sse_queue_first(&emitter->queue);
    unsigned events;

    if (!message || !emitter->queue.taken || emitter->queue.chunked || message->events < 2)
        return 0;
    events = sse_message_events_within(message, emitter->queue.taken, &remains->torn_id);
    remains->torn = sse_message_ref(message);
    emitter->events += events;
    if (emitter->owner)
        atomic_fetch_add_explicit(&emitter->owner->tally.events, events, memory_order_relaxed);
    return events;
}

struct emitter_remains sse_emitter_drop_queue(struct sse_emitter *emitter)
{
    struct emitter_remains remains = {.bytes = emitter->queue.bytes};
    unsigned arrived = count_torn_batch(emitter, &remains);

    sse_emitter_count_dropped(emitter, sse_queue_events(&emitter->queue) - arrived);
    if (emitter->sink_kind != SINK_PULL || !emitter->sink.shown)
        sse_queue_clear(&emitter->queue, emitter->host);
    return remains;
}

void sse_emitter_run_end_hooks(struct sse_emitter *emitter, struct emitter_owner *owner,
                               const struct emitter_remains *remains, uint64_t now)
{
    const union emitter_hook *timed_out = sse_emitter_hook(emitter, HOOK_TIMEOUT);
    const union emitter_hook *failed = sse_emitter_hook(emitter, HOOK_ERROR);
    const union emitter_hook *completed = sse_emitter_hook(emitter, HOOK_COMPLETION);
    struct sse_completion completion;

    pthread_mutex_lock(&emitter->lock);
    completion = completion_of(emitter, remains, now);
    pthread_mutex_unlock(&emitter->lock);

    if (owner)
        owner->forget(owner, emitter, remains->bytes);
    if (timed_out && sse_reason_is_timeout(completion.reason))
        timed_out->on_timeout(emitter, completion.reason, emitter->sink.user);
    if (failed && sse_reason_is_error(completion.reason))
        failed->on_error(emitter, completion.error, emitter->sink.user);
    if (completed)
        completed->on_completion(emitter, &completion, emitter->sink.user);
    sse_message_unref(remains->torn);
}
