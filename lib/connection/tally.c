/* SPDX-License-Identifier: MIT */
#include "connection/tally.h"

void sse_tally_correct(struct emitter_tally *tally, uint64_t nanoseconds, uint64_t count)
{
    size_t bucket = sse_tally_bucket(nanoseconds);
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
