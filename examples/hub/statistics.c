/* SPDX-License-Identifier: MIT */
#include "statistics.h"

#include "clock.h"
#include "hub.h"
#include "json.h"

static void write_own(const struct hub *hub, const struct sse_registry_stats *stats, struct buffer *json)
{
    const struct statistics *own = &hub->statistics;

    json_count(json, "uptime_ms", (uint64_t)(clock_now_ms() - own->started_ms));
    json_count(json, "connections", own->requests + stats->remaining);
    json_count(json, "accepted", own->accepted);
    json_count(json, "shed", own->shed);
    json_count(json, "lines", own->lines);
    json_count(json, "memory_bytes", hub->memory.bytes);
    json_count(json, "memory_blocks", hub->memory.blocks);
}

static void write_counts(const struct sse_registry_stats *stats, struct buffer *json)
{
    json_count(json, "emitters", stats->emitters);
    json_count(json, "topics", stats->topics);
    json_count(json, "backlog_bytes", stats->backlog_bytes);
    json_count(json, "history_events", stats->history_events);
    json_count(json, "history_bytes", stats->history_bytes);
    json_count(json, "added", stats->added);
    json_count(json, "refused", stats->refused);
    json_count(json, "published", stats->published);
    json_count(json, "queued", stats->queued);
    json_count(json, "written", stats->events_written);
    json_count(json, "bytes", stats->bytes_written);
    json_count(json, "dropped", stats->dropped);
    json_count(json, "replays", stats->replays);
    json_count(json, "replayed", stats->replayed);
    json_count(json, "gaps", stats->gaps);
}

static void write_closed(const struct sse_registry_stats *stats, struct buffer *json)
{
    static const char *const names[] = {
        [SSE_REASON_COMPLETED] = "completed",    [SSE_REASON_LIFETIME] = "lifetime",
        [SSE_REASON_STALLED] = "stall",          [SSE_REASON_DRAIN_TIMEOUT] = "drain",
        [SSE_REASON_DISCONNECTED] = "peer_gone", [SSE_REASON_OUTPUT_ERROR] = "io_error",
        [SSE_REASON_OVERFLOW] = "overflow",      [SSE_REASON_ABORTED] = "application",
        [SSE_REASON_CLOSED] = "detached",        [SSE_REASON_SHUTDOWN] = "shutdown",
    };

    json_name(json, "closed");
    buffer_text(json, "{");
    for (size_t i = SSE_REASON_COMPLETED; i < sizeof(names) / sizeof(names[0]); ++i)
        json_count(json, names[i], stats->ended_by[i]);
    buffer_text(json, "}");
}

/** Each bucket with its upper bound; it begins at half of that. */
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

void statistics_write(const struct hub *hub, struct buffer *json)
{
    struct sse_registry_stats stats = {.emitters = 0};

    sse_registry_get_stats(hub->registry, &stats, sizeof(stats));
    buffer_text(json, "{");
    write_own(hub, &stats, json);
    write_counts(&stats, json);
    write_closed(&stats, json);
    write_latency(&stats, json);
    buffer_text(json, "}");
}
