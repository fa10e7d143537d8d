/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"
#include "connection/state.h"

#include <errno.h>

static void close_now(struct sse_emitter *emitter, enum sse_reason reason, int error)
{
    emitter->state = SSE_STATE_CLOSED;
    emitter->reason = reason;
    emitter->error = error;
    emitter->notable = true;
}

bool sse_emitter_end(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now)
{
    struct transition transition = sse_state_end(emitter->state, reason);

    if (!transition.taken)
        return false;
    if (transition.next == SSE_STATE_DRAINING) {
        emitter->state = SSE_STATE_DRAINING;
        emitter->ending = reason;
        emitter->error = error;
        emitter->timers.drain_end = deadline_after(now, emitter->timers.drain);
    } else {
        close_now(emitter, reason, error);
    }
    return true;
}

bool sse_emitter_end_drain(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->ending != SSE_REASON_SHUTDOWN)
        return sse_emitter_end(emitter, SSE_REASON_DRAIN, -ETIMEDOUT, now);
    close_now(emitter, SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    return true;
}

bool sse_emitter_ended_gracefully(const struct sse_emitter *emitter)
{
    if (emitter->reason == SSE_REASON_SHUTDOWN)
        return !emitter->error;
    return sse_reason_is_graceful(emitter->reason);
}

int sse_emitter_end_error(const struct sse_emitter *emitter)
{
    switch (emitter->state) {
    case SSE_STATE_OPEN:
        return 0;
    case SSE_STATE_DRAINING:
        return -ESHUTDOWN;
    case SSE_STATE_CLOSED:
        break;
    }
    return sse_emitter_ended_gracefully(emitter) ? -ESHUTDOWN : emitter->error;
}

static struct sse_completion completion_of(const struct sse_emitter *emitter, uint64_t now)
{
    const struct last_id *id = &emitter->last_id;
    struct sse_completion completion = {
        .size = sizeof(completion),
        .reason = emitter->reason,
        .error = emitter->error,
        .events = emitter->events,
        .bytes = emitter->bytes,
        .dropped = emitter->dropped,
        .age_ms = sse_emitter_age_ms(emitter, now),
    };

    if (id->present && id->holder)
        completion.last_event_id = id->held;
    else if (id->present)
        completion.last_event_id = (struct sse_str){.ptr = id->text, .len = id->size};
    return completion;
}

/* Of a batch that was torn the client has the events before the tear; of a chunk it may have none. */
static unsigned count_torn_batch(struct sse_emitter *emitter)
{
    struct sse_message *message = sse_queue_first(&emitter->queue);
    struct sse_str id = {.ptr = NULL};
    unsigned events;

    if (!message || !emitter->queue.taken || emitter->queue.chunked || message->events < 2)
        return 0;
    events = sse_message_events_within(message, emitter->queue.taken, &id);
    emitter->events += events;
    if (emitter->owner)
        atomic_fetch_add_explicit(&emitter->owner->tally.events, events, memory_order_relaxed);
    if (id.ptr)
        sse_emitter_remember_id(emitter, message, id);
    return events;
}

void sse_emitter_drop_queue(struct sse_emitter *emitter)
{
    unsigned arrived = count_torn_batch(emitter);

    sse_emitter_count_dropped(emitter, sse_queue_events(&emitter->queue) - arrived);
    emitter->bytes_left = emitter->queue.bytes;
    if (!emitter->shown)
        sse_queue_clear(&emitter->queue, emitter->host);
}

void sse_emitter_run_end_hooks(struct sse_emitter *emitter, struct emitter_owner *owner, uint64_t now)
{
    const struct emitter_hooks *hooks = &emitter->hooks;
    struct sse_completion completion;

    pthread_mutex_lock(&emitter->lock);
    completion = completion_of(emitter, now);
    pthread_mutex_unlock(&emitter->lock);

    if (owner)
        owner->forget(owner, emitter);
    if (sse_reason_is_timeout(completion.reason) && hooks->on_timeout)
        hooks->on_timeout(emitter, completion.reason, hooks->user);
    if (sse_reason_is_error(completion.reason) && hooks->on_error)
        hooks->on_error(emitter, completion.error, hooks->user);
    if (hooks->on_completion)
        hooks->on_completion(emitter, &completion, hooks->user);
}
