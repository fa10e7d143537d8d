/* SPDX-License-Identifier: MIT */
#include "data/history.h"
#include "base/platform.h"

#define FIRST_CAPACITY 4

size_t sse_history_cost(const struct history_entry *entry)
{
    const struct sse_message *message = entry->message;

    return message->frame_size + message->key.len + sizeof(*message) + sizeof(*entry) + entry->extra;
}

size_t sse_history_spare(const struct history *history)
{
    return (history->capacity - history->count) * sizeof(struct history_entry);
}

static bool is_listed(const struct history *history)
{
    return history->capacity > HISTORY_SEGMENT;
}

static struct history_entry **segment_at(struct history_list *list, size_t number)
{
    return &list->segments[(list->first + number) & (list->capacity - 1)];
}

static struct history_entry *entry_at(const struct history *history, size_t position)
{
    size_t place = history->first + position;

    if (!is_listed(history))
        return &history->ring[place & (history->capacity - 1)];
    return &(*segment_at(history->list, place / HISTORY_SEGMENT))[place % HISTORY_SEGMENT];
}

static size_t segments_of(const struct history *history)
{
    return history->capacity / HISTORY_SEGMENT;
}

/* A new ring of this capacity with the same entries, the oldest first. NULL if there is no memory. */
static struct history_entry *copy_ring(const struct history *history, size_t capacity,
                                       const struct sse_platform *platform)
{
    struct history_entry *entries = sse_platform_allocate(platform, capacity * sizeof(*entries));

    for (size_t i = 0; entries && i < history->count; i++)
        entries[i] = *entry_at(history, i);
    return entries;
}

static bool grow_ring(struct history *history, size_t capacity, const struct sse_platform *platform)
{
    struct history_entry *entries = copy_ring(history, capacity, platform);

    if (!entries)
        return false;
    sse_platform_deallocate(platform, history->ring);
    history->ring = entries;
    history->capacity = capacity;
    history->first = 0;
    return true;
}

static struct history_list *new_list(size_t capacity, const struct sse_platform *platform)
{
    struct history_list *list =
        sse_platform_allocate(platform, sizeof(*list) + capacity * sizeof(list->segments[0]));

    if (list)
        *list = (struct history_list){.capacity = capacity};
    return list;
}

/* The ring, which is full and in order, becomes the first segment. */
static bool begin_list(struct history *history, const struct sse_platform *platform)
{
    struct history_list *list = new_list(FIRST_CAPACITY, platform);
    struct history_entry *added =
        list ? sse_platform_allocate(platform, HISTORY_SEGMENT * sizeof(*added)) : NULL;

    if (!added) {
        sse_platform_deallocate(platform, list);
        return false;
    }
    list->segments[0] = history->ring;
    list->segments[1] = added;
    history->list = list;
    history->capacity += HISTORY_SEGMENT;
    return true;
}

static bool grow_list(struct history *history, const struct sse_platform *platform)
{
    size_t segments = segments_of(history);
    struct history_list *list = new_list(2 * segments, platform);

    if (!list)
        return false;
    for (size_t i = 0; i < segments; i++)
        list->segments[i] = *segment_at(history->list, i);
    sse_platform_deallocate(platform, history->list);
    history->list = list;
    return true;
}

static bool add_segment(struct history *history, const struct sse_platform *platform)
{
    size_t segments = segments_of(history);
    struct history_entry *added;

    if (segments == history->list->capacity && !grow_list(history, platform))
        return false;
    added = sse_platform_allocate(platform, HISTORY_SEGMENT * sizeof(*added));
    if (!added)
        return false;
    *segment_at(history->list, segments) = added;
    history->capacity += HISTORY_SEGMENT;
    return true;
}

bool sse_history_reserve(struct history *history, const struct sse_platform *platform)
{
    if (is_listed(history))
        return history->first + history->count < history->capacity || add_segment(history, platform);
    if (history->count < history->capacity)
        return true;
    if (history->capacity < HISTORY_SEGMENT)
        return grow_ring(history, history->capacity ? history->capacity * 2 : FIRST_CAPACITY, platform);
    if (history->first && !grow_ring(history, HISTORY_SEGMENT, platform))
        return false;
    return begin_list(history, platform);
}

void sse_history_push(struct history *history, struct history_entry entry)
{
    sse_message_ref(entry.message);
    *entry_at(history, history->count) = entry;
    history->count++;
    history->bytes += sse_history_cost(&entry);
}

const struct history_entry *sse_history_at(const struct history *history, size_t position)
{
    return entry_at(history, position);
}

size_t sse_history_after(const struct history *history, uint64_t sequence)
{
    size_t low = 0, high = history->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (entry_at(history, middle)->sequence > sequence)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void sse_history_trim(struct history *history, const struct sse_platform *platform)
{
    if (history->count)
        return;
    /* An empty history is never a list, because drop_segment turns a list of one segment into a ring. */
    sse_platform_deallocate(platform, history->ring);
    history->ring = NULL;
    history->capacity = 0;
    history->first = 0;
}

/* Frees the first segment, whose entries are all dropped. If one segment is left, it becomes the ring. */
static void drop_segment(struct history *history, const struct sse_platform *platform)
{
    struct history_list *list = history->list;

    sse_platform_deallocate(platform, *segment_at(list, 0));
    list->first++;
    history->first = 0;
    history->capacity -= HISTORY_SEGMENT;
    if (is_listed(history))
        return;
    history->ring = *segment_at(list, 0);
    sse_platform_deallocate(platform, list);
}

void sse_history_drop_first(struct history *history, const struct sse_platform *platform)
{
    struct history_entry *entry = entry_at(history, 0);

    history->lost = entry->sequence;
    history->bytes -= sse_history_cost(entry);
    sse_message_unref(entry->message);
    history->count--;
    history->first++;
    if (!is_listed(history))
        history->first &= history->capacity - 1;
    else if (history->first == HISTORY_SEGMENT)
        drop_segment(history, platform);
    sse_history_trim(history, platform);
}
