/* SPDX-License-Identifier: MIT */
#include "statistics.h"

#include "clock.h"
#include "json.h"

static const char *const reason_names[SSE_REASON_SHUTDOWN + 1] = {
    [SSE_REASON_COMPLETED] = "completed", [SSE_REASON_LIFETIME] = "lifetime",
    [SSE_REASON_STALL] = "stall",         [SSE_REASON_DRAIN] = "drain",
    [SSE_REASON_PEER_GONE] = "peer_gone", [SSE_REASON_IO_ERROR] = "io_error",
    [SSE_REASON_OVERFLOW] = "overflow",   [SSE_REASON_APPLICATION] = "application",
    [SSE_REASON_DETACHED] = "detached",   [SSE_REASON_SHUTDOWN] = "shutdown",
};

static void write_own(const struct statistics *statistics, const struct memory *memory, struct buffer *json)
{
    json_count(json, "uptime_ms", (uint64_t)(clock_now_ms() - statistics->started_ms));
    json_count(json, "connections", statistics->connections);
    json_count(json, "accepted", statistics->accepted);
    json_count(json, "shed", statistics->shed);
    json_count(json, "streams", statistics->streams);
    json_count(json, "probes", statistics->probes);
    json_count(json, "lines", statistics->lines);
    json_count(json, "memory_bytes", memory->bytes);
    json_count(json, "memory_blocks", memory->blocks);
}

static void write_counts(const struct sse_registry_stats *stats, struct buffer *json)
{
    json_count(json, "emitters", stats->emitters);
    json_count(json, "topics", stats->topics);
    json_count(json, "backlog_bytes", stats->backlog_bytes);
    json_count(json, "history_events", stats->history_events);
    json_count(json, "history_bytes", stats->history_bytes);
    json_count(json, "added", stats->added);
    json_count(json, "published", stats->published);
    json_count(json, "written", stats->written);
    json_count(json, "queued", stats->queued);
    json_count(json, "dropped", stats->dropped);
    json_count(json, "bytes", stats->bytes);
    json_count(json, "replays", stats->replays);
    json_count(json, "replayed", stats->replayed);
    json_count(json, "gaps", stats->gaps);
    json_count(json, "refused", stats->refused);
}

static void write_closed(const struct sse_registry_stats *stats, struct buffer *json)
{
    json_name(json, "closed");
    buffer_text(json, "{");
    for (size_t i = SSE_REASON_COMPLETED; i <= SSE_REASON_SHUTDOWN; ++i)
        json_count(json, reason_names[i], stats->closed[i]);
    buffer_text(json, "}");
}

/** Each bucket with the bound that it lies below, and above half of which it begins. */
static void write_latency(const struct sse_registry_stats *stats, struct buffer *json)
{
    json_name(json, "latency");
    buffer_text(json, "[");
    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; ++i) {
        buffer_text(json, i == 0 ? "{" : ",{");
        json_count(json, "below_ns", UINT64_C(1) << i);
        json_count(json, "count", stats->latency[i]);
        buffer_text(json, "}");
    }
    buffer_text(json, "]");
}

void statistics_write(const struct statistics *statistics, const struct memory *memory,
                      struct sse_registry *registry, struct buffer *json)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};

    sse_registry_stats(registry, &stats);
    buffer_text(json, "{");
    write_own(statistics, memory, json);
    write_counts(&stats, json);
    write_closed(&stats, json);
    write_latency(&stats, json);
    buffer_text(json, "}");
}
