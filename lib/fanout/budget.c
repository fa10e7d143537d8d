/* SPDX-License-Identifier: MIT */
#include "fanout/registry.h"

#include <errno.h>

/*
 * The backlog counts what is left in the queues when those who put it there have tried to write it: a
 * broadcast that every sink takes at once is never over the budget.
 */

/* The member with the largest part of the backlog, or NULL. What a publish under way has queued and not
 * yet tried to write is in nobody's part: the end of such a member would relieve nothing. Lock held. */
static struct sse_emitter *find_largest(const struct sse_registry *registry)
{
    struct sse_emitter *largest = NULL;
    size_t most = 0;

    for (size_t i = 0; i < registry->count; i++) {
        struct sse_emitter *emitter = sse_members_at(registry, i);
        size_t bytes;

        pthread_mutex_lock(&emitter->lock);
        bytes = emitter->charged;
        pthread_mutex_unlock(&emitter->lock);
        if (bytes > most) {
            most = bytes;
            largest = emitter;
        }
    }
    return largest;
}

static bool is_over(const struct sse_registry *registry)
{
    return atomic_load_explicit(&registry->owner.tally.backlog, memory_order_relaxed) >
           registry->owner.backlog_max;
}

void sse_budget_enforce(struct sse_registry *registry, uint64_t now)
{
    while (is_over(registry)) {
        struct sse_emitter *largest;

        pthread_mutex_lock(&registry->lock);
        largest = sse_emitter_ref(find_largest(registry));
        pthread_mutex_unlock(&registry->lock);
        if (!largest)
            return;
        sse_registry_trace(registry, largest, SSE_TRACE_EVICTED);
        (void)sse_emitter_end_at(largest, SSE_REASON_OVERFLOW, -ENOBUFS, now);
        sse_emitter_give_back(largest);
    }
}

void sse_budget_relieve(struct emitter_owner *owner, uint64_t now)
{
    sse_budget_enforce((struct sse_registry *)(void *)owner, now);
}
