/* SPDX-License-Identifier: MIT */
#include "connection/turn.h"
#include "connection/accept.h"
#include "connection/account.h"
#include "connection/due.h"
#include "connection/ending.h"
#include "connection/finish.h"
#include "connection/leave.h"
#include "connection/mark.h"
#include "connection/write.h"

/* A bound for the writes of one emitter in one turn, so that the others are served too: 256 messages. */
#define WRITES_PER_TURN 16

/* The writes of a publish to one emitter that is behind. Two are enough, because each publish queues
 * one message. */
#define WRITES_TO_CATCH_UP 2

/* Lock held; released during the callback. */
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
    /* sse_emitter_tell_end reports the end, when the registry has forgotten the emitter. */
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

/* Applies the overflow policy to an emitter that is over its limits. A reader gets one turn more, in which it can
 * consume. Returns true if that turn is still to come. */
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

/* Whether the program must report room. A write callback may be full although its descriptor has room. */
static bool needs_to_be_told_of_room(const struct sse_emitter *emitter)
{
    return emitter->output_kind == OUTPUT_CALLBACK || !emitter->polled;
}

/* Writes, and runs the timers: a heartbeat, then perhaps the end of the lifetime. What they queue is written at
 * once. Returns true if the next turn must judge the emitter. */
static bool work(struct sse_emitter *emitter, uint64_t now, struct turn_account *account)
{
    bool to_be_judged;

    output(emitter, now, account);
    for (int timers = 0; timers < 2 && sse_emitter_run_timers(emitter, now); timers++)
        output(emitter, now, account);
    to_be_judged = judge(emitter, now);
    if (emitter->owes_turn && emitter->blocked && emitter->state != SSE_STATE_CLOSED &&
        needs_to_be_told_of_room(emitter))
        call_on_ready(emitter, SSE_BLOCKED);
    emitter->owes_turn = false;
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
    /* A reader fetches the bytes, so there is no room to wait for. */
    if (emitter->blocked && emitter->output_kind != OUTPUT_PULL)
        result |= TURN_BLOCKED;
    if (sse_emitter_deadline(emitter) < emitter->timer.deadline)
        result |= TURN_SCHEDULE;
    return result;
}

/* Whether the turn may work. If not, *result is its result. After TURN_INPUT the emitter stays busy, for the loop.
 * If another thread is busy, the emitter owes a turn: that thread asks for it when it leaves. Lock held. */
static bool may_work(struct sse_emitter *emitter, enum turn_cause cause, unsigned *result)
{
    *result = 0;
    if (emitter->busy) {
        emitter->owes_turn = true;
        return false;
    }
    if (emitter->released)
        *result = TURN_RELEASED;
    else if (emitter->finished)
        *result = TURN_FINISHED;
    else if (cause != TURN_FOR_INPUT && emitter->state != SSE_STATE_CLOSED &&
             (emitter->has_input || emitter->is_gone))
        *result = TURN_INPUT;
    if (*result == TURN_INPUT)
        sse_emitter_become_busy(emitter);
    return !*result;
}

/* Whether the only work is one queued message, of which nothing is written. */
static inline bool has_single(const struct sse_emitter *emitter, uint64_t now)
{
    return !emitter->busy && !emitter->blocked && !emitter->tried && !emitter->owes_turn &&
           !emitter->released && !emitter->has_input && !emitter->is_gone &&
           emitter->state == SSE_STATE_OPEN && emitter->output_kind != OUTPUT_PULL &&
           sse_queue_has_one(&emitter->queue) && !emitter->queue.taken && !sse_emitter_pause(emitter) &&
           emitter->timer.deadline > now && emitter->timer.deadline != DEADLINE_NEVER;
}

/* Writes the only message: after a publish, nearly every emitter needs no more than this. False if the emitter
 * needs the rest of a turn. Lock held. */
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
    /* Without a new deadline the loop looks at the emitter at the old one, which must not be too late. */
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
    sse_emitter_write(emitter, WRITES_TO_CATCH_UP, now, NULL);
    emitter->busy = false;
    if (emitter->blocked)
        sse_emitter_judge(emitter, now);
    sse_emitter_account(emitter, emitter->blocked, NULL);
    sse_emitter_leave(emitter, false, now);
}
