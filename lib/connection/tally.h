/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_TALLY_H
#define CONNECTION_TALLY_H

/** What the emitters of one registry have done together, counted without its lock. */

#include "data/message.h"

#include <stdatomic.h>

/* A bucket for each power of two of nanoseconds: bucket n counts 2^(n-1) <= time < 2^n. */
#define TALLY_LATENCY_BUCKETS 64

struct emitter_tally {
    atomic_size_t backlog; /* bytes queued at present, each receiver charged in full */
    _Atomic uint64_t latency[TALLY_LATENCY_BUCKETS];
    _Atomic uint64_t dropped;
    _Atomic uint64_t events;
    _Atomic uint64_t bytes;
};

/** What one thread has counted for a tally, and not yet added to it: threads that publish at the same time
 *  would else pass its cache lines to and fro with every delivery. */
struct tally_part {
    struct emitter_tally *tally;
    uint64_t bytes;
    uint64_t events;
    uint64_t at_once; /* live deliveries that took less than the clock can tell so far */
};

/** Adds a part. `nanoseconds`: how long its deliveries took at most. */
void sse_tally_add(const struct tally_part *part, uint64_t nanoseconds);

/** A later reading tells how long up to `count` deliveries took at most that were counted as being
 *  below the clock's resolution. */
void sse_tally_correct(struct emitter_tally *tally, uint64_t nanoseconds, uint64_t count);

/** The bucket of a time. */
static inline size_t sse_tally_bucket(uint64_t nanoseconds)
{
    size_t bucket = 0;

    if (!nanoseconds)
        return 0;
    for (unsigned bits = 32; bits; bits /= 2) {
        if (nanoseconds >> bits) {
            nanoseconds >>= bits;
            bucket += bits;
        }
    }
    return bucket < TALLY_LATENCY_BUCKETS - 1 ? bucket + 1 : bucket;
}

static inline void sse_tally_bytes(struct emitter_tally *tally, size_t size)
{
    atomic_fetch_add_explicit(&tally->bytes, size, memory_order_relaxed);
}

/** A message was written whole at `now`. `live`: the time since it was published is to be counted; if
 *  that is `now` as well, it is below what this clock reading can tell. */
static inline void sse_tally_event(struct emitter_tally *tally, const struct sse_message *message, bool live,
                                   uint64_t now)
{
    uint64_t published = atomic_load_explicit(&message->published, memory_order_relaxed);
    size_t bucket;

    atomic_fetch_add_explicit(&tally->events, message->events, memory_order_relaxed);
    if (!live || !published)
        return;
    bucket = now > published ? sse_tally_bucket(now - published) : 0;
    atomic_fetch_add_explicit(&tally->latency[bucket], 1, memory_order_relaxed);
}

/** sse_tally_bytes and sse_tally_event for a message that was written whole in one piece. `part`: a part of
 *  this tally, or of another, or NULL. */
static inline void sse_tally_whole(struct emitter_tally *tally, struct tally_part *part,
                                   const struct sse_message *message, size_t size, bool live, uint64_t now)
{
    bool at_once = live && atomic_load_explicit(&message->published, memory_order_relaxed) == now;

    if (!at_once || !part || part->tally != tally) {
        sse_tally_bytes(tally, size);
        sse_tally_event(tally, message, live, now);
        return;
    }
    part->bytes += size;
    part->events += message->events;
    part->at_once++;
}

#endif
