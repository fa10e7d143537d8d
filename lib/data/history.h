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

struct history {
    struct history_entry *entries; /* a ring; the capacity is a power of two */
    size_t first;
    size_t count;
    size_t capacity;
    size_t bytes;
    uint64_t lost; /* the highest sequence that was here and is no more */
};

/** What an entry costs, in bytes. */
size_t sse_history_cost(const struct history_entry *entry);

/** What its ring has to spare, in bytes. */
size_t sse_history_spare(const struct history *history);

/** Makes room for one more, so that the next push cannot fail. */
bool sse_history_reserve(struct history *history, const struct sse_platform *platform);

/** Gives the ring back if nothing is in it, as after a reserve that no push followed. */
void sse_history_trim(struct history *history, const struct sse_platform *platform);

/** Takes a reference. The sequence is higher than all before. */
void sse_history_push(struct history *history, struct history_entry entry);

/** The entry at a position, 0 the oldest. */
const struct history_entry *sse_history_at(const struct history *history, size_t position);

/** The position of the first entry with a sequence above this, or the count. Logarithmic. */
size_t sse_history_after(const struct history *history, uint64_t sequence);

/** Forgets the oldest, and the ring when it was the last. */
void sse_history_drop_first(struct history *history, const struct sse_platform *platform);

#endif
