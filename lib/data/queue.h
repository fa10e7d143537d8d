/* SPDX-License-Identifier: MIT */
#ifndef DATA_QUEUE_H
#define DATA_QUEUE_H

/**
 * The bounded queue of one emitter: references to messages, and a cursor into the first. One
 * reference fits without memory of its own; an empty queue needs none. No locks: the emitter's.
 *
 * The messages at its front may be exempt from the limits: the head, a replay, what a paused emitter is
 * sent. Messages may be dropped from its middle, but none of which a byte was written, none that was
 * gathered and not yet consumed, and none without events (head, retry).
 */

#include "data/message.h"

#include <errno.h>
#include <stdint.h>
#include <sys/uio.h>

/* The most messages that one look at the queue may pin. */
#define QUEUE_PINNED_MAX UINT16_MAX

/* An output that has not been tried yet makes nobody overflow: the queue grows to a multiple of its
 * limits meanwhile. */
#define QUEUE_UNTRIED_FACTOR 4

struct queue_keys;

/**
 * Where more than one message waits. Places are numbered on and on, and lie in the ring by their last bits. A
 * message that is dropped from the middle leaves its place empty: nothing is moved for it. The first place is
 * never empty, nor is an exempt or a pinned one.
 */
struct queue_ring {
    size_t exempt_bytes;     /* of the exempt messages, still to be written */
    uint32_t first;          /* the number of the first place */
    uint32_t empty;          /* empty places */
    uint32_t capacity;       /* a power of two */
    uint32_t empty_begin;    /* from here ... */
    uint32_t empty_end;      /* ... up to here all places are empty, as far as they are in the ring */
    struct queue_keys *keys; /* of a long queue; or NULL */
    struct sse_message *slots[];
};

struct queue {
    union {
        struct sse_message *only; /* up to one message, if `ringed` is not set */
        struct queue_ring *ring;
    };
    size_t bytes; /* still to be written */
    uint32_t bytes_max;
    uint32_t count;
    uint32_t count_max;
    uint32_t taken;  /* of the first message: below SSE_EVENT_SIZE_MAX and its chunk framing */
    uint32_t exempt; /* messages at the front */
    uint16_t pinned; /* messages that somebody looks at since queue_gather */
    bool ringed;
    bool chunked;
};

/** A limit of 4 GiB and above is one of UINT32_MAX. */
void sse_queue_init(struct queue *queue, bool chunked, size_t bytes_max, uint32_t count_max);

/** Makes room for `more` messages, so that pushing them cannot fail; they must follow. -ENOMEM. */
int sse_queue_reserve(struct queue *queue, size_t more, const struct sse_platform *platform);

/** Puts an equal message in the place of the first. The caller gets the old reference. */
void sse_queue_replace_first(struct queue *queue, struct sse_message *message);

/** Takes the first message out, taken in part or not. */
void sse_queue_drop_first(struct queue *queue, const struct sse_platform *platform);

/** Drops the oldest messages that may be dropped until the queue admits `message`, or, with NULL, is
 *  within its limits. Drops none if that would be in vain. Returns the events dropped; ask again whether
 *  it admits the message. */
uint64_t sse_queue_drop_oldest(struct queue *queue, const struct sse_message *message, unsigned factor,
                               const struct sse_platform *platform);

/** Drops the newest messages that may be dropped until the queue is within its limits. Returns the events
 *  dropped. */
uint64_t sse_queue_drop_newest(struct queue *queue, const struct sse_platform *platform);

/** Drops the message at an index that was neither gathered nor begun. Returns its events. */
uint64_t sse_queue_drop_at(struct queue *queue, uint32_t index, const struct sse_platform *platform);

/** Drops the oldest message with this key that may be dropped. No exempt one: a replay is never dropped.
 * Returns its events, or 0. */
uint64_t sse_queue_drop_key(struct queue *queue, struct sse_text key, const struct sse_platform *platform);

/** The events in the queue. */
uint64_t sse_queue_events(const struct queue *queue);

void sse_queue_clear(struct queue *queue, const struct sse_platform *platform);

/** Gives back the memory of an empty queue. */
void sse_queue_free_ring(struct queue *queue, const struct sse_platform *platform);

/** No place is empty any more. */
void sse_queue_compact(struct queue *queue);

/** None of the first `count` places is empty. */
void sse_queue_compact_front(struct queue *queue, uint32_t count);

/** The first place is empty: goes on to the next message. */
void sse_queue_skip_front(struct queue *queue);

/* What every event passes through stands here, so that it costs no call. */

/** The number of places: of its messages, and of those that were dropped from between them. */
static inline uint32_t sse_queue_places(const struct queue *queue)
{
    return queue->ringed ? queue->count + queue->ring->empty : queue->count;
}

/** Whether no place is empty. */
static inline bool sse_queue_is_compact(const struct queue *queue)
{
    return !queue->ringed || !queue->ring->empty;
}

/** The message at a place, counted from the first; NULL: it is empty. */
static inline struct sse_message *sse_queue_at(const struct queue *queue, uint32_t index)
{
    const struct queue_ring *ring = queue->ring;

    return queue->ringed ? ring->slots[(ring->first + index) & (ring->capacity - 1)] : queue->only;
}

/** Puts a reference at a place for which there is room. */
static inline void sse_queue_set(struct queue *queue, uint32_t index, struct sse_message *message)
{
    struct queue_ring *ring = queue->ring;

    if (queue->ringed)
        ring->slots[(ring->first + index) & (ring->capacity - 1)] = message;
    else
        queue->only = message;
}

/** How many places there are without more memory. */
static inline uint32_t sse_queue_capacity(const struct queue *queue)
{
    return queue->ringed ? queue->ring->capacity : 1;
}

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

/** 0, -ENOBUFS if it is full, -EMSGSIZE if the message does not fit at all. `factor` multiplies the limits. */
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

/** What it holds now does not count against its limits. */
static inline void sse_queue_exempt_all(struct queue *queue)
{
    if (!sse_queue_is_compact(queue))
        sse_queue_compact(queue);
    queue->exempt = queue->count;
    if (queue->ringed)
        queue->ring->exempt_bytes = queue->bytes;
}

/** Appends a reference of its own; -ENOMEM leaves the queue as it was. An empty queue never fails.
 *  Does not ask whether the queue admits it. */
static inline int sse_queue_push(struct queue *queue, struct sse_message *message,
                                 const struct sse_platform *platform)
{
    uint32_t places = sse_queue_places(queue);

    if (places == sse_queue_capacity(queue)) {
        if (sse_queue_reserve(queue, 1, platform))
            return -ENOMEM;
        places = sse_queue_places(queue);
    }
    sse_message_keep(message);
    sse_queue_set(queue, places, message);
    queue->count++;
    queue->bytes += sse_message_wire_size(message, queue->chunked);
    return 0;
}

/** Appends to an empty queue, which has no ring and needs no memory. False if it is not empty, or the message
 *  too large. */
static inline bool sse_queue_push_first(struct queue *queue, struct sse_message *message)
{
    size_t size = sse_message_wire_size(message, queue->chunked);

    if (queue->count || size > queue->bytes_max)
        return false;
    sse_message_keep(message);
    queue->only = message;
    queue->count = 1;
    queue->bytes = size;
    return true;
}

/** Whether it is one message, which is `only`. */
static inline bool sse_queue_has_one(const struct queue *queue)
{
    return queue->count == 1 && !queue->ringed;
}

/** Takes that message, of which nothing is taken yet; the caller gets its reference. */
static inline void sse_queue_take_single(struct queue *queue)
{
    queue->bytes = 0;
    queue->count = 0;
    queue->exempt = 0;
}

/** The first message, or NULL. */
static inline struct sse_message *sse_queue_first(const struct queue *queue)
{
    return queue->count ? sse_queue_at(queue, 0) : NULL;
}

/** Shows the next bytes, in up to `iov_count` pieces; returns how many. While none is dropped from them, they
 *  are in the first places. */
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

/** Removes bytes of the first message from the sums. */
static inline void sse_queue_subtract_first(struct queue *queue, size_t size)
{
    queue->bytes -= size;
    if (queue->exempt && queue->ringed)
        queue->ring->exempt_bytes -= size;
}

/** Takes the first message out; the caller gets its reference, and has corrected the sums. */
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

/** Takes up to `*size` bytes but not past the end of a message, and counts them off. Returns the
 *  message if it is now taken whole, with its reference; else NULL, with *size 0. */
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
