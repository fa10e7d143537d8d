/* SPDX-License-Identifier: MIT */
#include "connection/leave.h"
#include "connection/accept.h"
#include "connection/account.h"
#include "connection/due.h"
#include "connection/ending.h"
#include "connection/finish.h"
#include "connection/mark.h"
#include "connection/write.h"

/* Finishes an emitter without a loop. Lock held; released meanwhile. */
static void finish_own(struct sse_emitter *emitter, uint64_t now)
{
    pthread_mutex_unlock(&emitter->lock);
    sse_emitter_forget_ended(emitter, now);
    sse_emitter_finish(emitter, now);
    if (emitter->owned)
        sse_output_close(sse_emitter_descriptor(emitter), (enum output_kind)emitter->output_kind);
    sse_emitter_release(emitter);
    pthread_mutex_lock(&emitter->lock);
}

/* A bound, as in a turn of a loop. The next call writes the rest. */
#define WRITES_PER_CALL 64

void sse_emitter_work(struct sse_emitter *emitter, uint64_t now)
{
    if (emitter->busy || emitter->finishing)
        return;
    /* At most two timers run: a heartbeat, then the end of the lifetime. */
    do {
        if (emitter->output_kind == OUTPUT_PULL)
            sse_emitter_continue_draining(emitter, now);
        else
            sse_emitter_write(emitter, WRITES_PER_CALL, now, NULL);
    } while (sse_emitter_run_timers(emitter, now));
    if (emitter->blocked)
        sse_emitter_judge(emitter, now);
    if (sse_emitter_claim_end(emitter))
        finish_own(emitter, now);
}

void sse_emitter_leave(struct sse_emitter *emitter, bool owner, uint64_t now)
{
    struct mark_chain chain = {.to_wake = NULL};
    struct emitter_group *group = NULL;
    int cancel_state;
    bool ended;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (owner && !emitter->looped)
        sse_emitter_work(emitter, now);
    else if (emitter->output_kind == OUTPUT_PULL)
        sse_emitter_continue_draining(emitter, now);
    sse_emitter_account(emitter, emitter->blocked, NULL);
    if (emitter->waiters)
        sse_emitter_wake_waiters(emitter);
    sse_emitter_mark(emitter, &chain);
    ended = emitter->state == SSE_STATE_CLOSED && emitter->group && !emitter->forgotten;
    if (emitter->group && sse_group_is_over_budget(emitter->group))
        group = emitter->group;
    if (group)
        group->ref(group);
    pthread_mutex_unlock(&emitter->lock);
    if (ended)
        sse_emitter_forget_ended(emitter, now);
    sse_mark_chain_finish(&chain);
    if (group) {
        group->relieve(group, now);
        group->unref(group);
    }
    pthread_setcancelstate(cancel_state, NULL);
}
