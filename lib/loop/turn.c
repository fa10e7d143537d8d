/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "loop/loop.h"

#include <errno.h>

/* The clock is read once for this many emitters. */
#define EMITTERS_PER_READING 64

/* Timers of one turn; the others are the next one's. */
#define TIMERS_PER_TURN 1024

int sse_loop_enter(struct sse_loop *loop, bool in_turn)
{
    int error = 0;

    pthread_mutex_lock(&loop->lock);
    if (loop->inside)
        error = loop->in_turn && pthread_equal(loop->thread, pthread_self()) ? -EDEADLK : -EBUSY;
    if (!error) {
        loop->inside = true;
        loop->in_turn = in_turn;
        loop->thread = pthread_self();
    }
    pthread_mutex_unlock(&loop->lock);
    return error;
}

void sse_loop_set_in_turn(struct sse_loop *loop, bool in_turn)
{
    pthread_mutex_lock(&loop->lock);
    loop->in_turn = in_turn;
    pthread_mutex_unlock(&loop->lock);
}

void sse_loop_leave(struct sse_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->inside = false;
    loop->in_turn = false;
    pthread_mutex_unlock(&loop->lock);
}

/* The first emitter whose timer is due, or NULL. */
static struct sse_emitter *first_due(struct sse_loop *loop, uint64_t now)
{
    struct heap_node *first;

    pthread_mutex_lock(&loop->lock);
    first = sse_heap_first(&loop->heap);
    if (first && !deadline_is_due(first->deadline, now))
        first = NULL;
    pthread_mutex_unlock(&loop->lock);
    return first ? sse_loop_emitter_of_timer(first) : NULL;
}

uint64_t sse_loop_rest(struct sse_loop *loop, uint64_t now)
{
    struct heap_node *first;
    uint64_t deadline;

    if (!sse_marks_rest(&loop->marks))
        return 0;
    pthread_mutex_lock(&loop->lock);
    first = sse_heap_first(&loop->heap);
    deadline = first ? first->deadline : DEADLINE_NEVER;
    pthread_mutex_unlock(&loop->lock);
    if (deadline == DEADLINE_NEVER)
        return deadline;
    return deadline > now ? deadline - now : 0;
}

/** A turn that runs. */
struct turn {
    struct sse_loop *loop;
    struct turn_account account;
    uint64_t now;
    unsigned served;
};

static void serve(struct turn *turn, struct sse_emitter *emitter, enum turn_cause cause)
{
    if (turn->served && turn->served % EMITTERS_PER_READING == 0) {
        sse_turn_account_finish(&turn->account, turn->now);
        turn->now = sse_platform_now(turn->loop->platform);
    }
    turn->served++;
    sse_loop_serve(turn->loop, emitter, cause, turn->now, &turn->account);
}

/* The deadline of the next turn: what was there at the beginning has been served. */
static uint64_t run_turn(struct sse_loop *loop)
{
    struct turn turn = {.loop = loop, .now = sse_platform_now(loop->platform)};
    struct sse_emitter *emitter = sse_marks_take(&loop->marks), *next;

    for (; emitter; emitter = next) {
        next = emitter->next_marked;
        serve(&turn, emitter, TURN_FOR_MARK);
    }
    for (int timers = 0; timers < TIMERS_PER_TURN && (emitter = first_due(loop, turn.now)); timers++)
        serve(&turn, emitter, TURN_FOR_TIMER);
    sse_turn_account_finish(&turn.account, turn.now);
    return sse_loop_rest(loop, turn.now);
}

uint64_t sse_loop_run_turn(struct sse_loop *loop)
{
    uint64_t next;
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    next = run_turn(loop);
    pthread_setcancelstate(cancel_state, NULL);
    return next;
}

int sse_loop_turn(struct sse_loop *loop)
{
    int result = sse_loop_check(loop);
    uint64_t next;

    if (result)
        return result;
    if (loop->poller)
        return -EINVAL;
    result = sse_loop_enter(loop, true);
    if (result)
        return result;
    next = sse_loop_run_turn(loop);
    sse_loop_leave(loop);
    return deadline_timeout_ms(next, 0);
}
