/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/ending.h"
#include "connection/finish.h"
#include "connection/leave.h"
#include "connection/pause.h"
#include "connection/state.h"
#include "connection/write.h"

#include <errno.h>
#include <unistd.h>

struct sse_emitter *sse_emitter_ref(struct sse_emitter *emitter)
{
    if (emitter)
        sse_emitter_keep(emitter);
    return emitter;
}

void *sse_emitter_user(const struct sse_emitter *emitter)
{
    return emitter ? emitter->output.user : NULL;
}

static void close_in_child(const struct sse_emitter *emitter)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    close(sse_emitter_descriptor(emitter));
    pthread_setcancelstate(cancel_state, NULL);
}

/* In a forked child only on_release runs. The stream has not ended, because the parent still has it. */
static void unref_in_child(struct sse_emitter *emitter)
{
    unsigned left = atomic_fetch_sub_explicit(&emitter->refs, 1, memory_order_acq_rel) - 1;
    bool lives = sse_emitter_has_life_reference(emitter);

    if (left > lives || process_left_locked(&emitter->lock))
        return;
    /* In this process only its loop can still reach it. The loop frees it. */
    if (emitter->marks) {
        emitter->released = !left;
        return;
    }
    if (lives && emitter->owned)
        close_in_child(emitter);
    sse_emitter_free_in_child(emitter);
}

/* For a caller that release_one_of_many has refused. Whether nothing would end the emitter any more: it has no
 * loop, and its end has not begun. A visitor of its registry may take a reference meanwhile: visitors may be given
 * an emitter that has ended. */
static bool is_unreachable(struct sse_emitter *emitter)
{
    bool unreachable;

    pthread_mutex_lock(&emitter->lock);
    unreachable = !emitter->looped && !emitter->finishing;
    pthread_mutex_unlock(&emitter->lock);
    return unreachable;
}

/* Releases a reference if it is certain that the program has another one. Atomic, because two threads may release
 * at the same time. */
static bool release_one_of_many(struct sse_emitter *emitter)
{
    unsigned refs = atomic_load(&emitter->refs);

    while (refs > 2)
        if (atomic_compare_exchange_weak(&emitter->refs, &refs, refs - 1))
            return true;
    return false;
}

void sse_emitter_let_go(struct sse_emitter *emitter)
{
    if (release_one_of_many(emitter))
        return;
    if (is_unreachable(emitter))
        sse_emitter_close(emitter);
    else
        sse_emitter_release(emitter);
}

static int end_at(struct sse_emitter *emitter, enum sse_reason reason, int error)
{
    uint64_t now = sse_platform_now(emitter->platform);
    bool taken;

    sse_emitter_keep(emitter);
    pthread_mutex_lock(&emitter->lock);
    taken = sse_emitter_end(emitter, reason, error, now);
    sse_emitter_leave(emitter, sse_emitter_caller_owns(emitter), now);
    sse_emitter_let_go(emitter);
    return taken ? 0 : -EALREADY;
}

int sse_emitter_complete(struct sse_emitter *emitter)
{
    int error = sse_emitter_check(emitter);

    return error ? error : end_at(emitter, SSE_REASON_COMPLETED, 0);
}

int sse_emitter_abort(struct sse_emitter *emitter, int error)
{
    int refused = sse_emitter_check(emitter);

    if (refused)
        return refused;
    if (error >= 0 || error < -4095)
        return -EINVAL;
    return end_at(emitter, sse_reason_of_abort(error), error);
}

/* Whether a loop still writes the rest of an emitter after sse_emitter_close. */
static bool drains_alone(const struct sse_emitter *emitter)
{
    return emitter->state == SSE_STATE_DRAINING && emitter->owned && emitter->marks && emitter->polled;
}

/* Takes the descriptor away from the loop, which is pinned so that it is not freed meanwhile. Lock held; released
 * meanwhile. */
static void unwatch(struct sse_emitter *emitter)
{
    struct marks *marks = emitter->marks;

    if (!marks || !emitter->polled || emitter->owned)
        return;
    sse_marks_pin(marks);
    pthread_mutex_unlock(&emitter->lock);
    marks->unwatch(marks, emitter);
    sse_marks_unpin(marks);
    pthread_mutex_lock(&emitter->lock);
}

static void close_at(struct sse_emitter *emitter, uint64_t now)
{
    bool alone, owned;

    pthread_mutex_lock(&emitter->lock);
    alone = drains_alone(emitter);
    owned = emitter->owned;
    if (!alone) {
        (void)sse_emitter_end(emitter, SSE_REASON_CLOSED, -ECANCELED, now);
        emitter->closed_by_owner = true;
        unwatch(emitter);
        sse_emitter_wait_for_others(emitter);
    }
    sse_emitter_leave(emitter, true, now);
    if (!owned)
        sse_emitter_owner_is_done(emitter);
}

void sse_emitter_close(struct sse_emitter *emitter)
{
    if (!emitter)
        return;
    if (!sse_emitter_is_of_this_process(emitter)) {
        unref_in_child(emitter);
        return;
    }
    close_at(emitter, sse_platform_now(emitter->platform));
    sse_emitter_release(emitter);
}

void sse_emitter_unref(struct sse_emitter *emitter)
{
    if (!emitter)
        return;
    if (!sse_emitter_is_of_this_process(emitter))
        unref_in_child(emitter);
    else
        sse_emitter_let_go(emitter);
}

int sse_emitter_flush(struct sse_emitter *emitter)
{
    uint64_t now;
    int cancel_state, result = sse_emitter_check(emitter);

    if (result)
        return result;
    now = sse_platform_now(emitter->platform);
    sse_emitter_keep(emitter);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&emitter->lock);
    if (emitter->output_kind != OUTPUT_PULL)
        sse_emitter_note_room(emitter);
    if (!emitter->looped)
        sse_emitter_work(emitter, now);
    result = emitter->state == SSE_STATE_CLOSED ? sse_emitter_end_error(emitter) : emitter->queue.count > 0;
    sse_emitter_leave(emitter, false, now);
    pthread_setcancelstate(cancel_state, NULL);
    sse_emitter_let_go(emitter);
    return result;
}

/* Lock held. */
static int start(struct sse_emitter *emitter, bool gap_filled, uint64_t now)
{
    int error = sse_emitter_end_error(emitter);

    if (error)
        return error;
    if (!emitter->paused)
        return -EALREADY;
    sse_emitter_choose_after_gap(emitter, gap_filled);
    emitter->paused = false;
    sse_emitter_follow_pause(emitter, now);
    return 0;
}

int sse_emitter_start(struct sse_emitter *emitter, bool gap_filled)
{
    uint64_t now;
    int error = sse_emitter_check(emitter);

    if (error)
        return error;
    now = sse_platform_now(emitter->platform);
    sse_emitter_keep(emitter);
    pthread_mutex_lock(&emitter->lock);
    error = start(emitter, gap_filled, now);
    sse_emitter_leave(emitter, sse_emitter_caller_owns(emitter), now);
    sse_emitter_let_go(emitter);
    return error;
}
