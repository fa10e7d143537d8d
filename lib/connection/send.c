/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/accept.h"
#include "connection/account.h"
#include "connection/due.h"
#include "connection/ending.h"
#include "connection/leave.h"
#include "connection/write.h"

#include <errno.h>

/* A large message may need many writes. The owner writes the rest. */
#define WRITES_AT_ONCE 4

/* Any thread may write to a descriptor, because that runs no code of the program. Only the owner may call a write
 * callback. */
static inline bool may_write(const struct sse_emitter *emitter)
{
    if (emitter->output_kind == OUTPUT_SOCKET || emitter->output_kind == OUTPUT_FILE)
        return true;
    return emitter->output_kind == OUTPUT_CALLBACK && !emitter->looped;
}

/* Whether a message may be written at once: nothing is queued before it, and no other thread uses the output. */
static inline bool may_write_at_once(const struct sse_emitter *emitter)
{
    return emitter->state == SSE_STATE_OPEN && may_write(emitter) && !emitter->busy && !emitter->blocked &&
           !emitter->queue.count;
}

/* Applies the overflow policy to a send that was not accepted. Lock held. */
static int refuse(struct sse_emitter *emitter, uint64_t events, int error, uint64_t now)
{
    if (error != -ENOBUFS)
        return error;
    if (sse_emitter_overflow_drops(emitter))
        sse_emitter_count_dropped(emitter, events);
    else
        (void)sse_emitter_end(emitter, SSE_REASON_OVERFLOW, error, now);
    return error;
}

/* What a send that was accepted returns. If the emitter has ended gracefully meanwhile, the event was written;
 * after another end it may be lost. */
static int answer(const struct sse_emitter *emitter)
{
    if (emitter->state != SSE_STATE_CLOSED || sse_emitter_ended_gracefully(emitter))
        return 0;
    return sse_emitter_end_error(emitter);
}

static int send_at(struct sse_emitter *emitter, struct sse_message *message, uint64_t now)
{
    int cancel_state;
    bool at_once;
    int error;

    /* A callback may release the caller's reference. */
    sse_emitter_keep(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&emitter->lock);
    at_once = may_write_at_once(emitter);
    error = sse_emitter_accept(emitter, message, now);
    if (error)
        error = refuse(emitter, message->events, error, now);
    else if (at_once)
        sse_emitter_write(emitter, WRITES_AT_ONCE, now, NULL);
    if (!error)
        error = answer(emitter);
    sse_emitter_leave(emitter, sse_emitter_caller_owns(emitter), now);
    pthread_setcancelstate(cancel_state, NULL);
    sse_emitter_let_go(emitter);
    return error;
}

int sse_emitter_send_message(struct sse_emitter *emitter, struct sse_message *message)
{
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    if (!message)
        return -EINVAL;
    return send_at(emitter, message, sse_platform_now(emitter->platform));
}

/* A message on the stack cannot be kept for its id. So there must be room for a copy of the id. */
static bool has_room_for_id(struct sse_emitter *emitter, const struct small_message *small)
{
    return !small->message.has_id ||
           sse_last_id_reserve(&emitter->last_id, small->message.id_size, emitter->platform);
}

/* Copies a message on the stack to the heap if it was not written whole. 0, or -ENOMEM. */
static int keep_rest(struct sse_emitter *emitter, const struct small_message *small, uint64_t now)
{
    struct sse_message *copy = NULL;
    bool closed = emitter->state == SSE_STATE_CLOSED;

    if (sse_queue_first(&emitter->queue) != &small->message)
        return 0;
    if (!closed)
        copy = sse_message_copy(&small->message, emitter->platform);
    if (copy) {
        sse_queue_replace_first(&emitter->queue, copy);
        return 0;
    }
    /* A part of the event was written, and the rest cannot be. Only in this case a lack of memory ends
     * the emitter. */
    if (emitter->queue.taken)
        (void)sse_emitter_end(emitter, SSE_REASON_OVERFLOW, -ENOMEM, now);
    if (emitter->state == SSE_STATE_CLOSED)
        sse_emitter_count_dropped(emitter, 1);
    sse_queue_drop_first(&emitter->queue, emitter->platform);
    /* With an empty queue the emitter needs no room, and what is behind a pause may follow. */
    if (!emitter->queue.count)
        emitter->blocked = false;
    sse_emitter_follow_pause(emitter, now);
    return closed ? 0 : -ENOMEM;
}

/* Writes a message that is on the stack, and is the only one in the queue. Other threads may queue behind it
 * meanwhile. 0, or -ENOMEM for what was not written. `progress` is what it was before the message was queued. */
static int write_small(struct sse_emitter *emitter, const struct small_message *small, uint64_t progress,
                       uint64_t now)
{
    ssize_t result;
    int error = 0;

    sse_emitter_become_busy(emitter);
    emitter->flush_again = false;
    if (!sse_emitter_write_single(emitter, now, NULL, &result)) {
        sse_emitter_write_on(emitter, result, 1, now, NULL);
        error = keep_rest(emitter, small, now);
        if (error && !emitter->queue.count)
            emitter->timers.progress = progress;
    }
    emitter->busy = false;
    return error;
}

/* Whether everything is written, and the loop need not be woken: its next look at the emitter comes early enough,
 * because the write has only postponed the next timer. If a turn has found the emitter busy, it may have put off
 * that look to the deadline of the bytes that were queued then. */
static bool owes_nothing(const struct sse_emitter *emitter)
{
    return !emitter->has_input && !emitter->is_gone && !emitter->owes_turn &&
           emitter->state == SSE_STATE_OPEN && emitter->looped && !emitter->queue.count && !emitter->charged &&
           emitter->timer.deadline != DEADLINE_NEVER;
}

/* Lock held on entry, released on return. */
static int send_directly(struct sse_emitter *emitter, struct small_message *small, uint64_t now)
{
    uint64_t progress = emitter->timers.progress;
    bool keep = !emitter->looped;
    int error = 0;
    int cancel_state;

    /* Without a loop a callback may run here, and release the caller's reference. */
    if (keep)
        sse_emitter_keep(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (!sse_emitter_accept_first(emitter, &small->message, now))
        error = sse_emitter_accept(emitter, &small->message, now);
    if (!error)
        error = write_small(emitter, small, progress, now);
    if (!error)
        error = answer(emitter);
    if (!error && owes_nothing(emitter))
        pthread_mutex_unlock(&emitter->lock);
    else
        sse_emitter_leave(emitter, sse_emitter_caller_owns(emitter), now);
    pthread_setcancelstate(cancel_state, NULL);
    if (keep)
        sse_emitter_let_go(emitter);
    return error;
}

static int send_copy(struct sse_emitter *emitter, const struct small_message *small, uint64_t now)
{
    struct sse_message *message = sse_message_copy(&small->message, emitter->platform);
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
    int error = sse_message_new(&message, event, 1, emitter->platform);

    if (error)
        return error;
    error = send_at(emitter, message, sse_platform_now(emitter->platform));
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
    now = sse_platform_now(emitter->platform);
    pthread_mutex_lock(&emitter->lock);
    if (may_write_at_once(emitter) && has_room_for_id(emitter, &small))
        return send_directly(emitter, &small, now);
    pthread_mutex_unlock(&emitter->lock);
    return send_copy(emitter, &small, now);
}

int sse_emitter_ping(struct sse_emitter *emitter)
{
    uint64_t now;
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    now = sse_platform_now(emitter->platform);
    sse_emitter_keep(emitter);
    pthread_mutex_lock(&emitter->lock);
    error = sse_emitter_end_error(emitter);
    sse_emitter_queue_ping(emitter, now);
    sse_emitter_leave(emitter, sse_emitter_caller_owns(emitter), now);
    sse_emitter_let_go(emitter);
    return error;
}
