/* SPDX-License-Identifier: MIT */
#include "connection/write.h"
#include "connection/account.h"
#include "connection/ending.h"
#include "connection/state.h"

#include <errno.h>

/* One system call writes several messages. POSIX promises 16, and more than 64 gain nothing. */
#define IOV_COUNT_MAX 16

/* A bound, because a write callback may report EINTR for ever. */
#define INTERRUPTIONS_MAX 16

void sse_emitter_follow_pause(struct sse_emitter *emitter, uint64_t now)
{
    struct pause *pause = sse_emitter_pause(emitter);

    if (!pause || emitter->paused || emitter->queue.count)
        return;
    emitter->queue = pause->later;
    sse_emitter_set_pause(emitter, NULL);
    if (emitter->queue.count)
        emitter->timers.progress = now;
    sse_platform_deallocate(emitter->platform, pause);
}

void sse_emitter_count_taken(struct sse_emitter *emitter, size_t size, uint64_t now,
                             struct turn_account *account)
{
    emitter->timers.progress = now;
    emitter->seen_over = false;
    while (size) {
        bool live = !emitter->queue.exempt;
        size_t before = size;
        struct sse_message *message = sse_queue_take(&emitter->queue, &size, emitter->platform);

        sse_emitter_count_written(emitter, message, before - size, live, now, account);
        if (message)
            sse_emitter_count_message(emitter, message, account);
    }
    sse_emitter_follow_pause(emitter, now);
}

void sse_emitter_note_room(struct sse_emitter *emitter)
{
    emitter->blocked = false;
    /* The busy thread may just have found the output full. It must try again. */
    emitter->flush_again = emitter->busy;
}

static ssize_t write_once(struct sse_emitter *emitter)
{
    struct iovec iov[IOV_COUNT_MAX];
    int count = sse_queue_gather(&emitter->queue, iov, IOV_COUNT_MAX);
    ssize_t result;

    emitter->queue.pinned = (uint16_t)count;
    pthread_mutex_unlock(&emitter->lock);
    result = sse_output_write(&emitter->output, (enum output_kind)emitter->output_kind, iov, count);
    pthread_mutex_lock(&emitter->lock);
    emitter->queue.pinned = 0;
    return result;
}

/* Whether the output is full. If room was reported during the write, it is tried again at once. */
static bool is_full(struct sse_emitter *emitter)
{
    if (emitter->flush_again) {
        emitter->flush_again = false;
        return false;
    }
    emitter->blocked = true;
    emitter->owes_turn = true;
    return true;
}

void sse_emitter_write_on(struct sse_emitter *emitter, ssize_t result, unsigned writes, uint64_t now,
                          struct turn_account *account)
{
    int interruptions = 0;

    for (;;) {
        if (result >= 0) {
            sse_emitter_count_taken(emitter, (size_t)result, now, account);
            interruptions = 0;
        } else if (result != -EINTR || ++interruptions >= INTERRUPTIONS_MAX) {
            if (result != -EAGAIN && result != -EINTR) {
                (void)sse_emitter_end(emitter, sse_reason_of_output_error((int)result), (int)result, now);
                return;
            }
            if (emitter->state == SSE_STATE_CLOSED || is_full(emitter))
                return;
        }
        sse_emitter_continue_draining(emitter, now);
        if (emitter->state == SSE_STATE_CLOSED || !emitter->queue.count || !--writes)
            return;
        result = write_once(emitter);
    }
}

bool sse_emitter_write_single(struct sse_emitter *emitter, uint64_t now, struct turn_account *account,
                              ssize_t *result)
{
    struct queue *queue = &emitter->queue;
    struct sse_message *message = queue->only;
    struct sse_text wire = sse_message_wire(message, queue->chunked);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)wire.ptr, .iov_len = wire.len};

    queue->pinned = 1;
    pthread_mutex_unlock(&emitter->lock);
    *result = sse_output_write(&emitter->output, (enum output_kind)emitter->output_kind, &iov, 1);
    pthread_mutex_lock(&emitter->lock);
    queue->pinned = 0;
    /* Meanwhile other threads may have queued more, or ended the emitter. */
    if (*result != (ssize_t)wire.len || !sse_queue_has_one(queue) || emitter->state != SSE_STATE_OPEN ||
        sse_emitter_pause(emitter))
        return false;
    emitter->timers.progress = now;
    sse_emitter_count_written(emitter, message, wire.len, !queue->exempt, now, account);
    sse_queue_take_single(queue);
    sse_emitter_count_message(emitter, message, account);
    return true;
}

void sse_emitter_write(struct sse_emitter *emitter, unsigned writes, uint64_t now,
                       struct turn_account *account)
{
    ssize_t result;

    sse_emitter_continue_draining(emitter, now);
    if (emitter->state == SSE_STATE_CLOSED || !emitter->queue.count)
        return;
    sse_emitter_become_busy(emitter);
    emitter->flush_again = false;
    emitter->blocked = false;
    if (!sse_queue_has_one(&emitter->queue) || emitter->queue.taken)
        sse_emitter_write_on(emitter, write_once(emitter), writes, now, account);
    else if (!sse_emitter_write_single(emitter, now, account, &result))
        sse_emitter_write_on(emitter, result, writes, now, account);
    emitter->busy = false;
}
