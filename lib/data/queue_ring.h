/* SPDX-License-Identifier: MIT */
#ifndef DATA_QUEUE_RING_H
#define DATA_QUEUE_RING_H

/** The members of a queue, and the places of its messages. */

#include "data/message.h"

#include <stdint.h>

/* The largest capacity of a ring: twice as much fits into 32 bits, and the sizes of the ring and of its table of
 * keys fit into size_t. */
#define QUEUE_CAPACITY_MAX (SIZE_MAX > UINT32_MAX ? (size_t)1 << 30 : (size_t)1 << 27)

struct queue_keys;

/**
 * The messages of a queue that has had more than one. Places have ascending numbers; the last bits of a number say
 * where in the ring the place is. A message that is dropped from the middle leaves its place empty, so that no
 * other is moved. The first place, an exempt place and a pinned place are never empty.
 */
struct queue_ring {
    size_t exempt_bytes;     /* of the exempt messages, still to be written */
    uint32_t first;          /* the number of the first place */
    uint32_t empty;          /* empty places */
    uint32_t capacity;       /* a power of two */
    uint32_t empty_begin;    /* a stretch of empty places that searches skip; it may begin before `first` */
    uint32_t empty_end;
    struct queue_keys *keys; /* the table of keys of a long queue, or NULL */
    struct sse_message *slots[];
};

struct queue {
    union {
        struct sse_message *only; /* the only message, if `ringed` is not set and `count` is 1 */
        struct queue_ring *ring;
    };
    size_t bytes; /* still to be written */
    uint32_t bytes_max;
    uint32_t count;
    uint32_t count_max;
    uint32_t taken;  /* bytes of the first message that are consumed */
    uint32_t exempt; /* how many messages at the front are exempt */
    uint16_t pinned; /* how many messages at the front are pinned */
    bool ringed;
    bool chunked;
};

/** The number of places: messages, and empty places between them. */
static inline uint32_t sse_queue_places(const struct queue *queue)
{
    return queue->ringed ? queue->count + queue->ring->empty : queue->count;
}

/** Whether no place is empty. */
static inline bool sse_queue_is_compact(const struct queue *queue)
{
    return !queue->ringed || !queue->ring->empty;
}

/** The message at a place, counted from the first; NULL if the place is empty. */
static inline struct sse_message *sse_queue_at(const struct queue *queue, uint32_t index)
{
    const struct queue_ring *ring = queue->ring;

    return queue->ringed ? ring->slots[(ring->first + index) & (ring->capacity - 1)] : queue->only;
}

/** Puts a reference at a place below the capacity. */
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

/** The first message, or NULL. */
static inline struct sse_message *sse_queue_first(const struct queue *queue)
{
    return queue->count ? sse_queue_at(queue, 0) : NULL;
}

#endif
