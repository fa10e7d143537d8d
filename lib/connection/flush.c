/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"
#include "connection/state.h"

#include <errno.h>
#include <string.h>

/* Several messages leave in one system call. POSIX promises 16; more than 64 gain nothing. */
#define IOV_COUNT_MAX 16

static void remember_id(struct sse_emitter *emitter, struct sse_message *message)
{
    struct last_id *last = &emitter->last_id;
    struct sse_str id = message_id(message);

    if (!id.ptr)
        return;
    sse_message_unref(last->holder);
    last->holder = NULL;
    last->present = true;
    last->size = id.len;
    if (id.len <= SHORT_ID_MAX)
        memcpy(last->text, id.ptr, id.len);
    else
        last->holder = sse_message_ref(message);
}

void emitter_count_taken(struct sse_emitter *emitter, size_t size, uint64_t now)
{
    struct sse_message *message;

    emitter->bytes += size;
    emitter->timers.progress = now;
    while ((message = queue_take(&emitter->queue, &size, emitter->host))) {
        emitter->events += message->events;
        remember_id(emitter, message);
        sse_message_unref(message);
    }
    if (!emitter->queue.count)
        emitter->blocked = false;
}

void emitter_become_busy(struct sse_emitter *emitter)
{
    emitter->busy = true;
    emitter->busy_thread = pthread_self();
}

/* What follows when nothing is queued: the last chunk, then the end, if it is draining. */
static void continue_draining(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->state != SSE_STATE_DRAINING || emitter->queue.count)
        return;
    if (emitter->queue.chunked && !emitter->last_chunk_queued) {
        emitter->last_chunk_queued = true;
        emitter->timers.progress = now;
        (void)queue_push(&emitter->queue, message_last_chunk(), emitter->host);
        return;
    }
    emitter->state = SSE_STATE_CLOSED;
    emitter->reason = emitter->ending;
    emitter->notable = true;
}

static ssize_t write_once(struct sse_emitter *emitter)
{
    struct iovec iov[IOV_COUNT_MAX];
    int count = queue_gather(&emitter->queue, iov, IOV_COUNT_MAX);
    int cancel_state;
    ssize_t result;

    pthread_mutex_unlock(&emitter->lock);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    result = emitter->sink.write(&emitter->sink, iov, count);
    pthread_setcancelstate(cancel_state, NULL);
    pthread_mutex_lock(&emitter->lock);
    return result;
}

bool emitter_write_queue(struct sse_emitter *emitter, uint64_t now)
{
    for (;;) {
        ssize_t result;

        continue_draining(emitter, now);
        if (emitter->state == SSE_STATE_CLOSED || !emitter->queue.count)
            return false;
        result = write_once(emitter);
        if (result == -EAGAIN)
            return emitter->state != SSE_STATE_CLOSED;
        if (result < 0) {
            (void)emitter_end(emitter, reason_of_sink_error((int)result), (int)result, now);
            return false;
        }
        emitter_count_taken(emitter, (size_t)result, now);
    }
}

static void call_hook(struct sse_emitter *emitter, void (*hook)(struct sse_emitter *emitter, void *user))
{
    int cancel_state;

    emitter->notable = true;
    if (!hook)
        return;
    pthread_mutex_unlock(&emitter->lock);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    hook(emitter, emitter->hooks.user);
    pthread_setcancelstate(cancel_state, NULL);
    pthread_mutex_lock(&emitter->lock);
}

static void push(struct sse_emitter *emitter, uint64_t now)
{
    do {
        bool full;

        emitter->flush_again = false;
        full = emitter_write_queue(emitter, now);
        if (full && !emitter->blocked) {
            emitter->blocked = true;
            call_hook(emitter, emitter->hooks.on_blocked);
        }
    } while (emitter->flush_again);
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
        call_hook(emitter, emitter->hooks.on_ready);
    }
}

void emitter_output(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->busy)
        return;
    emitter_become_busy(emitter);
    if (emitter->sink.write)
        push(emitter, now);
    else
        wake_reader(emitter, now);
    emitter->busy = false;
}
