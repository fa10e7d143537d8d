/* SPDX-License-Identifier: MIT */
#include "fanout/registry.h"

#include <errno.h>

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* What is counted without the lock. */
static void read_tally(const struct emitter_tally *tally, struct sse_registry_stats *stats)
{
    stats->backlog_bytes = atomic_load_explicit(&tally->backlog, memory_order_relaxed);
    stats->written = load(&tally->events);
    stats->dropped = load(&tally->dropped);
    stats->bytes = load(&tally->bytes);
    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; i++)
        stats->latency[i] = load(&tally->latency[i]);
}

int sse_registry_stats(struct sse_registry *registry, struct sse_registry_stats *stats)
{
    const struct registry_counts *counts;
    int error = sse_registry_check(registry);

    if (error)
        return error;
    if (!stats || stats->size != sizeof(*stats))
        return -EINVAL;
    counts = &registry->counts;
    pthread_mutex_lock(&registry->lock);
    *stats = (struct sse_registry_stats){
        .size = sizeof(*stats),
        .emitters = registry->count,
        .topics = registry->topics.map.count,
        .history_events = registry->archive.events,
        .history_bytes = registry->archive.bytes,
        .added = counts->added,
        .published = counts->published,
        .queued = counts->queued,
        .replays = counts->replays,
        .replayed = counts->replayed,
        .gaps = counts->gaps,
        .refused = counts->refused,
    };
    memcpy(stats->closed, counts->closed, sizeof(stats->closed));
    pthread_mutex_unlock(&registry->lock);
    read_tally(&registry->owner.tally, stats);
    return 0;
}
