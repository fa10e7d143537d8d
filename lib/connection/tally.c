/* SPDX-License-Identifier: MIT */
#include "connection/tally.h"

void sse_tally_bytes(struct emitter_tally *tally, size_t size)
{
    atomic_fetch_add_explicit(&tally->bytes, size, memory_order_relaxed);
}

static size_t bucket_of(uint64_t nanoseconds)
{
    size_t bucket = 0;

    for (; nanoseconds && bucket < TALLY_LATENCY_BUCKETS - 1; nanoseconds >>= 1)
        bucket++;
    return bucket;
}

void sse_tally_correct(struct emitter_tally *tally, uint64_t nanoseconds, uint64_t count)
{
    size_t bucket = bucket_of(nanoseconds);
    uint64_t at_once = atomic_load_explicit(&tally->latency[0], memory_order_relaxed);
    uint64_t moved;

    if (!bucket)
        return;
    do
        moved = at_once < count ? at_once : count;
    while (!atomic_compare_exchange_weak_explicit(&tally->latency[0], &at_once, at_once - moved,
                                                  memory_order_relaxed, memory_order_relaxed));
    atomic_fetch_add_explicit(&tally->latency[bucket], moved, memory_order_relaxed);
}

void sse_tally_event(struct emitter_tally *tally, const struct sse_message *message, bool live, uint64_t now)
{
    uint64_t published = atomic_load_explicit(&message->published, memory_order_relaxed);

    atomic_fetch_add_explicit(&tally->events, message->events, memory_order_relaxed);
    if (live && published)
        atomic_fetch_add_explicit(&tally->latency[bucket_of(now > published ? now - published : 0)], 1,
                                  memory_order_relaxed);
}
