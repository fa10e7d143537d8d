/* SPDX-License-Identifier: MIT */
#include "connection/tally.h"

static void add(_Atomic uint64_t *counter, uint64_t count)
{
    if (count)
        atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

void sse_tally_add(const struct tally_part *part, uint64_t nanoseconds)
{
    struct emitter_tally *tally = part->tally;

    add(&tally->bytes, part->bytes);
    add(&tally->events, part->events);
    add(&tally->latency[sse_tally_bucket(nanoseconds)], part->at_once);
}

void sse_tally_correct(struct emitter_tally *tally, uint64_t nanoseconds, uint64_t count)
{
    size_t bucket = sse_tally_bucket(nanoseconds);
    uint64_t at_once = atomic_load_explicit(&tally->latency[0], memory_order_relaxed);
    uint64_t moved;

    if (!bucket || !count)
        return;
    do
        moved = at_once < count ? at_once : count;
    while (!atomic_compare_exchange_weak_explicit(&tally->latency[0], &at_once, at_once - moved,
                                                  memory_order_relaxed, memory_order_relaxed));
    atomic_fetch_add_explicit(&tally->latency[bucket], moved, memory_order_relaxed);
}
