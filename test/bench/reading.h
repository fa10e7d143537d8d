/* SPDX-License-Identifier: MIT */
#ifndef BENCH_READING_H
#define BENCH_READING_H

/**
 * Checks the bytes of one client of the bench as they arrive: the head, then events of one size, with comments
 * between them. Each event has a later stamp than the one before it, so a repeated or misordered event is noticed.
 * A lost one is noticed in the number of events, or in the sum of their stamps.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Buckets for each power of two of nanoseconds. A reading is exact to less than one in a hundred. */
#define LATENCY_BITS 7
#define LATENCY_STEPS (1 << LATENCY_BITS)
#define LATENCY_BUCKETS (64 * LATENCY_STEPS)

struct latencies {
    uint64_t counts[LATENCY_BUCKETS];
    uint64_t total;
};

struct reading {
    int fd;
    bool has_head;
    bool told;         /* how many events are all events */
    bool stalled;      /* it does not read */
    bool settled;      /* it was stalled, and has now read the rest */
    unsigned head_end; /* how much of CR LF CR LF has been seen */
    size_t data_size;  /* of each event */
    size_t at;         /* position within the current event */
    bool in_comment;
    bool after_comment; /* a blank line may come */
    uint64_t stamp;     /* bytes of that event that were read */
    uint64_t last;      /* stamp of the event before */
    uint64_t sum;       /* of all stamps */
    unsigned long events;
};

/** Returns false if these are not the bytes that the server was told to send. `now` is the time of reading. */
bool reading_take(struct reading *reading, const char *bytes, size_t size, uint64_t now,
                  struct latencies *latencies);

/** Whether it is between two events, without a part of one. */
bool reading_is_whole(const struct reading *reading);

/** Returns the upper end of the bucket that contains this share of the latencies. */
uint64_t latencies_at(const struct latencies *latencies, double share);

#endif
