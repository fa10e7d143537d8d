/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"
#include "connection/state.h"

#include <errno.h>

/* Several messages leave in one system call. POSIX promises 16; more than 64 gain nothing. */
#define IOV_COUNT_MAX 16

/* A write callback that reports EINTR for ever must not hang its caller. */
#define INTERRUPTIONS_MAX 16

void sse_emitter_count_taken(struct sse_emitter *emitter, size_t size, uint64_t now)
{
    struct emitter_owner *owner = emitter->owner;

    emitter->bytes += size;
    emitter->timers.progress = now;
    if (owner)
        sse_tally_bytes(&owner->tally, size);
    while (size) {
        bool live = !emitter->queue.replayed;
        struct sse_message *message = sse_queue_take(&emitter->queue, &size, emitter->host);

        if (message && owner)
            sse_tally_event(&owner->tally, message, live, now);
        if (message)
            sse_emitter_count_message(emitter, message);
    }
    if (!emitter->queue.count)
        emitter->blocked = false;
}

/* What follows when nothing is queued: the last chunk, then the end, if it is draining. */
static void continue_draining(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->state != SSE_STATE_DRAINING || emitter->queue.count)
        return;
    if (emitter->queue.chunked && !emitter->last_chunk_queued) {
        emitter->last_chunk_queued = true;
        emitter->timers.progress = now;
        (void)sse_queue_push(&emitter->queue, sse_message_last_chunk(), emitter->host);
        return;
    }
    emitter->state = SSE_STATE_CLOSED;
    emitter->notable = true;
}

static ssize_t write_once(struct sse_emitter *emitter)
{
    struct iovec iov[IOV_COUNT_MAX];
    int count = sse_queue_gather(&emitter->queue, iov, IOV_COUNT_MAX);
    ssize_t result;

    emitter->queue.pinned = (uint16_t)count;
    pthread_mutex_unlock(&emitter->lock);
    result = sse_sink_write(&emitter->sink, (enum sink_kind)emitter->sink_kind, iov, count);
    pthread_mutex_lock(&emitter->lock);
    emitter->queue.pinned = 0;
    return result;
}

bool sse_emitter_write_on(struct sse_emitter *emitter, ssize_t result, uint64_t now)
{
    int interruptions = 0;

    for (;;) {
        if (result >= 0) {
            sse_emitter_count_taken(emitter, (size_t)result, now);
            interruptions = 0;
        } else if (result != -EINTR || ++interruptions >= INTERRUPTIONS_MAX) {
            break;
        }
        continue_draining(emitter, now);
        if (emitter->state == SSE_STATE_CLOSED || !emitter->queue.count)
            return false;
        result = write_once(emitter);
    }
    if (result == -EAGAIN || result == -EINTR)
        return emitter->state != SSE_STATE_CLOSED;
    (void)sse_emitter_end(emitter, sse_reason_of_sink_error((int)result), (int)result, now);
    return false;
}

bool sse_emitter_write_queue(struct sse_emitter *emitter, uint64_t now)
{
    continue_draining(emitter, now);
    if (emitter->state == SSE_STATE_CLOSED || !emitter->queue.count)
        return false;
    return sse_emitter_write_on(emitter, write_once(emitter), now);
}

/* On_ready or on_blocked. */
static void call_hook(struct sse_emitter *emitter, enum emitter_hook_place place)
{
    const union emitter_hook *hook = sse_emitter_hook(emitter, place);

    emitter->notable = true;
    if (!hook)
        return;
    sse_emitter_account(emitter);
    pthread_mutex_unlock(&emitter->lock);
    if (place == HOOK_READY)
        hook->on_ready(emitter, emitter->sink.user);
    else
        hook->on_blocked(emitter, emitter->sink.user);
    pthread_mutex_lock(&emitter->lock);
}

void sse_emitter_tell_blocked(struct sse_emitter *emitter)
{
    if (emitter->blocked)
        return;
    emitter->blocked = true;
    emitter->telling = true;
    call_hook(emitter, HOOK_BLOCKED);
    emitter->telling = false;
}

static void push(struct sse_emitter *emitter, bool full, uint64_t now)
{
    for (;;) {
        if (full)
            sse_emitter_tell_blocked(emitter);
        if (!emitter->flush_again)
            return;
        emitter->flush_again = false;
        full = sse_emitter_write_queue(emitter, now);
    }
}

/* on_ready is owed once when bytes or the end meet an armed reader, and never after a detach. */
static void wake_reader(struct sse_emitter *emitter, uint64_t now)
{
    for (;;) {
        continue_draining(emitter, now);
        if (!emitter->armed || emitter->detached)
            return;
        if (!emitter->queue.count && emitter->state != SSE_STATE_CLOSED)
            return;
        emitter->armed = false;
        call_hook(emitter, HOOK_READY);
    }
}

void sse_emitter_output(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->busy)
        return;
    sse_emitter_become_busy(emitter);
    emitter->flush_again = false;
    if (emitter->sink_kind != SINK_PULL)
        push(emitter, sse_emitter_write_queue(emitter, now), now);
    else
        wake_reader(emitter, now);
    emitter->busy = false;
}

void sse_emitter_output_on(struct sse_emitter *emitter, ssize_t result, uint64_t now)
{
    push(emitter, sse_emitter_write_on(emitter, result, now), now);
}
