/* SPDX-License-Identifier: MIT */
#ifndef DATA_QUEUE_H
#define DATA_QUEUE_H

/**
 * The bounded queue of one emitter: references to messages, and how much of the first is consumed. A queue of up to
 * one message needs no other memory. The emitter's lock guards it.
 *
 * Messages at its front may be exempt, which means that they do not count against the limits: the head, a replay,
 * what is sent to a paused emitter.
 *
 * A message may be dropped from its middle, except these:
 *
 * - one of which a byte was written;
 * - one that is pinned, which means that it was gathered and is not yet consumed;
 * - one without events (head, retry).
 */

#include "data/queue_ring.h"

#include <errno.h>
#include <sys/uio.h>

/* The most messages that may be pinned. */
#define QUEUE_PINNED_MAX UINT16_MAX

/* Until its owner has tried to write, an emitter does not overflow: its queue may grow to a multiple of its
 * limits. */
#define QUEUE_UNTRIED_FACTOR 4

/** A limit of 4 GiB or more counts as UINT32_MAX. */
void sse_queue_init(struct queue *queue, bool chunked, size_t bytes_max, uint32_t count_max);

/** Makes room for `more` messages, so that pushing them cannot fail. They must be pushed then. 0 or -ENOMEM. */
int sse_queue_reserve(struct queue *queue, size_t more, const struct sse_platform *platform);

/** Replaces the first message by an equal one. The caller gets the reference to the old one. */
void sse_queue_replace_first(struct queue *queue, struct sse_message *message);

/** Drops the first message, even if a part of it is consumed. */
void sse_queue_drop_first(struct queue *queue, const struct sse_platform *platform);

/** Drops the oldest messages that may be dropped until the queue admits `message` or, if that is NULL, is within
 *  its limits. Drops none if that would not be enough. Returns how many events it dropped. Then check whether the
 *  queue admits the message. */
uint64_t sse_queue_drop_oldest(struct queue *queue, const struct sse_message *message, unsigned factor,
                               const struct sse_platform *platform);

/** Drops the oldest message that may be dropped. Returns how many events it had, or 0 if there was none. */
uint64_t sse_queue_drop_one(struct queue *queue, const struct sse_platform *platform);

/** Drops the newest messages that may be dropped until the queue is within its limits. Returns how many events it
 *  dropped. */
uint64_t sse_queue_drop_newest(struct queue *queue, const struct sse_platform *platform);

/** Drops the message at an index. It must not be pinned or partly written. Returns how many events it had. */
uint64_t sse_queue_drop_at(struct queue *queue, uint32_t index, const struct sse_platform *platform);

/** Drops the oldest message with this key that may be dropped and is not exempt. Returns how many events it had, or
 *  0  if there was none. */
uint64_t sse_queue_drop_key(struct queue *queue, struct sse_text key, const struct sse_platform *platform);

/** The events in the queue. */
uint64_t sse_queue_events(const struct queue *queue);

void sse_queue_clear(struct queue *queue, const struct sse_platform *platform);

/** Frees the memory of an empty queue. */
void sse_queue_free_ring(struct queue *queue, const struct sse_platform *platform);

/** Removes all empty places. */
void sse_queue_compact(struct queue *queue);

/** Removes the empty places before the first `count` messages and between them. */
void sse_queue_compact_front(struct queue *queue, uint32_t count);

/** Removes empty places from the front. */
void sse_queue_skip_front(struct queue *queue);

/* The functions that every event needs are inline. */

/** The bytes of the exempt messages that are still to be written. */
static inline size_t sse_queue_exempt_bytes(const struct queue *queue)
{
    if (queue->ringed)
        return queue->ring->exempt_bytes;
    return queue->exempt ? queue->bytes : 0;
}

/** Whether the message would fit into the empty queue. */
static inline bool sse_queue_fits(const struct queue *queue, const struct sse_message *message)
{
    return sse_message_wire_size(message, queue->chunked) <= queue->bytes_max;
}

/** 0, -ENOBUFS if the queue is full, -EMSGSIZE if the message does not fit into an empty queue. `factor` multiplies
 *  the limits. */
static inline int sse_queue_admits(const struct queue *queue, const struct sse_message *message,
                                   unsigned factor)
{
    size_t size = sse_message_wire_size(message, queue->chunked);

    if (!sse_queue_fits(queue, message))
        return -EMSGSIZE;
    if (queue->count - queue->exempt >= (uint64_t)queue->count_max * factor ||
        queue->bytes - sse_queue_exempt_bytes(queue) + size > (uint64_t)queue->bytes_max * factor)
        return -ENOBUFS;
    return 0;
}

/** Whether it holds more than its limits. */
static inline bool sse_queue_is_over(const struct queue *queue)
{
    return queue->count - queue->exempt > queue->count_max ||
           queue->bytes - sse_queue_exempt_bytes(queue) > queue->bytes_max;
}

/** Whether half of a limit is used. */
static inline bool sse_queue_is_half_full(const struct queue *queue)
{
    return queue->count - queue->exempt > queue->count_max / 2 ||
           queue->bytes - sse_queue_exempt_bytes(queue) > queue->bytes_max / 2;
}

/** Makes all messages exempt that are queued now. */
static inline void sse_queue_exempt_all(struct queue *queue)
{
    if (!sse_queue_is_compact(queue))
        sse_queue_compact(queue);
    queue->exempt = queue->count;
    if (queue->ringed)
        queue->ring->exempt_bytes = queue->bytes;
}

/** Appends the message, and takes over a reference of the caller. 0, or -ENOMEM with the queue unchanged; an empty
 *  queue never fails. It does not check whether the queue admits the message. */
static inline int sse_queue_append(struct queue *queue, struct sse_message *message,
                                   const struct sse_platform *platform)
{
    uint32_t places = sse_queue_places(queue);

    if (places == sse_queue_capacity(queue)) {
        if (sse_queue_reserve(queue, 1, platform))
            return -ENOMEM;
        places = sse_queue_places(queue);
    }
    sse_queue_set(queue, places, message);
    queue->count++;
    queue->bytes += sse_message_wire_size(message, queue->chunked);
    return 0;
}

/** Appends the message with a new reference. Otherwise the same as sse_queue_append. */
static inline int sse_queue_push(struct queue *queue, struct sse_message *message,
                                 const struct sse_platform *platform)
{
    int error = sse_queue_append(queue, message, platform);

    if (!error)
        sse_message_keep(message);
    return error;
}

/** Appends to an empty queue, which has no ring and needs no memory, and takes over a reference of the caller.
 *  False if the queue is not empty, or the message is too large. */
static inline bool sse_queue_push_first(struct queue *queue, struct sse_message *message)
{
    size_t size = sse_message_wire_size(message, queue->chunked);

    if (queue->count || size > queue->bytes_max)
        return false;
    queue->only = message;
    queue->count = 1;
    queue->bytes = size;
    return true;
}

/** Whether the queue has one message, and no ring. */
static inline bool sse_queue_has_one(const struct queue *queue)
{
    return queue->count == 1 && !queue->ringed;
}

/** Removes the message of a queue that sse_queue_has_one, of which nothing is consumed. The caller gets its
 *  reference. */
static inline void sse_queue_take_single(struct queue *queue)
{
    queue->bytes = 0;
    queue->count = 0;
    queue->exempt = 0;
}

/** Shows the next bytes in up to `iov_count` pieces, and returns how many pieces there are. They are in the first
 *  places as long as none of their messages is dropped. */
static inline int sse_queue_gather(struct queue *queue, struct iovec *iov, int iov_count)
{
    uint32_t count = queue->count < (uint32_t)iov_count ? queue->count : (uint32_t)iov_count;

    if (!count)
        return 0;
    if (!sse_queue_is_compact(queue))
        sse_queue_compact_front(queue, count);
    for (uint32_t i = 0; i < count; i++) {
        struct sse_text wire = sse_message_wire(sse_queue_at(queue, i), queue->chunked);

        iov[i] = (struct iovec){.iov_base = (void *)(uintptr_t)wire.ptr, .iov_len = wire.len};
    }
    iov[0].iov_base = (char *)iov[0].iov_base + queue->taken;
    iov[0].iov_len -= queue->taken;
    return (int)count;
}

/** Subtracts bytes of the first message from the sums. */
static inline void sse_queue_subtract_first(struct queue *queue, size_t size)
{
    queue->bytes -= size;
    if (queue->exempt && queue->ringed)
        queue->ring->exempt_bytes -= size;
}

/** Removes the first message. The caller gets its reference, and has corrected the sums. */
static inline void sse_queue_forget_first(struct queue *queue, const struct sse_platform *platform)
{
    queue->taken = 0;
    queue->exempt -= queue->exempt > 0;
    queue->count--;
    if (queue->ringed && queue->count) {
        queue->ring->first++;
        if (queue->ring->empty)
            sse_queue_skip_front(queue);
    } else if (queue->ringed) {
        sse_queue_free_ring(queue, platform);
    }
}

/** Consumes up to `*size` bytes, but only of the first message, and subtracts them from `*size`. If the message is
 *  now consumed whole, removes it and returns it with its reference. Otherwise returns NULL, and *size is 0. */
static inline struct sse_message *sse_queue_take(struct queue *queue, size_t *size,
                                                 const struct sse_platform *platform)
{
    struct sse_message *message = sse_queue_first(queue);
    size_t left;

    if (!message)
        *size = 0;
    if (!*size)
        return NULL;
    left = sse_message_wire_size(message, queue->chunked) - queue->taken;
    if (*size < left) {
        queue->taken += (uint32_t)*size;
        sse_queue_subtract_first(queue, *size);
        *size = 0;
        return NULL;
    }
    *size -= left;
    sse_queue_subtract_first(queue, left);
    sse_queue_forget_first(queue, platform);
    return message;
}

#endif
