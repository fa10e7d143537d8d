/* SPDX-License-Identifier: MIT */
#include "connection/accept.h"
#include "connection/account.h"
#include "connection/ending.h"
#include "connection/mark.h"

#include <errno.h>

/*
 * If the output is known to be full, the limits of the queue count at once. If nobody has tried to write yet, the
 * queue may grow to a multiple of them. The owner's next turn writes, and then judges the emitter: it applies the
 * overflow policy if the queue is still over its limits.
 */

static bool is_known_full(const struct sse_emitter *emitter)
{
    if (sse_emitter_pause(emitter))
        return false;
    if (emitter->output_kind == OUTPUT_PULL && !emitter->looped)
        return !emitter->waiters;
    return emitter->blocked;
}

static int push(struct sse_emitter *emitter, struct queue *queue, struct sse_message *message, uint64_t now)
{
    bool was_empty = !queue->count;
    int error = sse_queue_push(queue, message, emitter->platform);

    if (!error && was_empty && queue == &emitter->queue)
        emitter->timers.progress = now;
    return error;
}

int sse_emitter_enqueue_exempt(struct sse_emitter *emitter, struct sse_message *message, uint64_t now)
{
    struct queue *queue = sse_emitter_tail(emitter);
    int error = push(emitter, queue, message, now);

    /* Exempt messages are at the front. So the messages before this one become exempt too. */
    if (!error)
        sse_queue_exempt_all(queue);
    return error;
}

/* Applies the overflow policy. `error` is why the queue does not admit the message, or 0. Returns the same for the
 * time afterwards. */
static int make_room(struct sse_emitter *emitter, struct queue *queue, const struct sse_message *message,
                     unsigned factor, int error)
{
    if (emitter->overflow == SSE_OVERFLOW_COALESCE && message->key.ptr)
        sse_emitter_count_dropped(emitter, sse_queue_drop_key(queue, message->key, emitter->platform));
    else if (emitter->overflow == SSE_OVERFLOW_DROP_OLDEST && error)
        sse_emitter_count_dropped(emitter, sse_queue_drop_oldest(queue, message, factor, emitter->platform));
    return error ? sse_queue_admits(queue, message, factor) : 0;
}

/* Queues a message behind others or behind a pause. `progress` does not change, so no timer is postponed. Takes
 * over a reference of the caller if it returns 0. */
static int accept_behind(struct sse_emitter *emitter, struct sse_message *message)
{
    struct queue *queue = sse_emitter_tail(emitter);
    unsigned factor = is_known_full(emitter) ? 1 : QUEUE_UNTRIED_FACTOR;
    int error;

    if (emitter->state != SSE_STATE_OPEN)
        return sse_emitter_end_error(emitter);
    error = sse_queue_admits(queue, message, factor);
    /* A message that is too large does not fit, whatever is dropped for it. */
    if (error != -EMSGSIZE)
        error = make_room(emitter, queue, message, factor, error);
    if (!error)
        error = sse_queue_append(queue, message, emitter->platform);
    return error;
}

/* Without memory for another place, the overflow policy of an emitter decides about a published message as if the
 * queue were full. If an event was dropped, there is a place. */
static int accept_in_place_of_oldest(struct sse_emitter *emitter, struct sse_message *message)
{
    struct queue *queue = sse_emitter_tail(emitter);

    sse_emitter_count_dropped(emitter, sse_queue_drop_one(queue, emitter->platform));
    return sse_queue_append(queue, message, emitter->platform);
}

/* Queues a message that is sent to a paused emitter: before the pause, and without a limit. */
static int accept_paused(struct sse_emitter *emitter, struct sse_message *message, uint64_t now)
{
    int error = sse_emitter_end_error(emitter);

    return error ? error : push(emitter, &emitter->queue, message, now);
}

int sse_emitter_accept(struct sse_emitter *emitter, struct sse_message *message, uint64_t now)
{
    int error = 0;

    if (emitter->paused)
        return accept_paused(emitter, message, now);
    if (!sse_emitter_accept_first(emitter, message, now))
        error = accept_behind(emitter, message);
    if (!error)
        sse_message_keep(message);
    return error;
}

bool sse_emitter_overflow_drops(const struct sse_emitter *emitter)
{
    return emitter->overflow == SSE_OVERFLOW_DROP_NEWEST || emitter->overflow == SSE_OVERFLOW_DROP_OLDEST;
}

/* Decides what happens to an emitter that did not accept a published message. */
static enum admission refuse(struct sse_emitter *emitter, const struct sse_message *message, int error,
                             uint64_t now)
{
    if (emitter->state != SSE_STATE_OPEN)
        return ADMISSION_CLOSED;
    if (sse_emitter_overflow_drops(emitter)) {
        sse_emitter_count_dropped(emitter, message->events);
        return ADMISSION_DROPPED;
    }
    /* If the stream went on, the client would not notice that it has missed an event. */
    (void)sse_emitter_end(emitter, SSE_REASON_OVERFLOW, error, now);
    return ADMISSION_ENDED;
}

/* Charges what is queued to the registry, whose tally gets the sum for all receivers at once. */
static void charge(struct sse_emitter *emitter, struct enqueueing *enqueueing)
{
    size_t queued = sse_emitter_backlog(emitter);

    enqueueing->charged += queued - emitter->charged;
    if (emitter->tried)
        enqueueing->tried += queued - emitter->charged;
    emitter->charged = queued;
}

/* Queues a message if the queue is empty and the output is not known to be full. This is the case for nearly every
 * event. The queue gets one of the references that the publisher has taken. Lock held. */
static inline bool enqueue_first(struct sse_emitter *emitter, struct sse_message *message,
                                 struct enqueueing *enqueueing)
{
    if (emitter->busy || emitter->blocked || emitter->opening || emitter->tried ||
        emitter->output_kind == OUTPUT_PULL || !sse_emitter_accept_first(emitter, message, enqueueing->now))
        return false;
    enqueueing->references--;
    emitter->charged += emitter->queue.bytes;
    enqueueing->charged += emitter->queue.bytes;
    enqueueing->behind |= emitter->queue.bytes > emitter->queue.bytes_max / 2;
    sse_emitter_mark_always(emitter, &enqueueing->chain);
    return true;
}

/* Lock held. */
static enum admission enqueue(struct sse_emitter *emitter, struct sse_message *message,
                              struct enqueueing *enqueueing)
{
    enum admission admission = ADMISSION_QUEUED;
    int error = 0;

    if (!sse_emitter_accept_first(emitter, message, enqueueing->now))
        error = accept_behind(emitter, message);
    if (error == -ENOMEM && emitter->overflow == SSE_OVERFLOW_DROP_OLDEST)
        error = accept_in_place_of_oldest(emitter, message);
    if (error)
        admission = refuse(emitter, message, error, enqueueing->now);
    else
        enqueueing->references--;
    if (emitter->state != SSE_STATE_CLOSED)
        charge(emitter, enqueueing);
    sse_emitter_mark(emitter, &enqueueing->chain);
    if (emitter->waiters)
        sse_emitter_wake_waiters(emitter);
    enqueueing->behind |= sse_emitter_is_behind(emitter);
    return admission;
}

enum admission sse_emitter_enqueue(struct sse_emitter *emitter, struct sse_message *message,
                                   struct enqueueing *enqueueing)
{
    enum admission admission = ADMISSION_QUEUED;

    pthread_mutex_lock(&emitter->lock);
    if (!enqueue_first(emitter, message, enqueueing))
        admission = enqueue(emitter, message, enqueueing);
    pthread_mutex_unlock(&emitter->lock);
    return admission;
}

void sse_emitter_judge(struct sse_emitter *emitter, uint64_t now)
{
    struct queue *queue = &emitter->queue;

    if (!sse_emitter_is_over(emitter))
        return;
    if (emitter->overflow == SSE_OVERFLOW_DROP_NEWEST)
        sse_emitter_count_dropped(emitter, sse_queue_drop_newest(queue, emitter->platform));
    else if (emitter->overflow == SSE_OVERFLOW_DROP_OLDEST)
        sse_emitter_count_dropped(emitter, sse_queue_drop_oldest(queue, NULL, 1, emitter->platform));
    else
        (void)sse_emitter_end(emitter, SSE_REASON_OVERFLOW, -ENOBUFS, now);
}
