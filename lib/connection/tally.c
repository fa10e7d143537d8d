/* SPDX-License-Identifier: MIT */
#include "connection/tally.h"

static void add(_Atomic uint64_t *counter, uint64_t count)
{
    if (count)
        atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

void sse_tally_add(struct emitter_tally *tally, struct tally_part *part)
{
    if (part->queued)
        atomic_fetch_add_explicit(&tally->queued, part->queued, memory_order_relaxed);
    if (part->tried)
        atomic_fetch_add_explicit(&tally->tried, part->tried, memory_order_relaxed);
    add(&tally->bytes, part->bytes);
    add(&tally->events, part->events);
    add(&tally->latency[part->bucket], part->deliveries);
    *part = (struct tally_part){.bytes = 0};
}

void sse_tally_change_bucket(struct emitter_tally *tally, struct tally_part *part, uint64_t published,
                             uint64_t now)
{
    size_t bucket = now > published ? sse_tally_bucket(now - published) : 0;

    part->published = published;
    if (bucket == part->bucket)
        return;
    add(&tally->latency[part->bucket], part->deliveries);
    part->deliveries = 0;
    part->bucket = bucket;
}
