/* SPDX-License-Identifier: MIT */
#include "statistics.h"

#include "clock.h"
#include "hub.h"
#include "json.h"

#include <inttypes.h>

/* The buckets of the library's histogram that Prometheus receives: from about 1 microsecond to 17 seconds. */
#define FIRST_BUCKET 10
#define LAST_BUCKET 34

#define NANOSECONDS_PER_SECOND 1e9

/** One number of GET /stats and GET /metrics. */
struct figure {
    const char *name;
    const char *metric;
    bool rises; /**< a counter; otherwise a gauge */
    uint64_t value;
    const char *help;
};

struct counts {
    struct sse_registry_stats followers;
    struct sse_registry_stats watchers;
    int64_t uptime_ms;
};

static struct counts collect(const struct hub *hub)
{
    struct counts counts = {.uptime_ms = clock_now_ms() - hub->statistics.started_ms};

    sse_registry_get_stats(hub->registry, &counts.followers, sizeof(counts.followers));
    sse_registry_get_stats(hub->watchers, &counts.watchers, sizeof(counts.watchers));
    return counts;
}

static void write_figures(const struct hub *hub, const struct counts *counts, struct buffer *out,
                          void (*write)(struct buffer *out, const struct figure *figure))
{
    const struct statistics *own = &hub->statistics;
    const struct sse_registry_stats *stats = &counts->followers;
    const size_t connections = own->requests + stats->remaining + counts->watchers.remaining;
    const struct figure figures[] = {
        {"connections", "connections", false, connections, "Open connections, streams included"},
        {"accepted", "connections_accepted", true, own->accepted, "Connections accepted"},
        {"shed", "clients_shed", true, own->shed, "Clients refused and told to reconnect later"},
        {"lines", "stdin_lines", true, own->lines, "Events from standard input"},
        {"memory_bytes", "memory_bytes", false, hub->memory.bytes, "Memory that the library uses"},
        {"memory_blocks", "memory_blocks", false, hub->memory.blocks, "Blocks of that memory"},
        {"watchers", "watchers", false, counts->watchers.emitters, "Streams of /watch"},
        {"emitters", "streams", false, stats->emitters, "Streams of /events"},
        {"topics", "topics", false, stats->topics, "Topics with subscribers or history"},
        {"backlog_bytes", "queued_bytes", false, stats->backlog_bytes, "Bytes queued for clients"},
        {"history_events", "history_events", false, stats->history_events, "Events retained"},
        {"history_bytes", "history_bytes", false, stats->history_bytes, "Memory of these events"},
        {"added", "streams_opened", true, stats->added, "Streams opened"},
        {"refused", "streams_refused", true, stats->refused, "Streams refused by --max-clients or --max-per-topic"},
        {"published", "events_published", true, stats->published, "Events published"},
        {"queued", "deliveries", true, stats->queued, "Events published, for each receiver"},
        {"written", "events_written", true, stats->events_written, "Events fully written, for each client"},
        {"bytes", "bytes_written", true, stats->bytes_written, "Bytes written to streams"},
        {"dropped", "events_dropped", true, stats->dropped, "Events dropped, for each client"},
        {"replays", "replays", true, stats->replays, "Clients that reconnected and missed nothing"},
        {"replayed", "events_replayed", true, stats->replayed, "Events replayed"},
        {"gaps", "gaps", true, stats->gaps, "Clients that reconnected and missed events"},
    };

    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); ++i)
        write(out, &figures[i]);
}

static const char *const reasons[] = {
    [SSE_REASON_COMPLETED] = "completed",    [SSE_REASON_LIFETIME] = "lifetime",
    [SSE_REASON_STALLED] = "stall",          [SSE_REASON_DRAIN_TIMEOUT] = "drain",
    [SSE_REASON_DISCONNECTED] = "peer_gone", [SSE_REASON_OUTPUT_ERROR] = "io_error",
    [SSE_REASON_OVERFLOW] = "overflow",      [SSE_REASON_ABORTED] = "application",
    [SSE_REASON_CLOSED] = "detached",        [SSE_REASON_SHUTDOWN] = "shutdown",
    [SSE_REASON_NOT_STARTED] = "start",      [SSE_REASON_EVICTED] = "evicted",
};

#define REASONS_END (sizeof(reasons) / sizeof(reasons[0]))

/* JSON */

static void write_json(struct buffer *json, const struct figure *figure)
{
    json_count(json, figure->name, figure->value);
}

static void write_closed(const struct sse_registry_stats *stats, struct buffer *json)
{
    json_name(json, "closed");
    buffer_text(json, "{");
    for (size_t i = SSE_REASON_COMPLETED; i < REASONS_END; ++i)
        json_count(json, reasons[i], stats->ended_by[i]);
    buffer_text(json, "}");
}

/** Each bucket with its upper bound. It begins at half of the bound. */
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
    const struct counts counts = collect(hub);

    buffer_text(json, "{");
    json_count(json, "uptime_ms", (uint64_t)counts.uptime_ms);
    write_figures(hub, &counts, json, write_json);
    write_closed(&counts.followers, json);
    write_latency(&counts.followers, json);
    buffer_text(json, "}");
}

/* Prometheus's text format, version 0.0.4 */

static void write_head(struct buffer *text, const char *metric, const char *suffix, const char *type,
                       const char *help)
{
    buffer_format(text, "# HELP sse_hub_%s%s %s.\n# TYPE sse_hub_%s%s %s\n", metric, suffix, help, metric,
                  suffix, type);
}

static void write_metric(struct buffer *text, const struct figure *figure)
{
    const char *suffix = figure->rises ? "_total" : "";

    write_head(text, figure->metric, suffix, figure->rises ? "counter" : "gauge", figure->help);
    buffer_format(text, "sse_hub_%s%s %" PRIu64 "\n", figure->metric, suffix, figure->value);
}

static void write_uptime(int64_t uptime_ms, struct buffer *text)
{
    write_head(text, "uptime_seconds", "", "gauge", "Time since the hub was started");
    buffer_format(text, "sse_hub_uptime_seconds %" PRId64 ".%03d\n", uptime_ms / 1000,
                  (int)(uptime_ms % 1000));
}

static void write_ended(const struct sse_registry_stats *stats, struct buffer *text)
{
    write_head(text, "streams_ended", "_total", "counter", "Streams that ended, by reason");
    for (size_t i = SSE_REASON_COMPLETED; i < REASONS_END; ++i)
        buffer_format(text, "sse_hub_streams_ended_total{reason=\"%s\"} %" PRIu64 "\n", reasons[i],
                      stats->ended_by[i]);
}

/* There is no sum, because the library does not compute one. */
static void write_histogram(const struct sse_registry_stats *stats, struct buffer *text)
{
    uint64_t count = 0;

    write_head(text, "delivery_seconds", "", "histogram",
               "Time from publishing until the last byte was written");
    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; ++i) {
        count += stats->latency[i];
        if (i >= FIRST_BUCKET && i <= LAST_BUCKET)
            buffer_format(text, "sse_hub_delivery_seconds_bucket{le=\"%.10g\"} %" PRIu64 "\n",
                          (double)(UINT64_C(1) << i) / NANOSECONDS_PER_SECOND, count);
    }
    buffer_format(text,
                  "sse_hub_delivery_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
                  "sse_hub_delivery_seconds_count %" PRIu64 "\n",
                  count, count);
}

void statistics_write_metrics(const struct hub *hub, struct buffer *text)
{
    const struct counts counts = collect(hub);

    write_uptime(counts.uptime_ms, text);
    write_figures(hub, &counts, text, write_metric);
    write_ended(&counts.followers, text);
    write_histogram(&counts.followers, text);
}
