/* SPDX-License-Identifier: MIT */
#include "data/queue.h"
#include "base/host.h"

#include <errno.h>

#define FIRST_CAPACITY 8

void sse_queue_init(struct queue *queue, bool chunked, size_t bytes_max, uint32_t count_max)
{
    *queue = (struct queue){
        .capacity = QUEUE_INLINE_SLOTS,
        .count_max = count_max,
        .bytes_max = bytes_max,
        .chunked = chunked,
    };
}

/* Capacities are powers of two. */
static struct sse_message **slot(struct queue *queue, uint32_t index)
{
    struct sse_message **slots = queue->slots ? queue->slots : queue->inline_slots;

    return &slots[(queue->first + index) & (queue->capacity - 1)];
}

static struct sse_message *at(const struct queue *queue, uint32_t index)
{
    struct sse_message *const *slots = queue->slots ? queue->slots : queue->inline_slots;

    return slots[(queue->first + index) & (queue->capacity - 1)];
}

int sse_queue_admits(const struct queue *queue, const struct sse_message *message)
{
    size_t size = sse_message_wire_size(message, queue->chunked);

    if (size > queue->bytes_max)
        return -EMSGSIZE;
    /* A replay may have filled it beyond its limits. */
    if (queue->count >= queue->count_max || queue->bytes > queue->bytes_max - size)
        return -ENOBUFS;
    return 0;
}

int sse_queue_reserve(struct queue *queue, size_t more, const struct sse_host *host)
{
    size_t needed = queue->count + more;
    size_t capacity = queue->slots ? queue->capacity : FIRST_CAPACITY;
    struct sse_message **slots;

    if (needed <= queue->capacity)
        return 0;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > UINT32_MAX)
        return -ENOMEM;
    slots = sse_host_allocate(host, capacity * sizeof(struct sse_message *));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < queue->count; i++)
        slots[i] = at(queue, i);
    sse_host_release(host, queue->slots);
    queue->slots = slots;
    queue->capacity = (uint32_t)capacity;
    queue->first = 0;
    return 0;
}

int sse_queue_push(struct queue *queue, struct sse_message *message, const struct sse_host *host)
{
    int error = sse_queue_reserve(queue, 1, host);

    if (error)
        return error;
    *slot(queue, queue->count) = sse_message_ref(message);
    queue->count++;
    queue->bytes += sse_message_wire_size(message, queue->chunked);
    return 0;
}

struct sse_message *sse_queue_first(const struct queue *queue)
{
    return queue->count ? at(queue, 0) : NULL;
}

void sse_queue_replace_first(struct queue *queue, struct sse_message *message)
{
    *slot(queue, 0) = message;
}

int sse_queue_gather(const struct queue *queue, struct iovec *iov, int iov_count)
{
    int filled = 0;
    size_t taken = queue->taken;

    while (filled < iov_count && (uint32_t)filled < queue->count) {
        struct sse_str wire = sse_message_wire(at(queue, (uint32_t)filled), queue->chunked);

        iov[filled].iov_base = (void *)(uintptr_t)(wire.ptr + taken);
        iov[filled].iov_len = wire.len - taken;
        taken = 0;
        filled++;
    }
    return filled;
}

/* For an empty queue. */
static void free_slots(struct queue *queue, const struct sse_host *host)
{
    sse_host_release(host, queue->slots);
    queue->slots = NULL;
    queue->capacity = QUEUE_INLINE_SLOTS;
    queue->first = 0;
}

static void forget_first(struct queue *queue, const struct sse_host *host)
{
    queue->taken = 0;
    queue->replayed -= queue->replayed > 0;
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->count--;
    if (!queue->count && queue->slots)
        free_slots(queue, host);
}

struct sse_message *sse_queue_take(struct queue *queue, size_t *size, const struct sse_host *host)
{
    struct sse_message *message = sse_queue_first(queue);
    size_t left;

    if (!message)
        *size = 0;
    if (!*size)
        return NULL;
    left = sse_message_wire_size(message, queue->chunked) - queue->taken;
    if (*size < left) {
        queue->taken += *size;
        queue->bytes -= *size;
        *size = 0;
        return NULL;
    }
    *size -= left;
    queue->bytes -= left;
    forget_first(queue, host);
    return message;
}

void sse_queue_drop_first(struct queue *queue, const struct sse_host *host)
{
    struct sse_message *message = sse_queue_first(queue);

    queue->bytes -= sse_message_wire_size(message, queue->chunked) - queue->taken;
    forget_first(queue, host);
    sse_message_unref(message);
}

/* Closes the gap from the shorter side. */
static void close_gap(struct queue *queue, uint32_t index)
{
    if (index < queue->count / 2) {
        for (; index; index--)
            *slot(queue, index) = at(queue, index - 1);
        queue->first = (queue->first + 1) & (queue->capacity - 1);
    } else {
        for (; index + 1 < queue->count; index++)
            *slot(queue, index) = at(queue, index + 1);
    }
}

static uint64_t drop_at(struct queue *queue, uint32_t index, const struct sse_host *host)
{
    struct sse_message *message = at(queue, index);
    uint64_t events = message->events;

    if (!index) {
        sse_queue_drop_first(queue, host);
        return events;
    }
    queue->bytes -= sse_message_wire_size(message, queue->chunked);
    close_gap(queue, index);
    queue->replayed -= index < queue->replayed;
    queue->count--;
    sse_message_unref(message);
    return events;
}

/* The first message that may be dropped, or the count. */
static uint32_t first_droppable(const struct queue *queue)
{
    uint32_t index = queue->pinned;

    if (!index && queue->taken)
        index = 1;
    while (index < queue->count && !at(queue, index)->events)
        index++;
    return index;
}

/* Whether what stands before that index leaves no room, even if all that follows is dropped. */
static bool is_in_vain(const struct queue *queue, uint32_t index, const struct sse_message *message)
{
    struct queue rest = {
        .count = index,
        .count_max = queue->count_max,
        .bytes_max = queue->bytes_max,
        .chunked = queue->chunked,
    };

    for (uint32_t i = 0; i < index; i++)
        rest.bytes += sse_message_wire_size(at(queue, i), queue->chunked);
    if (index)
        rest.bytes -= queue->taken;
    return sse_queue_admits(&rest, message) != 0;
}

uint64_t sse_queue_drop_oldest(struct queue *queue, const struct sse_message *message,
                               const struct sse_host *host)
{
    uint64_t events = 0;
    uint32_t index = first_droppable(queue);

    if (is_in_vain(queue, index, message))
        return 0;
    while (sse_queue_admits(queue, message) == -ENOBUFS && index < queue->count) {
        if (at(queue, index)->events)
            events += drop_at(queue, index, host);
        else
            index++;
    }
    return events;
}

static bool same_key(struct sse_str left, struct sse_str right)
{
    return left.ptr && left.len == right.len && !memcmp(left.ptr, right.ptr, left.len);
}

uint64_t sse_queue_drop_key(struct queue *queue, struct sse_str key, const struct sse_host *host)
{
    for (uint32_t index = first_droppable(queue); index < queue->count; index++) {
        if (same_key(at(queue, index)->key, key))
            return drop_at(queue, index, host);
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

void sse_queue_clear(struct queue *queue, const struct sse_host *host)
{
    while (queue->count)
        sse_queue_drop_first(queue, host);
    free_slots(queue, host);
}
