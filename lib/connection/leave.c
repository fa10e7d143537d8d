/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"

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

/* For an open emitter with an empty queue: nobody has to be told. The owner knows its deadline or one before
 * it: who told the owner of a deadline while bytes waited has charged them, and with none waiting it only
 * moves away. */
static bool owes_nothing(const struct sse_emitter *emitter)
{
    return !emitter->charged && !emitter->notable && !emitter->waiters;
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

/* sse_emitter_output for what a publish finds in nearly every emitter, in a straight line. True if it is
 * open still, and its queue empty. */
static bool output_single(struct sse_emitter *emitter, uint64_t now, struct tally_part *part)
{
    struct queue *queue = &emitter->queue;
    struct sse_message *message = queue->only;
    struct sse_str wire = sse_message_wire(message, queue->chunked);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)wire.ptr, .iov_len = wire.len};
    ssize_t result;
    bool whole;

    sse_emitter_become_busy(emitter);
    emitter->flush_again = false;
    queue->pinned = 1;
    pthread_mutex_unlock(&emitter->lock);
    result = sse_sink_write(&emitter->sink, (enum sink_kind)emitter->sink_kind, &iov, 1);
    pthread_mutex_lock(&emitter->lock);
    queue->pinned = 0;
    /* Others may have queued more meanwhile, or ended it. */
    whole = result == (ssize_t)wire.len && sse_queue_has_one(queue) && emitter->state == SSE_STATE_OPEN;
    if (whole) {
        struct emitter_owner *owner = emitter->owner;

        emitter->bytes += wire.len;
        emitter->timers.progress = now;
        emitter->blocked = false;
        if (owner)
            sse_tally_whole(&owner->tally, part, message, wire.len, !queue->replayed, now);
        sse_queue_take_single(queue);
        sse_emitter_count_message(emitter, message);
    } else {
        sse_emitter_output_on(emitter, result, now);
    }
    emitter->busy = false;
    return whole;
}

struct emitter_outcome sse_emitter_settle(struct sse_emitter *emitter, uint64_t now, struct tally_part *part)
{
    if (!has_single(emitter)) {
        sse_emitter_output(emitter, now);
        return announce(emitter, now);
    }
    if (!output_single(emitter, now, part) || !owes_nothing(emitter))
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
