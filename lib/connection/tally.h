/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_TALLY_H
#define CONNECTION_TALLY_H

/** Counts what all emitters of one registry do, without the registry's lock. */

#include "data/message.h"

#include <stdatomic.h>

/* There is a bucket for each power of two of nanoseconds. Bucket n counts 2^(n-1) <= time < 2^n. */
#define TALLY_LATENCY_BUCKETS 64

/* The members that nearly every publish or turn changes are at the end, next to the registry's lock. */
struct emitter_tally {
    _Atomic uint64_t latency[TALLY_LATENCY_BUCKETS];
    _Atomic uint64_t dropped;
    atomic_size_t queued; /* bytes queued now; a message counts once for each receiver */
    atomic_size_t tried;  /* those of them that an owner has tried to write */
    _Atomic uint64_t events;
    _Atomic uint64_t bytes;
};

/** What one thread has counted, and not yet added to a tally. */
struct tally_part {
    size_t queued; /* differences; negative ones wrap */
    size_t tried;
    uint64_t bytes;
    uint64_t events;
    uint64_t published; /* when the last message was published; all deliveries of the part are in its bucket */
    uint64_t deliveries;
    size_t bucket;
};

/** The bucket of a time above 0. */
static inline size_t sse_tally_bucket(uint64_t nanoseconds)
{
    size_t bucket = 0;

#if defined(__GNUC__)
    bucket = 63 - (size_t)__builtin_clzll(nanoseconds);
#else
    for (unsigned bits = 32; bits; bits /= 2) {
        if (nanoseconds >> bits) {
            nanoseconds >>= bits;
            bucket += bits;
        }
    }
#endif
    return bucket < TALLY_LATENCY_BUCKETS - 1 ? bucket + 1 : bucket;
}

/** Adds a part to the tally, and empties the part. */
void sse_tally_add(struct emitter_tally *tally, struct tally_part *part);

/** Begins to count deliveries of a message that was published at another time. */
void sse_tally_change_bucket(struct emitter_tally *tally, struct tally_part *part, uint64_t published,
                             uint64_t now);

/** A message was written whole at `now`, which must be the same for all of a part. `live`: the time since it was
 *  published counts. */
static inline void sse_tally_event(struct emitter_tally *tally, struct tally_part *part,
                                   const struct sse_message *message, bool live, uint64_t now)
{
    uint64_t published = atomic_load_explicit(&message->published, memory_order_relaxed);

    part->events += message->events;
    if (!live || !published)
        return;
    if (published != part->published)
        sse_tally_change_bucket(tally, part, published, now);
    part->deliveries++;
}

#endif
