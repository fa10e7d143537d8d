/* SPDX-License-Identifier: MIT */
#ifndef BENCH_READING_H
#define BENCH_READING_H

/**
 * What one client of the bench has read, checked as it comes: head, then events of one size, and comments
 * between them. Each event has a stamp later than the one before it, so an event that comes twice or out of
 * order is found; one that is lost shows in the number of events, or in the sum of their stamps.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Buckets for each power of two of nanoseconds: a reading is exact to less than one in a hundred. */
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
    bool told;         /* that it has all */
    bool stalled;      /* it does not read */
    bool settled;      /* it was stalled, and has now read what there was */
    unsigned head_end; /* how much of CR LF CR LF has been seen */
    size_t data_size;  /* of each event */
    size_t at;         /* within the event that comes */
    bool in_comment;
    bool after_comment; /* a blank line may come */
    uint64_t stamp;     /* of that event, as far as read */
    uint64_t last;      /* stamp of the event before */
    uint64_t sum;       /* of all stamps */
    unsigned long events;
};

/** False if that is not what the server was told to send. `now` is when it was read. */
bool reading_take(struct reading *reading, const char *bytes, size_t size, uint64_t now,
                  struct latencies *latencies);

/** Whether it is between two events, and has not a part of one. */
bool reading_is_whole(const struct reading *reading);

/** The upper end of the bucket in which this share of the latencies lies. */
uint64_t latencies_at(const struct latencies *latencies, double share);

#endif
