/* SPDX-License-Identifier: MIT */
#include "data/queue.h"
#include "base/platform.h"
#include "data/queue_keys.h"

#include <errno.h>

/* As many messages as one write has at most. */
#define FIRST_CAPACITY 16

/* In up to this many places a key is searched without a table. */
#define PLACES_SEARCHED 32

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

/* The first place from `index` on that is not empty, or the number of places. */
static uint32_t next_message(const struct queue *queue, uint32_t index)
{
    uint32_t places = sse_queue_places(queue);
    const struct queue_ring *ring = queue->ring;

    if (queue->ringed && ring->first + index - ring->empty_begin < ring->empty_end - ring->empty_begin)
        index = ring->empty_end - ring->first;
    while (index < places && !at(queue, index))
        index++;
    return index;
}

void sse_queue_compact(struct queue *queue)
{
    struct queue_ring *ring = queue->ring;
    uint32_t to = 0;

    for (uint32_t from = 0; to < queue->count; from = next_message(queue, from + 1))
        sse_queue_set(queue, to++, at(queue, from));
    ring->empty = 0;
    ring->empty_end = ring->empty_begin;
    if (ring->keys)
        sse_queue_keys_clear(queue);
}

/* The queue has at least `count` messages. They are moved back, over the empty places between them. */
void sse_queue_compact_front(struct queue *queue, uint32_t count)
{
    struct queue_ring *ring = queue->ring;
    uint32_t found = 1, last = 0, to;

    for (; found < count; found++)
        last = next_message(queue, last + 1);
    if (last + 1 == found)
        return;
    to = last;
    for (uint32_t from = last; from-- > 0;)
        if (at(queue, from))
            sse_queue_set(queue, --to, at(queue, from));
    if (ring->empty_begin - ring->first < last)
        ring->empty_end = ring->empty_begin;
    ring->first += to;
    ring->empty -= to;
    if (ring->keys)
        sse_queue_keys_add_front(queue, found);
}

void sse_queue_skip_front(struct queue *queue)
{
    uint32_t skipped = next_message(queue, 0);

    queue->ring->first += skipped;
    queue->ring->empty -= skipped;
}

static struct queue_ring *new_ring(size_t capacity, const struct sse_platform *platform)
{
    struct queue_ring *ring =
        sse_platform_allocate(platform, sizeof(*ring) + capacity * sizeof(struct sse_message *));

    if (ring)
        *ring = (struct queue_ring){.capacity = (uint32_t)capacity};
    return ring;
}

static int grow(struct queue *queue, size_t capacity, const struct sse_platform *platform)
{
    struct queue_ring *ring;
    uint32_t from = 0;

    /* not reached: this many messages need more than 8 GB */
    if (capacity > QUEUE_CAPACITY_MAX)
        return -ENOMEM;
    ring = new_ring(capacity, platform);
    if (!ring)
        return -ENOMEM;
    ring->exempt_bytes = sse_queue_exempt_bytes(queue);
    for (uint32_t to = 0; to < queue->count; from = next_message(queue, from + 1))
        ring->slots[to++] = at(queue, from);
    sse_queue_free_ring(queue, platform);
    queue->ring = ring;
    queue->ringed = true;
    return 0;
}

/* A full ring with few empty places is doubled, because compacting it would soon be necessary again. Without memory
 * it is compacted, so that an event that was dropped has always made room. */
int sse_queue_reserve(struct queue *queue, size_t more, const struct sse_platform *platform)
{
    size_t places = sse_queue_places(queue), needed = queue->count + more;
    size_t present = sse_queue_capacity(queue), capacity = present;

    if (more > QUEUE_CAPACITY_MAX || needed > QUEUE_CAPACITY_MAX)
        return -ENOMEM;
    if (more <= present - places)
        return 0;
    if (!queue->ringed)
        capacity = FIRST_CAPACITY;
    else if (places - queue->count < present / 4)
        capacity *= 2;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > present && !grow(queue, capacity, platform))
        return 0;
    if (needed > present)
        return -ENOMEM;
    sse_queue_compact(queue);
    return 0;
}

void sse_queue_replace_first(struct queue *queue, struct sse_message *message)
{
    sse_queue_set(queue, 0, message);
}

void sse_queue_free_ring(struct queue *queue, const struct sse_platform *platform)
{
    if (queue->ringed) {
        sse_platform_deallocate(platform, queue->ring->keys);
        sse_platform_deallocate(platform, queue->ring);
    }
    queue->ringed = false;
}

void sse_queue_drop_first(struct queue *queue, const struct sse_platform *platform)
{
    struct sse_message *message = sse_queue_first(queue);

    sse_queue_subtract_first(queue, sse_message_wire_size(message, queue->chunked) - queue->taken);
    sse_queue_forget_first(queue, platform);
    sse_message_unref(message);
}

/* The place of an exempt message must not stay empty, so the few messages before it are moved. */
static void close_gap(struct queue *queue, uint32_t index)
{
    for (; index; index--)
        sse_queue_set(queue, index, at(queue, index - 1));
    queue->ring->first++;
}

/* If messages are dropped one after the other from behind the exempt ones, their places are one empty stretch. */
static void leave_empty(struct queue *queue, uint32_t index)
{
    struct queue_ring *ring = queue->ring;

    sse_queue_set(queue, index, NULL);
    ring->empty++;
    if (ring->first + index == ring->empty_end)
        ring->empty_end++;
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
    queue->count--;
    if (index < queue->exempt) {
        queue->ring->exempt_bytes -= sse_message_wire_size(message, queue->chunked);
        queue->exempt--;
        close_gap(queue, index);
    } else {
        leave_empty(queue, index);
    }
    sse_message_unref(message);
    return events;
}

/* No message before this place may be dropped. */
static uint32_t droppable_from(const struct queue *queue)
{
    uint32_t index = queue->exempt > queue->pinned ? queue->exempt : queue->pinned;

    return !index && queue->taken ? 1 : index;
}

/* The first message that may be dropped, or the number of places. Notes the empty places before it, so that the
 * next search skips them. */
static uint32_t find_droppable(struct queue *queue)
{
    uint32_t places = sse_queue_places(queue), from = droppable_from(queue),
             index = next_message(queue, from);

    if (queue->ringed && index > from) {
        queue->ring->empty_begin = queue->ring->first + from;
        queue->ring->empty_end = queue->ring->first + index;
    }
    while (index < places && !at(queue, index)->events)
        index = next_message(queue, index + 1);
    return index;
}

/* Whether there is room for the message; if it is NULL, whether the queue is within its limits. */
static bool has_room(const struct queue *queue, const struct sse_message *message, unsigned factor)
{
    return message ? sse_queue_admits(queue, message, factor) != -ENOBUFS : !sse_queue_is_over(queue);
}

/* Whether the messages before the index leave no room, even if all that follow are dropped. */
static bool is_in_vain(const struct queue *queue, uint32_t index, const struct sse_message *message,
                       unsigned factor)
{
    struct queue rest = {
        .count_max = queue->count_max,
        .bytes_max = queue->bytes_max,
        .chunked = queue->chunked,
    };

    for (uint32_t i = next_message(queue, queue->exempt); i < index; i = next_message(queue, i + 1)) {
        rest.bytes += sse_message_wire_size(at(queue, i), queue->chunked) - (i ? 0 : queue->taken);
        rest.count++;
    }
    return !has_room(&rest, message, factor);
}

uint64_t sse_queue_drop_oldest(struct queue *queue, const struct sse_message *message, unsigned factor,
                               const struct sse_platform *platform)
{
    uint64_t events = 0;
    uint32_t index = find_droppable(queue);

    if (is_in_vain(queue, index, message, factor))
        return 0;
    while (!has_room(queue, message, factor) && index < sse_queue_places(queue)) {
        events += sse_queue_drop_at(queue, index, platform);
        index = find_droppable(queue);
    }
    return events;
}

uint64_t sse_queue_drop_one(struct queue *queue, const struct sse_platform *platform)
{
    uint32_t index = find_droppable(queue);

    return index < sse_queue_places(queue) ? sse_queue_drop_at(queue, index, platform) : 0;
}

uint64_t sse_queue_drop_newest(struct queue *queue, const struct sse_platform *platform)
{
    uint64_t events = 0;
    uint32_t first = droppable_from(queue);

    for (uint32_t index = sse_queue_places(queue); index-- > first && sse_queue_is_over(queue);)
        if (at(queue, index) && at(queue, index)->events)
            events += sse_queue_drop_at(queue, index, platform);
    return events;
}

/* The first message with this key from `index` on, or the number of places. */
static uint32_t search_key(const struct queue *queue, struct sse_text key, uint32_t index)
{
    uint32_t places = sse_queue_places(queue);

    while (index < places && !sse_queue_has_key(at(queue, index), key))
        index = next_message(queue, index + 1);
    return index;
}

uint64_t sse_queue_drop_key(struct queue *queue, struct sse_text key, const struct sse_platform *platform)
{
    uint32_t places = sse_queue_places(queue), index = droppable_from(queue);

    if (places > PLACES_SEARCHED && sse_queue_keys_make(queue, platform))
        index = sse_queue_keys_find(queue, key, index);
    else
        index = search_key(queue, key, index);
    return index < places ? sse_queue_drop_at(queue, index, platform) : 0;
}

uint64_t sse_queue_events(const struct queue *queue)
{
    uint64_t events = 0;
    uint32_t places = sse_queue_places(queue);

    for (uint32_t i = 0; i < places; i = next_message(queue, i + 1))
        events += at(queue, i)->events;
    return events;
}

void sse_queue_clear(struct queue *queue, const struct sse_platform *platform)
{
    while (queue->count)
        sse_queue_drop_first(queue, platform);
    sse_queue_free_ring(queue, platform);
}
