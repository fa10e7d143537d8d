/* SPDX-License-Identifier: MIT */
#include "statistics.h"

#include "clock.h"
#include "json.h"

static const char *const reason_names[STATISTICS_REASONS] = {
    [SSE_REASON_NONE] = "none",
    [SSE_REASON_COMPLETED] = "completed",
    [SSE_REASON_LIFETIME] = "lifetime",
    [SSE_REASON_STALL] = "stall",
    [SSE_REASON_DRAIN] = "drain",
    [SSE_REASON_PEER_GONE] = "peer_gone",
    [SSE_REASON_IO_ERROR] = "io_error",
    [SSE_REASON_OVERFLOW] = "overflow",
    [SSE_REASON_APPLICATION] = "application",
    [SSE_REASON_DETACHED] = "detached",
};

void statistics_add_delivery(struct statistics *statistics, const struct sse_delivery *delivery)
{
    ++statistics->published;
    statistics->written += delivery->written;
    statistics->queued += delivery->queued;
    statistics->dropped += delivery->dropped;
    statistics->closed += delivery->closed;
}

void statistics_add_completion(struct statistics *statistics, const struct sse_completion *completion)
{
    statistics->events += completion->events;
    statistics->bytes += completion->bytes;
    statistics->lost += completion->dropped;
    if ((size_t)completion->reason < STATISTICS_REASONS)
        ++statistics->reasons[completion->reason];
}

struct live_sums {
    uint64_t events;
    uint64_t bytes;
    uint64_t lost;
    uint64_t backlog_bytes;
};

static int add_live(struct sse_emitter *emitter, void *user)
{
    struct live_sums *sums = user;
    struct sse_emitter_info info = {.size = sizeof(info)};

    if (sse_emitter_info(emitter, &info) == 0) {
        sums->events += info.events;
        sums->bytes += info.bytes;
        sums->lost += info.dropped;
        sums->backlog_bytes += info.queued_bytes;
    }
    return 0;
}

void statistics_write(const struct statistics *statistics, struct sse_registry *registry, struct buffer *json)
{
    struct live_sums live = {0};

    sse_registry_each(registry, sse_str(NULL), add_live, &live);
    buffer_text(json, "{");
    json_count(json, "uptime_ms", (uint64_t)(clock_now_ms() - statistics->started_ms));
    json_count(json, "connections", statistics->connections);
    json_count(json, "emitters", sse_registry_count(registry, sse_str(NULL)));
    json_count(json, "accepted", statistics->accepted);
    json_count(json, "shed", statistics->shed);
    json_count(json, "streams", statistics->streams);
    json_count(json, "gaps", statistics->gaps);
    json_count(json, "probes", statistics->probes);
    json_count(json, "published", statistics->published);
    json_count(json, "lines", statistics->lines);
    json_count(json, "written", statistics->written);
    json_count(json, "queued", statistics->queued);
    json_count(json, "dropped", statistics->dropped);
    json_count(json, "closed", statistics->closed);
    json_count(json, "events", statistics->events + live.events);
    json_count(json, "bytes", statistics->bytes + live.bytes);
    json_count(json, "lost", statistics->lost + live.lost);
    json_count(json, "backlog_bytes", live.backlog_bytes);
    json_name(json, "completed");
    buffer_text(json, "{");
    for (size_t i = SSE_REASON_COMPLETED; i < STATISTICS_REASONS; ++i)
        json_count(json, reason_names[i], statistics->reasons[i]);
    buffer_text(json, "}}");
}
