/* SPDX-License-Identifier: MIT */
#include "connection/mark.h"

/* Whether the loop's next turn has work for the emitter. */
static bool has_work(const struct sse_emitter *emitter)
{
    if (emitter->opening || emitter->busy)
        return false;
    if (emitter->state == SSE_STATE_CLOSED)
        return !emitter->finishing;
    if (emitter->has_input || emitter->is_gone || emitter->owes_turn)
        return true;
    if (sse_emitter_deadline(emitter) < emitter->timer.deadline)
        return true;
    if (emitter->state == SSE_STATE_DRAINING && !emitter->queue.count)
        return true;
    if (emitter->output_kind == OUTPUT_PULL)
        return emitter->queue.count && (emitter->armed || sse_emitter_is_over(emitter));
    return emitter->queue.count && !emitter->blocked;
}

void sse_emitter_mark(struct sse_emitter *emitter, struct mark_chain *chain)
{
    if (!emitter->marked && has_work(emitter))
        sse_emitter_mark_always(emitter, chain);
}

void sse_emitter_add_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter)
{
    waiter->next = emitter->waiters;
    emitter->waiters = waiter;
}

void sse_emitter_remove_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter)
{
    struct emitter_waiter **at = &emitter->waiters;

    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
}

void sse_emitter_wake_waiters(struct sse_emitter *emitter)
{
    for (struct emitter_waiter *waiter = emitter->waiters; waiter; waiter = waiter->next)
        pthread_cond_broadcast(&waiter->wake);
}
