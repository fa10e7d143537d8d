/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "fanout/registry.h"

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Reads what is counted without the lock. The bytes queued may be negative for a moment, if a loop has counted
 * bytes as written before a publish has counted them as queued. */
static void read_tally(const struct emitter_tally *tally, struct sse_registry_stats *stats)
{
    size_t queued = atomic_load_explicit(&tally->queued, memory_order_relaxed);

    stats->backlog_bytes = queued <= SIZE_MAX / 2 ? queued : 0;
    stats->events_written = load(&tally->events);
    stats->bytes_written = load(&tally->bytes);
    stats->dropped = load(&tally->dropped);
    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; i++)
        stats->latency[i] = load(&tally->latency[i]);
}

static void read_counts(const struct sse_registry *registry, struct sse_registry_stats *stats)
{
    const struct registry_counts *counts = &registry->counts;
    const struct shutdown *shutdown = &registry->shutdown;

    *stats = (struct sse_registry_stats){
        .emitters = registry->count,
        .remaining = registry->remaining,
        .topics = registry->topics.map.count - registry->topics.remembered,
        .history_events = registry->archive.events,
        .history_bytes = registry->archive.bytes,
        .added = counts->added,
        .refused = counts->refused,
        .published = counts->published,
        .queued = counts->queued,
        .replays = counts->replays,
        .replayed = counts->replayed,
        .gaps = counts->gaps,
        .shutting_down = shutdown->begun,
        .shutdown_completed = shutdown->completed,
        .shutdown_cut = shutdown->cut,
        .shutdown_bytes_left = shutdown->bytes_left,
    };
    memcpy(stats->ended_by, counts->ended_by, sizeof(stats->ended_by));
}

int sse_registry_get_stats(struct sse_registry *registry, struct sse_registry_stats *stats, size_t size)
{
    struct sse_registry_stats known;
    int error = sse_registry_check(registry);

    if (!error && (!stats || !size))
        error = -EINVAL;
    if (error)
        return error;
    pthread_mutex_lock(&registry->lock);
    sse_archive_expire(&registry->archive, sse_platform_now(registry->platform));
    read_counts(registry, &known);
    pthread_mutex_unlock(&registry->lock);
    read_tally(&registry->group.tally, &known);
    /* A newer program has a larger struct. This version sets the members that it does not know to zero. */
    if (size > sizeof(known))
        memset((char *)stats + sizeof(known), 0, size - sizeof(known));
    memcpy(stats, &known, size < sizeof(known) ? size : sizeof(known));
    return 0;
}
