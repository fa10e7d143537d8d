/* SPDX-License-Identifier: MIT */
#ifndef HUB_STATISTICS_H
#define HUB_STATISTICS_H

/** What GET /stats tells: the counts of the hub, and those of its registry. */

#include "buffer.h"
#include "memory.h"

#include <sse/registry.h>

struct statistics {
    int64_t started_ms;
    uint64_t connections; /**< open at this moment */
    uint64_t accepted;
    uint64_t shed;    /**< clients that were told to come back later */
    uint64_t streams; /**< streams begun */
    uint64_t probes;  /**< comments sent to see whether a client is still there; `written` counts them */
    uint64_t lines;   /**< events that came from standard input */
};

/** Writes all counts as one JSON object, those of struct sse_registry_stats by their names. */
void statistics_write(const struct statistics *statistics, const struct memory *memory,
                      struct sse_registry *registry, struct buffer *json);

#endif
