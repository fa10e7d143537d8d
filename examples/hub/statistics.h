/* SPDX-License-Identifier: MIT */
#ifndef HUB_STATISTICS_H
#define HUB_STATISTICS_H

/** What GET /stats tells: counts since the start, made from deliveries and completion records. */

#include "buffer.h"

#include <sse/registry.h>

#define STATISTICS_REASONS (SSE_REASON_DETACHED + 1)

struct statistics {
    int64_t started_ms;
    uint64_t connections; /**< open at this moment */
    uint64_t accepted;
    uint64_t shed;    /**< sent away, because there were too many connections */
    uint64_t streams; /**< streams begun */
    uint64_t gaps;    /**< of those, how many resumed from an id, and may have missed events */
    uint64_t probes;  /**< comments sent to see whether a client is still there; `events` counts them */
    uint64_t published;
    uint64_t lines; /**< of those, how many came from standard input */

    /* Sums of struct sse_delivery. */
    uint64_t written;
    uint64_t queued;
    uint64_t dropped;
    uint64_t closed;

    /* Sums of struct sse_completion. */
    uint64_t events;
    uint64_t bytes;
    uint64_t lost; /**< events accepted, and never written whole */
    uint64_t reasons[STATISTICS_REASONS];
};

void statistics_add_delivery(struct statistics *statistics, const struct sse_delivery *delivery);
void statistics_add_completion(struct statistics *statistics, const struct sse_completion *completion);

/** Writes all counts as one JSON object; those of streams that still live are taken from `registry`. */
void statistics_write(const struct statistics *statistics, struct sse_registry *registry,
                      struct buffer *json);

#endif
