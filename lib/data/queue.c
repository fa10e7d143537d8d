/* SPDX-License-Identifier: MIT */
#include "data/queue.h"
#include "base/platform.h"

#include <errno.h>

/* As many messages as one write takes. */
#define FIRST_CAPACITY 16

/* The largest capacity: a power of two that 32 bits hold, and whose ring a size_t does. */
#define CAPACITY_MAX (SIZE_MAX > UINT32_MAX ? (size_t)1 << 31 : (size_t)1 << 28)

void sse_queue_init(struct queue *queue, bool chunked, size_t bytes_max, uint32_t count_max)
{
    *queue = (struct queue){
        .count_max = count_max,
        .bytes_max = bytes_max < UINT32_MAX ? (uint32_t)bytes_max : UINT32_MAX,
        .chunked = chunked,
    };
}

static struct sse_message *at(const struct queue *queue, uint32_t index)
{
    return sse_queue_at(queue, index);
}

int sse_queue_reserve(struct queue *queue, size_t more, const struct sse_platform *platform)
{
    size_t needed = queue->count + more;
    size_t capacity = queue->ringed ? queue->ring->capacity : FIRST_CAPACITY;
    struct queue_ring *ring;

    if (more > CAPACITY_MAX || needed > CAPACITY_MAX)
        return -ENOMEM;
    if (needed <= sse_queue_capacity(queue))
        return 0;
    while (capacity < needed)
        capacity *= 2;
    ring = sse_platform_allocate(platform, sizeof(*ring) + capacity * sizeof(struct sse_message *));
    if (!ring)
        return -ENOMEM;
    ring->exempt_bytes = sse_queue_exempt_bytes(queue);
    ring->first = 0;
    ring->capacity = (uint32_t)capacity;
    for (uint32_t i = 0; i < queue->count; i++)
        ring->slots[i] = at(queue, i);
    sse_queue_free_ring(queue, platform);
    queue->ring = ring;
    queue->ringed = true;
    return 0;
}

void sse_queue_replace_first(struct queue *queue, struct sse_message *message)
{
    sse_queue_set(queue, 0, message);
}

void sse_queue_free_ring(struct queue *queue, const struct sse_platform *platform)
{
    if (queue->ringed)
        sse_platform_deallocate(platform, queue->ring);
    queue->ringed = false;
}

void sse_queue_drop_first(struct queue *queue, const struct sse_platform *platform)
{
    struct sse_message *message = sse_queue_first(queue);

    sse_queue_subtract_first(queue, sse_message_wire_size(message, queue->chunked) - queue->taken);
    sse_queue_forget_first(queue, platform);
    sse_message_unref(message);
}

/* Closes the gap from the shorter side. Where there is something before it, there is a ring. */
static void close_gap(struct queue *queue, uint32_t index)
{
    struct queue_ring *ring = queue->ring;

    if (index < queue->count / 2) {
        for (; index; index--)
            sse_queue_set(queue, index, at(queue, index - 1));
        ring->first = (ring->first + 1) & (ring->capacity - 1);
    } else {
        for (; index + 1 < queue->count; index++)
            sse_queue_set(queue, index, at(queue, index + 1));
    }
}

uint64_t sse_queue_drop_at(struct queue *queue, uint32_t index, const struct sse_platform *platform)
{
    struct sse_message *message = at(queue, index);
    uint64_t events = message->events;

    if (!index) {
        sse_queue_drop_first(queue, platform);
        return events;
    }
    queue->bytes -= sse_message_wire_size(message, queue->chunked);
    if (index < queue->exempt) {
        queue->ring->exempt_bytes -= sse_message_wire_size(message, queue->chunked);
        queue->exempt--;
    }
    close_gap(queue, index);
    queue->count--;
    sse_message_unref(message);
    return events;
}

/* The first message from `index` on that may be dropped, or the count. */
static uint32_t first_droppable(const struct queue *queue, uint32_t index)
{
    if (index < queue->pinned)
        index = queue->pinned;
    if (!index && queue->taken)
        index = 1;
    while (index < queue->count && !at(queue, index)->events)
        index++;
    return index;
}

/* Without a message: whether the queue is within its limits. */
static bool has_room(const struct queue *queue, const struct sse_message *message, unsigned factor)
{
    return message ? sse_queue_admits(queue, message, factor) != -ENOBUFS : !sse_queue_is_over(queue);
}

/* Whether what stands before that index leaves no room, even if all that follows is dropped. */
static bool is_in_vain(const struct queue *queue, uint32_t index, const struct sse_message *message,
                       unsigned factor)
{
    struct queue rest = {
        .count = index - queue->exempt,
        .count_max = queue->count_max,
        .bytes_max = queue->bytes_max,
        .chunked = queue->chunked,
    };

    for (uint32_t i = queue->exempt; i < index; i++)
        rest.bytes += sse_message_wire_size(at(queue, i), queue->chunked) - (i ? 0 : queue->taken);
    return !has_room(&rest, message, factor);
}

uint64_t sse_queue_drop_oldest(struct queue *queue, const struct sse_message *message, unsigned factor,
                               const struct sse_platform *platform)
{
    uint64_t events = 0;
    uint32_t index = first_droppable(queue, queue->exempt);

    if (is_in_vain(queue, index, message, factor))
        return 0;
    while (!has_room(queue, message, factor) && index < queue->count) {
        if (at(queue, index)->events)
            events += sse_queue_drop_at(queue, index, platform);
        else
            index++;
    }
    return events;
}

uint64_t sse_queue_drop_newest(struct queue *queue, const struct sse_platform *platform)
{
    uint64_t events = 0;
    uint32_t first = first_droppable(queue, queue->exempt);

    for (uint32_t index = queue->count; index-- > first && sse_queue_is_over(queue);)
        if (at(queue, index)->events)
            events += sse_queue_drop_at(queue, index, platform);
    return events;
}

static bool same_key(struct sse_text left, struct sse_text right)
{
    return left.ptr && left.len == right.len && !memcmp(left.ptr, right.ptr, left.len);
}

uint64_t sse_queue_drop_key(struct queue *queue, struct sse_text key, const struct sse_platform *platform)
{
    for (uint32_t index = first_droppable(queue, queue->exempt); index < queue->count; index++) {
        if (same_key(at(queue, index)->key, key))
            return sse_queue_drop_at(queue, index, platform);
    }
    return 0;
}

uint64_t sse_queue_events(const struct queue *queue)
{
    uint64_t events = 0;

    for (uint32_t i = 0; i < queue->count; i++)
        events += at(queue, i)->events;
    return events;
}

void sse_queue_clear(struct queue *queue, const struct sse_platform *platform)
{
    while (queue->count)
        sse_queue_drop_first(queue, platform);
    sse_queue_free_ring(queue, platform);
}
