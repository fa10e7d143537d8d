/* SPDX-License-Identifier: MIT */
#include "connection/single.h"

static bool claim_end(struct sse_emitter *emitter, struct emitter_remains *remains)
{
    if (emitter->state != SSE_STATE_CLOSED || emitter->busy || emitter->finishing)
        return false;
    emitter->finishing = true;
    *remains = sse_emitter_drop_queue(emitter);
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

/* Tells whoever has to know. Lock held on entry, released on return. */
static struct emitter_outcome announce(struct sse_emitter *emitter, uint64_t now)
{
    struct emitter_owner *owner = NULL;
    struct emitter_outcome outcome;
    struct emitter_remains remains;
    bool notable, ends;

    outcome = outcome_of(emitter);
    ends = claim_end(emitter, &remains);
    sse_emitter_account(emitter);
    notable = emitter->notable;
    emitter->notable = false;
    if (ends || notable || sse_emitter_deadline(emitter) < sse_emitter_scheduled(emitter))
        owner = hold_owner(emitter);
    if (emitter->waiters)
        sse_emitter_wake_waiters(emitter);
    pthread_mutex_unlock(&emitter->lock);

    if (owner)
        owner->notice(owner, emitter, notable);
    if (ends)
        sse_emitter_run_end_hooks(emitter, owner, &remains, now);
    if (owner)
        owner->release(owner);
    return outcome;
}

/* Whether one message waits, whole, and nobody stands between it and the sink. */
static bool has_single(const struct sse_emitter *emitter)
{
    return sse_queue_has_one(&emitter->queue) && !emitter->queue.taken && emitter->state == SSE_STATE_OPEN &&
           !emitter->busy && emitter->sink_kind != SINK_PULL;
}

/* sse_emitter_output for what a publish finds in nearly every emitter. True as sse_emitter_write_single. */
static bool output_single(struct sse_emitter *emitter, uint64_t now, struct tally_part *part)
{
    ssize_t result;
    bool whole;

    sse_emitter_become_busy(emitter);
    emitter->flush_again = false;
    whole = sse_emitter_write_single(emitter, now, part, &result);
    if (!whole)
        sse_emitter_output_on(emitter, result, now);
    emitter->busy = false;
    return whole;
}

struct emitter_outcome sse_emitter_settle(struct sse_emitter *emitter, uint64_t now, struct tally_part *part)
{
    if (!has_single(emitter)) {
        sse_emitter_output(emitter, now);
        return announce(emitter, now);
    }
    if (!output_single(emitter, now, part) || !sse_emitter_owes_nothing(emitter))
        return announce(emitter, now);
    pthread_mutex_unlock(&emitter->lock);
    return (struct emitter_outcome){.error = 0};
}

struct emitter_outcome sse_emitter_leave(struct sse_emitter *emitter, uint64_t now)
{
    struct emitter_outcome outcome;
    int cancel_state;

    /* A hook may give back the reference that the caller came with. */
    sse_emitter_ref(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    outcome = sse_emitter_settle(emitter, now, NULL);
    pthread_setcancelstate(cancel_state, NULL);
    sse_emitter_give_back(emitter);
    return outcome;
}
