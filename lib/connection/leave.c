/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"

static bool claim_end(struct sse_emitter *emitter)
{
    if (emitter->state != SSE_STATE_CLOSED || emitter->busy || emitter->finishing)
        return false;
    emitter->finishing = true;
    sse_emitter_drop_queue(emitter);
    return true;
}

static struct emitter_owner *hold_owner(struct sse_emitter *emitter)
{
    if (emitter->owner)
        emitter->owner->hold(emitter->owner);
    return emitter->owner;
}

static struct emitter_outcome outcome_of(const struct sse_emitter *emitter)
{
    bool broken = emitter->state == SSE_STATE_CLOSED && !sse_emitter_ended_gracefully(emitter);

    return (struct emitter_outcome){
        .error = broken ? emitter->error : 0,
        .queued = emitter->queue.count > 0,
    };
}

struct emitter_outcome sse_emitter_settle(struct sse_emitter *emitter, uint64_t now)
{
    struct emitter_owner *owner = NULL;
    struct emitter_outcome outcome;
    bool notable, ends;

    sse_emitter_output(emitter, now);
    outcome = outcome_of(emitter);
    ends = claim_end(emitter);
    sse_emitter_account(emitter);
    notable = emitter->notable;
    emitter->notable = false;
    if (ends || notable || sse_emitter_deadline(emitter) < emitter->scheduled)
        owner = hold_owner(emitter);
    if (emitter->waiters)
        sse_emitter_wake_waiters(emitter);
    pthread_mutex_unlock(&emitter->lock);

    if (owner)
        owner->notice(owner, emitter, notable);
    if (ends)
        sse_emitter_run_end_hooks(emitter, owner, now);
    if (owner)
        owner->release(owner);
    return outcome;
}

struct emitter_outcome sse_emitter_leave(struct sse_emitter *emitter, uint64_t now)
{
    struct emitter_outcome outcome;
    int cancel_state;

    /* A hook may give back the reference that the caller came with. */
    sse_emitter_ref(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    outcome = sse_emitter_settle(emitter, now);
    pthread_setcancelstate(cancel_state, NULL);
    sse_emitter_give_back(emitter);
    return outcome;
}
