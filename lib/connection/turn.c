/* SPDX-License-Identifier: MIT */
#include "connection/emitter.h"

/* What one emitter may write in one turn, so that the others have theirs: 256 messages. */
#define WRITES_PER_TURN 16

/* What a publisher writes to one emitter that is behind: it queues one message with each call. */
#define WRITES_TO_CATCH_UP 2

/* Lock held; let go during the callback. */
static void call_on_ready(struct sse_emitter *emitter, unsigned what)
{
    const union emitter_extra *ready = sse_emitter_extra(emitter, EXTRA_READY);

    if (!ready || emitter->closed_by_owner)
        return;
    sse_emitter_become_busy(emitter);
    pthread_mutex_unlock(&emitter->lock);
    ready->on_ready(emitter, what, emitter->output.user);
    pthread_mutex_lock(&emitter->lock);
    emitter->busy = false;
}

static void tell_reader(struct sse_emitter *emitter, uint64_t now)
{
    sse_emitter_continue_draining(emitter, now);
    /* Of the end it is told when the registry has forgotten it. */
    if (!emitter->armed || !emitter->queue.count || emitter->state == SSE_STATE_CLOSED)
        return;
    emitter->armed = false;
    emitter->blocked = true;
    call_on_ready(emitter, SSE_READABLE);
    sse_emitter_continue_draining(emitter, now);
}

static void output(struct sse_emitter *emitter, uint64_t now, struct turn_account *account)
{
    if (emitter->output_kind == OUTPUT_PULL)
        tell_reader(emitter, now);
    else if (!emitter->blocked)
        sse_emitter_write(emitter, WRITES_PER_TURN, now, account);
    else
        sse_emitter_continue_draining(emitter, now);
}

/* A reader is judged by the turn after the one in which it was told, if it has consumed nothing. True: that
 * turn is to come. */
static bool judge(struct sse_emitter *emitter, uint64_t now)
{
    bool seen = emitter->seen_over;

    if (!sse_emitter_is_over(emitter))
        return false;
    if (emitter->output_kind == OUTPUT_PULL ? seen : emitter->blocked)
        sse_emitter_judge(emitter, now);
    emitter->seen_over = true;
    return emitter->output_kind == OUTPUT_PULL && !seen;
}

/* A write callback may be full for reasons of its own, which no descriptor tells. */
static bool needs_to_be_told_of_room(const struct sse_emitter *emitter)
{
    return emitter->output_kind == OUTPUT_CALLBACK || !emitter->polled;
}

/* Writes, and runs the timers, whose work is written at once: a heartbeat, then perhaps the lifetime's end.
 * True if it is to be judged by the next turn. */
static bool work(struct sse_emitter *emitter, uint64_t now, struct turn_account *account)
{
    bool to_be_judged;

    output(emitter, now, account);
    for (int timers = 0; timers < 2 && sse_emitter_run_timers(emitter, now); timers++)
        output(emitter, now, account);
    to_be_judged = judge(emitter, now);
    if (emitter->tell_blocked && emitter->blocked && emitter->state != SSE_STATE_CLOSED &&
        needs_to_be_told_of_room(emitter))
        call_on_ready(emitter, SSE_BLOCKED);
    emitter->tell_blocked = false;
    return to_be_judged;
}

void sse_emitter_tell_end(struct sse_emitter *emitter)
{
    pthread_mutex_lock(&emitter->lock);
    if (emitter->output_kind == OUTPUT_PULL && emitter->armed) {
        emitter->armed = false;
        call_on_ready(emitter, SSE_READABLE);
        sse_emitter_wake_waiters(emitter);
    }
    pthread_mutex_unlock(&emitter->lock);
}

static bool work_is_left(const struct sse_emitter *emitter)
{
    if (emitter->state == SSE_STATE_CLOSED)
        return false;
    if (emitter->has_input)
        return true;
    if (emitter->output_kind == OUTPUT_PULL)
        return emitter->armed && emitter->queue.count;
    return emitter->queue.count && !emitter->blocked;
}

/* Lock held. */
static unsigned result_of_turn(struct sse_emitter *emitter)
{
    unsigned result = 0;

    if (work_is_left(emitter))
        result |= TURN_AGAIN;
    if (sse_emitter_claim_end(emitter))
        result |= TURN_ENDED;
    /* A reader asks for bytes by itself. */
    if (emitter->blocked && emitter->output_kind != OUTPUT_PULL)
        result |= TURN_BLOCKED;
    if (sse_emitter_deadline(emitter) < emitter->timer.deadline)
        result |= TURN_SCHEDULE;
    return result;
}

/* False: the turn has another result than work. For TURN_INPUT the loop's thread stays inside. Lock held. */
static bool may_work(struct sse_emitter *emitter, enum turn_cause cause, unsigned *result)
{
    *result = 0;
    if (emitter->released)
        *result = TURN_RELEASED;
    else if (emitter->finished)
        *result = TURN_FINISHED;
    else if (emitter->busy)
        return false;
    else if (cause != TURN_FOR_INPUT && emitter->state != SSE_STATE_CLOSED &&
             (emitter->has_input || emitter->is_gone))
        *result = TURN_INPUT;
    if (*result == TURN_INPUT)
        sse_emitter_become_busy(emitter);
    return !*result;
}

/* Whether one message is queued, nothing of it is written, and nothing else is to be done. */
static inline bool has_single(const struct sse_emitter *emitter, uint64_t now)
{
    return !emitter->busy && !emitter->blocked && !emitter->tried && !emitter->tell_blocked &&
           !emitter->released && !emitter->has_input && !emitter->is_gone &&
           emitter->state == SSE_STATE_OPEN && emitter->output_kind != OUTPUT_PULL &&
           sse_queue_has_one(&emitter->queue) && !emitter->queue.taken && !sse_emitter_pause(emitter) &&
           emitter->timer.deadline > now && emitter->timer.deadline != DEADLINE_NEVER;
}

/* What a publish leaves in nearly every emitter: one write, and nothing to tell anybody. Lock held. False:
 * the rest is for a whole turn. */
static bool serve_single(struct sse_emitter *emitter, uint64_t now, struct turn_account *account)
{
    ssize_t result;
    bool whole;

    sse_emitter_become_busy(emitter);
    emitter->flush_again = false;
    whole = sse_emitter_write_single(emitter, now, account, &result);
    if (!whole)
        sse_emitter_write_on(emitter, result, WRITES_PER_TURN, now, account);
    emitter->busy = false;
    if (!whole)
        return false;
    if (emitter->charged)
        sse_turn_account_part(account, emitter->group)->queued -= emitter->charged;
    emitter->charged = 0;
    /* The loop looks at it by then, unless what it waited for was a stall, which takes longer. */
    return sse_timers_heartbeat_due(&emitter->timers, SSE_STATE_OPEN, false) >= emitter->timer.deadline;
}

unsigned sse_emitter_turn(struct sse_emitter *emitter, enum turn_cause cause, uint64_t now,
                          struct turn_account *account)
{
    unsigned result;
    bool ended, again;

    pthread_mutex_lock(&emitter->lock);
    if (cause == TURN_FOR_MARK)
        emitter->marked = false;
    if (has_single(emitter, now) && serve_single(emitter, now, account)) {
        pthread_mutex_unlock(&emitter->lock);
        return 0;
    }
    if (!may_work(emitter, cause, &result)) {
        pthread_mutex_unlock(&emitter->lock);
        return result;
    }
    again = work(emitter, now, account);
    sse_emitter_account(emitter, emitter->blocked, account);
    if (emitter->waiters)
        sse_emitter_wake_waiters(emitter);
    ended = emitter->state == SSE_STATE_CLOSED && emitter->group && !emitter->forgotten;
    result = result_of_turn(emitter) | (again ? TURN_AGAIN : 0);
    pthread_mutex_unlock(&emitter->lock);
    if (ended)
        sse_emitter_forget_ended(emitter, now);
    if (result & TURN_ENDED)
        sse_emitter_tell_end(emitter);
    return result;
}

void sse_emitter_catch_up(struct sse_emitter *emitter, uint64_t now)
{
    pthread_mutex_lock(&emitter->lock);
    if (sse_emitter_is_behind(emitter) && !emitter->opening)
        sse_emitter_write(emitter, WRITES_TO_CATCH_UP, now, NULL);
    if (emitter->blocked)
        sse_emitter_judge(emitter, now);
    sse_emitter_account(emitter, emitter->blocked, NULL);
    sse_emitter_leave(emitter, false, now);
}
