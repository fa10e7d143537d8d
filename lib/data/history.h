/* SPDX-License-Identifier: MIT */
#ifndef DATA_HISTORY_H
#define DATA_HISTORY_H

/** The last messages of one topic, the oldest first. The registry's lock guards it. */

#include "data/message.h"

struct history_entry {
    uint64_t sequence;
    uint64_t time; /* nanoseconds: when it was published */
    struct sse_message *message;
    uint32_t extra; /* bytes of other memory that it costs */
    bool named;     /* the publisher gave the id */
};

/* The entries of a segment, which is one block. A history grows under a lock that other threads wait for. So,
 * however long it is, adding an entry moves at most a segment of entries, or one pointer for each segment. */
#define HISTORY_SEGMENT 128

/** A ring of segments; the capacity is a power of two. */
struct history_list {
    size_t first;
    size_t capacity;
    struct history_entry *segments[];
};

struct history {
    union {
        struct history_entry *ring; /* if one segment is enough; the capacity is a power of two */
        struct history_list *list;  /* otherwise */
    };
    size_t first; /* in the ring, or in the first segment */
    size_t count;
    size_t capacity; /* places, with those of the first segment whose entries are dropped */
    size_t bytes;
    uint64_t lost; /* the highest sequence that was dropped */
};

/** What an entry costs, in bytes. */
size_t sse_history_cost(const struct history_entry *entry);

/** The size of the unused places, in bytes. */
size_t sse_history_spare(const struct history *history);

/** Makes room for one more entry, so that the next push cannot fail. */
bool sse_history_reserve(struct history *history, const struct sse_platform *platform);

/** Frees the memory of an empty history, for example after a reserve without a push. */
void sse_history_trim(struct history *history, const struct sse_platform *platform);

/** Adds an entry, and takes a reference to its message. The sequence must be higher than all before. */
void sse_history_push(struct history *history, struct history_entry entry);

/** The entry at a position. 0 is the oldest. */
const struct history_entry *sse_history_at(const struct history *history, size_t position);

/** The position of the first entry with a higher sequence, or the count. */
size_t sse_history_after(const struct history *history, uint64_t sequence);

/** Drops the oldest entry, and frees memory that is no longer needed. */
void sse_history_drop_first(struct history *history, const struct sse_platform *platform);

#endif
