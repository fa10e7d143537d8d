/* SPDX-License-Identifier: MIT */
#ifndef BENCH_READING_H
#define BENCH_READING_H

/** What one client of the bench has read, checked as it comes: head, then events of one size. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Eight buckets for each power of two of nanoseconds: a reading is exact to an eighth. */
#define LATENCY_BUCKETS (64 * 8)

struct latencies {
    uint64_t counts[LATENCY_BUCKETS];
    uint64_t total;
};

struct reading {
    int fd;
    bool has_head;
    bool told;         /* that it has all */
    unsigned head_end; /* how much of CR LF CR LF has been seen */
    size_t data_size;  /* of each event */
    size_t at;         /* within the event that comes */
    uint64_t stamp;    /* of that event, as far as read */
    uint64_t last;     /* stamp of the event before */
    unsigned long events;
};

/** False if that is not what the server was told to send. `now` is when it was read. */
bool reading_take(struct reading *reading, const char *bytes, size_t size, uint64_t now,
                  struct latencies *latencies);

/** The upper end of the bucket in which this share of the latencies lies. */
uint64_t latencies_at(const struct latencies *latencies, double share);

#endif
