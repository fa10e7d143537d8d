/* SPDX-License-Identifier: MIT */
#ifndef DATA_HISTORY_H
#define DATA_HISTORY_H

/** The last messages of one topic, oldest first, by ascending sequence. No locks. */

#include "data/message.h"

struct history_entry {
    uint64_t sequence;
    uint64_t time; /* nanoseconds: when it was published */
    struct sse_message *message;
    uint32_t extra; /* bytes that it costs elsewhere */
    bool named;     /* the publisher gave the id */
};

/* Entries that lie side by side. A history grows under a lock that others wait for: however long it is, one
 * entry more moves no more than a segment of them, or one pointer for each segment. */
#define HISTORY_SEGMENT 128

/** A ring of segments; the capacity is a power of two. */
struct history_list {
    size_t first;
    size_t capacity;
    struct history_entry *segments[];
};

struct history {
    union {
        struct history_entry *ring; /* up to a segment; the capacity is a power of two */
        struct history_list *list;  /* more than a segment */
    };
    size_t first; /* in the ring, or in the first segment */
    size_t count;
    size_t capacity; /* places, also those of the first segment that are used up */
    size_t bytes;
    uint64_t lost; /* the highest sequence that was here and is no more */
};

/** What an entry costs, in bytes. */
size_t sse_history_cost(const struct history_entry *entry);

/** What its places have to spare, in bytes. */
size_t sse_history_spare(const struct history *history);

/** Makes room for one more, so that the next push cannot fail. */
bool sse_history_reserve(struct history *history, const struct sse_platform *platform);

/** Gives the memory back if nothing is in it, as after a reserve that no push followed. */
void sse_history_trim(struct history *history, const struct sse_platform *platform);

/** Takes a reference. The sequence is higher than all before. */
void sse_history_push(struct history *history, struct history_entry entry);

/** The entry at a position, 0 the oldest. */
const struct history_entry *sse_history_at(const struct history *history, size_t position);

/** The position of the first entry with a sequence above this, or the count. Logarithmic. */
size_t sse_history_after(const struct history *history, uint64_t sequence);

/** Forgets the oldest, and gives back what is not needed any more. */
void sse_history_drop_first(struct history *history, const struct sse_platform *platform);

#endif
