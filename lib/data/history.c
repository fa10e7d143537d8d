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

static struct history_entry *entry_at(const struct history *history, size_t position)
{
    return &history->entries[(history->first + position) & (history->capacity - 1)];
}

bool sse_history_reserve(struct history *history, const struct sse_platform *platform)
{
    size_t capacity = history->capacity ? history->capacity * 2 : FIRST_CAPACITY;
    struct history_entry *entries;

    if (history->count < history->capacity)
        return true;
    entries = sse_platform_allocate(platform, capacity * sizeof(*entries));
    if (!entries)
        return false;
    for (size_t i = 0; i < history->count; i++)
        entries[i] = *entry_at(history, i);
    sse_platform_deallocate(platform, history->entries);
    history->entries = entries;
    history->capacity = capacity;
    history->first = 0;
    return true;
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
    sse_platform_deallocate(platform, history->entries);
    history->entries = NULL;
    history->capacity = 0;
    history->first = 0;
}

void sse_history_drop_first(struct history *history, const struct sse_platform *platform)
{
    struct history_entry *entry = entry_at(history, 0);

    history->lost = entry->sequence;
    history->bytes -= sse_history_cost(entry);
    sse_message_unref(entry->message);
    history->first = (history->first + 1) & (history->capacity - 1);
    history->count--;
    sse_history_trim(history, platform);
}
