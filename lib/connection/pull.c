/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "connection/emitter.h"

#include <errno.h>
#include <limits.h>

#define IOV_COUNT_MAX 16

static int check_pull(const struct sse_emitter *emitter)
{
    int error = sse_emitter_check(emitter);

    if (!error && emitter->sink_kind != SINK_PULL)
        error = -EINVAL;
    return error;
}

/* Nobody may look any longer at what the last peek showed. */
static void forget_shown(struct sse_emitter *emitter)
{
    emitter->sink.shown = 0;
    emitter->queue.pinned = 0;
    /* The end counts first what it has cost. */
    if (emitter->finishing)
        sse_queue_clear(&emitter->queue, emitter->host);
}

static int end_of_stream(const struct sse_emitter *emitter)
{
    return emitter->state == SSE_STATE_CLOSED ? sse_emitter_end_error(emitter) : 0;
}

int sse_emitter_peek(struct sse_emitter *emitter, struct iovec *iov, int count)
{
    int result = check_pull(emitter);

    if (result)
        return result;
    if (!iov || count < 1)
        return -EINVAL;
    pthread_mutex_lock(&emitter->lock);
    forget_shown(emitter);
    result = end_of_stream(emitter);
    if (!result) {
        result = sse_queue_gather(&emitter->queue, iov, count < QUEUE_PINNED_MAX ? count : QUEUE_PINNED_MAX);
        emitter->sink.shown = sse_iovec_size(iov, result);
        emitter->queue.pinned = (uint16_t)result;
    }
    /* Who has seen the end waits for nothing. */
    emitter->armed = !result;
    pthread_mutex_unlock(&emitter->lock);
    return result;
}

int sse_emitter_advance(struct sse_emitter *emitter, size_t size)
{
    uint64_t now;
    int error = check_pull(emitter);

    if (error)
        return error;
    now = sse_host_now(emitter->host);
    pthread_mutex_lock(&emitter->lock);
    if (size > emitter->sink.shown) {
        pthread_mutex_unlock(&emitter->lock);
        return -EINVAL;
    }
    if (emitter->state != SSE_STATE_CLOSED && size)
        sse_emitter_count_taken(emitter, size, now);
    forget_shown(emitter);
    (void)sse_emitter_leave(emitter, now);
    return 0;
}

static size_t copy_queue(const struct queue *queue, unsigned char *buffer, size_t size)
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
    now = sse_host_now(emitter->host);
    pthread_mutex_lock(&emitter->lock);
    forget_shown(emitter);
    end = end_of_stream(emitter);
    while (!end && total < size) {
        copied = copy_queue(&emitter->queue, (unsigned char *)buffer + total, size - total);
        if (!copied)
            break;
        sse_emitter_count_taken(emitter, copied, now);
        total += copied;
    }
    emitter->armed = !total && !end;
    if (!total) {
        pthread_mutex_unlock(&emitter->lock);
        return end;
    }
    (void)sse_emitter_leave(emitter, now);
    return (ssize_t)total;
}
