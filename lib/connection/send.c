/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "connection/single.h"

#include <errno.h>

void sse_emitter_count_dropped(struct sse_emitter *emitter, uint64_t events)
{
    emitter->dropped += events;
    if (emitter->owner)
        atomic_fetch_add_explicit(&emitter->owner->tally.dropped, events, memory_order_relaxed);
}

int sse_emitter_enqueue_unlimited(struct sse_emitter *emitter, struct sse_message *message, uint64_t now)
{
    bool was_empty = !emitter->queue.count;
    int error = sse_emitter_end_error(emitter);

    if (!error)
        error = sse_queue_push(&emitter->queue, message, emitter->host);
    if (!error && was_empty)
        emitter->timers.progress = now;
    return error;
}

/* Makes room as the policy has it: what it drops now was accepted before. `error`: what the queue says to the
 * message; returns what it says then. */
static int make_room(struct sse_emitter *emitter, const struct sse_message *message, int error)
{
    struct queue *queue = &emitter->queue;

    if (emitter->overflow == SSE_OVERFLOW_COALESCE && message->key.ptr)
        sse_emitter_count_dropped(emitter, sse_queue_drop_key(queue, message->key, emitter->host));
    else if (emitter->overflow == SSE_OVERFLOW_DROP_OLDEST && error)
        sse_emitter_count_dropped(emitter, sse_queue_drop_oldest(queue, message, emitter->host));
    return error ? sse_queue_admits(queue, message) : 0;
}

/* Behind others, or refused. `beyond`: it may be the one too many. */
static int accept_behind(struct sse_emitter *emitter, struct sse_message *message, bool beyond, uint64_t now)
{
    struct queue *queue = &emitter->queue;
    bool waiting = queue->count > 0;
    int error = sse_queue_admits(queue, message);

    if (emitter->state != SSE_STATE_OPEN)
        return sse_emitter_end_error(emitter);
    if (beyond && error == -ENOBUFS)
        error = 0;
    /* What is too large has no place whatever is dropped for it. */
    if (error != -EMSGSIZE)
        error = make_room(emitter, message, error);
    if (!error)
        error = sse_queue_push(queue, message, emitter->host);
    /* What was dropped to make room has not left. */
    if (!error && !waiting)
        emitter->timers.progress = now;
    return error;
}

/* 0, or why the message is not accepted. */
static int accept(struct sse_emitter *emitter, struct sse_message *message, uint64_t now)
{
    return sse_emitter_accept_first(emitter, message, now) ? 0 : accept_behind(emitter, message, false, now);
}

/* Whether a full queue costs the event, and not the emitter. */
static bool overflow_drops(const struct sse_emitter *emitter)
{
    return emitter->overflow == SSE_OVERFLOW_DROP_NEWEST || emitter->overflow == SSE_OVERFLOW_DROP_OLDEST;
}

/* What becomes of a message that was not accepted. */
static enum admission refuse(struct sse_emitter *emitter, const struct sse_message *message, int error,
                             uint64_t now)
{
    if (emitter->state != SSE_STATE_OPEN)
        return ADMISSION_CLOSED;
    if (overflow_drops(emitter)) {
        sse_emitter_count_dropped(emitter, message->events);
        return ADMISSION_DROPPED;
    }
    /* A subscriber that cannot have the event must not go on as if it had. */
    (void)sse_emitter_end(emitter, SSE_REASON_OVERFLOW, error, now);
    return ADMISSION_ENDED;
}

enum admission sse_emitter_enqueue_behind(struct sse_emitter *emitter, struct sse_message *message,
                                          uint64_t now)
{
    int error = accept_behind(emitter, message, false, now);

    return error ? refuse(emitter, message, error, now) : ADMISSION_QUEUED;
}

/* What only a hold keeps in the queue would have left: it makes nothing overflow, for the owner writes
 * when it holds too much. A reader would have come for it if it waits to be told. Lock held. */
static bool waits_for_owner(const struct sse_emitter *emitter)
{
    const struct queue *queue = &emitter->queue;

    if (emitter->sink_kind == SINK_PULL && !emitter->armed && !emitter->waiters)
        return false;
    return !emitter->blocked && queue->bytes <= queue->bytes_max && queue->count <= queue->count_max;
}

enum admission sse_emitter_enqueue_held(struct sse_emitter *emitter, struct sse_message *message,
                                        uint64_t now, bool held)
{
    enum admission admission = ADMISSION_QUEUED;
    int error = 0;

    pthread_mutex_lock(&emitter->lock);
    if (!sse_emitter_accept_first(emitter, message, now))
        error = accept_behind(emitter, message, held && waits_for_owner(emitter), now);
    if (error)
        admission = refuse(emitter, message, error, now);
    pthread_mutex_unlock(&emitter->lock);
    return admission;
}

struct emitter_outcome sse_emitter_service(struct sse_emitter *emitter, uint64_t now)
{
    pthread_mutex_lock(&emitter->lock);
    return sse_emitter_leave(emitter, now);
}

/* The owner, held, if all queues together hold too much before this one is written. Lock held. */
static struct emitter_owner *hold_burdened_owner(struct sse_emitter *emitter)
{
    struct emitter_owner *owner = emitter->owner;

    sse_emitter_account(emitter);
    if (!owner || atomic_load_explicit(&owner->tally.backlog, memory_order_relaxed) <= owner->backlog_max)
        return NULL;
    owner->hold(owner);
    return owner;
}

/* sse_emitter_settle for what has been queued for this emitter alone. */
static struct emitter_outcome settle_after_send(struct sse_emitter *emitter, uint64_t now)
{
    struct emitter_owner *owner = hold_burdened_owner(emitter);
    struct emitter_outcome outcome = sse_emitter_settle(emitter, now, NULL);

    if (owner) {
        owner->relieve(owner, now);
        owner->release(owner);
    }
    return outcome;
}

/* What waits neither for its sink nor for its reader, but for a hold's release, leaves first if it takes the
 * room of this one. Lock held; let go meanwhile. */
static void make_way(struct sse_emitter *emitter, const struct sse_message *message, uint64_t now)
{
    if (sse_queue_admits(&emitter->queue, message) != -ENOBUFS)
        return;
    if (!emitter->busy && !emitter->blocked && emitter->sink_kind != SINK_PULL)
        sse_emitter_output(emitter, now);
}

static int send_at(struct sse_emitter *emitter, struct sse_message *message, uint64_t now)
{
    struct emitter_outcome outcome;
    int cancel_state;
    bool open;
    int error;

    /* A hook may give back the reference that the caller came with. */
    sse_emitter_ref(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&emitter->lock);
    make_way(emitter, message, now);
    open = emitter->state == SSE_STATE_OPEN;
    error = accept(emitter, message, now);
    if (open && error == -ENOBUFS && overflow_drops(emitter))
        sse_emitter_count_dropped(emitter, message->events);
    else if (error == -ENOBUFS)
        (void)sse_emitter_end(emitter, SSE_REASON_OVERFLOW, error, now);
    outcome = settle_after_send(emitter, now);
    pthread_setcancelstate(cancel_state, NULL);
    sse_emitter_give_back(emitter);
    return error ? error : outcome.error;
}

int sse_emitter_send_message(struct sse_emitter *emitter, struct sse_message *message)
{
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    if (!message)
        return -EINVAL;
    return send_at(emitter, message, sse_host_now(emitter->host));
}

/* Whether a message on the stack may go straight to the sink: nothing is before it, nobody else is
 * there, and its id need not be kept with it. Of one that has ended, hooks may be looking at the last id. */
static bool may_go_directly(struct sse_emitter *emitter, const struct small_message *small)
{
    return emitter->state == SSE_STATE_OPEN && emitter->sink_kind != SINK_PULL && !emitter->busy &&
           !emitter->queue.count && !emitter->queue.ringed &&
           (!small->message.has_id ||
            sse_last_id_reserve(&emitter->last_id, small->message.id_size, emitter->host));
}

/* What the sink did not take of a message on the stack moves to the heap. */
static int keep_rest(struct sse_emitter *emitter, const struct small_message *small, uint64_t now)
{
    struct sse_message *copy = NULL;
    bool closed = emitter->state == SSE_STATE_CLOSED;

    if (sse_queue_first(&emitter->queue) != &small->message)
        return 0;
    if (!closed)
        copy = sse_message_copy(&small->message, emitter->host);
    if (copy) {
        sse_queue_replace_first(&emitter->queue, copy);
        return 0;
    }
    /* Half an event cannot be taken back: only then does a lack of memory end the emitter. */
    if (emitter->queue.taken)
        (void)sse_emitter_end(emitter, SSE_REASON_OVERFLOW, -ENOMEM, now);
    if (emitter->state == SSE_STATE_CLOSED)
        sse_emitter_count_dropped(emitter, 1);
    sse_queue_drop_first(&emitter->queue, emitter->host);
    return closed ? 0 : -ENOMEM;
}

/* The message is alone in the queue, and nobody else is there. 0, or -ENOMEM for what did not leave. */
static int write_directly(struct sse_emitter *emitter, const struct small_message *small, uint64_t progress,
                          uint64_t now)
{
    ssize_t result;
    int error = 0;

    sse_emitter_become_busy(emitter);
    if (!sse_emitter_write_single(emitter, now, NULL, &result)) {
        (void)sse_emitter_write_on(emitter, result, now);
        error = keep_rest(emitter, small, now);
        if (error && emitter->state != SSE_STATE_CLOSED)
            emitter->timers.progress = progress;
    }
    emitter->busy = false;
    return error;
}

static int send_directly(struct sse_emitter *emitter, struct small_message *small, uint64_t now)
{
    uint64_t progress = emitter->timers.progress;
    int cancel_state;
    int error = accept(emitter, &small->message, now);

    if (error) {
        pthread_mutex_unlock(&emitter->lock);
        return error;
    }
    sse_emitter_hold(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    error = write_directly(emitter, small, progress, now);
    if (error)
        (void)sse_emitter_settle(emitter, now, NULL);
    else if (emitter->state == SSE_STATE_OPEN && !emitter->queue.count && sse_emitter_owes_nothing(emitter))
        pthread_mutex_unlock(&emitter->lock);
    else
        error = settle_after_send(emitter, now).error;
    pthread_setcancelstate(cancel_state, NULL);
    sse_emitter_give_back(emitter);
    return error;
}

static int send_copy(struct sse_emitter *emitter, const struct small_message *small, uint64_t now)
{
    struct sse_message *message = sse_message_copy(&small->message, emitter->host);
    int error;

    if (!message)
        return -ENOMEM;
    error = send_at(emitter, message, now);
    sse_message_unref(message);
    return error;
}

static int send_large(struct sse_emitter *emitter, const struct sse_event *event)
{
    struct sse_message *message;
    int error = sse_message_new(&message, event, 1, emitter->host);

    if (error)
        return error;
    error = send_at(emitter, message, sse_host_now(emitter->host));
    sse_message_unref(message);
    return error;
}

int sse_emitter_send(struct sse_emitter *emitter, const struct sse_event *event)
{
    struct small_message small;
    ssize_t size;
    uint64_t now;
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    size = sse_small_message_init(&small, event);
    if (size < 0)
        return (int)size;
    if (!sse_small_message_fits(size))
        return send_large(emitter, event);
    now = sse_host_now(emitter->host);
    pthread_mutex_lock(&emitter->lock);
    if (may_go_directly(emitter, &small))
        return send_directly(emitter, &small, now);
    pthread_mutex_unlock(&emitter->lock);
    return send_copy(emitter, &small, now);
}
