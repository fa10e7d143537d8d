/* SPDX-License-Identifier: MIT */
#ifndef HUB_STATISTICS_H
#define HUB_STATISTICS_H

/** GET /stats and GET /metrics: the counters of the hub and of its registries. */

#include "buffer.h"

#include <stdint.h>

struct hub;

struct statistics {
    int64_t started_ms;
    uint64_t requests; /**< connections without a stream, now */
    uint64_t accepted;
    uint64_t shed;  /**< clients that were told to reconnect later */
    uint64_t lines; /**< events that came from standard input */
};

/** Writes all counts as one JSON object. */
void statistics_write(const struct hub *hub, struct buffer *json);

/** Writes all counts in the text format of Prometheus. */
void statistics_write_metrics(const struct hub *hub, struct buffer *text);

#endif
