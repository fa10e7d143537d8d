/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/due.h"
#include "connection/ending.h"
#include "connection/leave.h"
#include "connection/write.h"

#include <errno.h>
#include <limits.h>

#define IOV_COUNT_MAX 16

static int check_pull(const struct sse_emitter *emitter)
{
    int error = sse_emitter_check(emitter);

    if (!error && emitter->output_kind != OUTPUT_PULL)
        error = -EINVAL;
    return error;
}

/* A reader has called: what the last peek showed is no longer valid. */
static void begin_reading(struct sse_emitter *emitter)
{
    emitter->output.shown = 0;
    emitter->queue.pinned = 0;
    emitter->blocked = false;
    emitter->ping_owed = false;
    /* Not earlier, because sse_emitter_finish counts what is in the queue. */
    if (emitter->finished)
        sse_queue_clear(&emitter->queue, emitter->platform);
}

static int end_of_stream(const struct sse_emitter *emitter)
{
    return emitter->state == SSE_STATE_CLOSED ? sse_emitter_end_error(emitter) : 0;
}

/* Without a loop, the reader's thread does the emitter's work. Lock held on entry, released on return. */
static void end_reading(struct sse_emitter *emitter, uint64_t now)
{
    sse_emitter_keep(emitter);
    sse_emitter_leave(emitter, true, now);
    sse_emitter_let_go(emitter);
}

int sse_emitter_peek(struct sse_emitter *emitter, struct iovec *iov, int count)
{
    int result = check_pull(emitter);

    if (result)
        return result;
    if (!iov || count < 1)
        return -EINVAL;
    pthread_mutex_lock(&emitter->lock);
    begin_reading(emitter);
    result = end_of_stream(emitter);
    if (!result) {
        result = sse_queue_gather(&emitter->queue, iov, count < QUEUE_PINNED_MAX ? count : QUEUE_PINNED_MAX);
        emitter->output.shown = sse_iovec_size(iov, result);
        emitter->queue.pinned = (uint16_t)result;
    }
    /* A reader that has seen the end needs no on_ready. */
    emitter->armed = !result;
    if (emitter->looped || emitter->output.shown)
        pthread_mutex_unlock(&emitter->lock);
    else
        end_reading(emitter, sse_platform_now(emitter->platform));
    return result;
}

int sse_emitter_consume(struct sse_emitter *emitter, size_t size)
{
    bool ping_owed;
    uint64_t now;
    int error = check_pull(emitter);

    if (error)
        return error;
    now = sse_platform_now(emitter->platform);
    pthread_mutex_lock(&emitter->lock);
    if (size > emitter->output.shown) {
        pthread_mutex_unlock(&emitter->lock);
        return -EINVAL;
    }
    if (emitter->state != SSE_STATE_CLOSED && size)
        sse_emitter_count_taken(emitter, size, now, NULL);
    ping_owed = emitter->ping_owed;
    begin_reading(emitter);
    if (ping_owed)
        sse_emitter_queue_ping(emitter, now);
    end_reading(emitter, now);
    return 0;
}

static size_t copy_queue(struct queue *queue, unsigned char *buffer, size_t size)
{
    struct iovec iov[IOV_COUNT_MAX];
    int count = sse_queue_gather(queue, iov, IOV_COUNT_MAX);
    size_t copied = 0;

    for (int i = 0; i < count && copied < size; i++) {
        size_t piece = iov[i].iov_len < size - copied ? iov[i].iov_len : size - copied;

        memcpy(buffer + copied, iov[i].iov_base, piece);
        copied += piece;
    }
    return copied;
}

ssize_t sse_emitter_read(struct sse_emitter *emitter, void *buffer, size_t size)
{
    size_t total = 0, copied;
    uint64_t now;
    int end = check_pull(emitter);

    if (end)
        return end;
    if (!buffer || !size || size > SSIZE_MAX)
        return -EINVAL;
    now = sse_platform_now(emitter->platform);
    pthread_mutex_lock(&emitter->lock);
    begin_reading(emitter);
    end = end_of_stream(emitter);
    while (!end && total < size) {
        copied = copy_queue(&emitter->queue, (unsigned char *)buffer + total, size - total);
        if (!copied)
            break;
        sse_emitter_count_taken(emitter, copied, now, NULL);
        total += copied;
    }
    emitter->armed = !total && !end;
    if (total || !emitter->looped)
        end_reading(emitter, now);
    else
        pthread_mutex_unlock(&emitter->lock);
    return total ? (ssize_t)total : end;
}
