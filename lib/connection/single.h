/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_SINGLE_H
#define CONNECTION_SINGLE_H

/** The way of nearly every event: alone in its queue, and taken whole by the sink. */

#include "connection/emitter.h"

/** Writes the one message that waits, of which nothing is taken, and counts it: for the owner's tally in
 * `part`, which may be NULL. True if it left whole, and the emitter is open still with nothing queued; else
 * *result is what the sink said, and nothing is counted. Lock and `busy` held, cancellation off; the lock is
 * let go meanwhile. */
static inline bool sse_emitter_write_single(struct sse_emitter *emitter, uint64_t now,
                                            struct tally_part *part, ssize_t *result)
{
    struct queue *queue = &emitter->queue;
    struct sse_message *message = queue->only;
    struct sse_str wire = sse_message_wire(message, queue->chunked);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)wire.ptr, .iov_len = wire.len};
    struct emitter_owner *owner;

    queue->pinned = 1;
    pthread_mutex_unlock(&emitter->lock);
    *result = sse_sink_write(&emitter->sink, (enum sink_kind)emitter->sink_kind, &iov, 1);
    pthread_mutex_lock(&emitter->lock);
    queue->pinned = 0;
    /* Others may have queued more meanwhile, or ended it. */
    if (*result != (ssize_t)wire.len || !sse_queue_has_one(queue) || emitter->state != SSE_STATE_OPEN)
        return false;
    owner = emitter->owner;
    emitter->bytes += wire.len;
    emitter->timers.progress = now;
    emitter->blocked = false;
    if (owner)
        sse_tally_whole(&owner->tally, part, message, wire.len, !queue->replayed, now);
    sse_queue_take_single(queue);
    sse_emitter_count_message(emitter, message);
    return true;
}

#endif
