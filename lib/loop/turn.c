/* SPDX-License-Identifier: MIT */
#include "base/platform.h"
#include "connection/turn.h"
#include "loop/loop.h"
#include "loop/serve.h"

#include <errno.h>

/* The clock is read once for this many emitters. */
#define EMITTERS_PER_READING 64

/* The most timers that run in one turn. The next turn runs the others. */
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

/* The first emitter whose timer is due, or NULL. *deadline becomes that of the first timer. */
static struct sse_emitter *first_due(struct sse_loop *loop, uint64_t now, uint64_t *deadline)
{
    struct heap_node *first;

    pthread_mutex_lock(&loop->lock);
    first = sse_heap_first(&loop->heap);
    *deadline = first ? first->deadline : DEADLINE_NEVER;
    pthread_mutex_unlock(&loop->lock);
    return deadline_is_due(*deadline, now) ? sse_loop_emitter_of_timer(first) : NULL;
}

/* The deadline is still right, because only the loop's thread makes a timer due earlier. */
static uint64_t rest_until(struct sse_loop *loop, uint64_t deadline, uint64_t now)
{
    if (!sse_marks_rest(&loop->marks))
        return 0;
    if (deadline == DEADLINE_NEVER)
        return deadline;
    return deadline > now ? deadline - now : 0;
}

uint64_t sse_loop_rest(struct sse_loop *loop, uint64_t now)
{
    uint64_t deadline;

    (void)first_due(loop, now, &deadline);
    return rest_until(loop, deadline, now);
}

/** A turn that runs. */
struct turn {
    struct sse_loop *loop;
    struct turn_account account;
    uint64_t now;
    unsigned served;
};

static inline void serve(struct turn *turn, struct sse_emitter *emitter, enum turn_cause cause)
{
    if (turn->served && turn->served % EMITTERS_PER_READING == 0) {
        sse_turn_account_finish(&turn->account, turn->now);
        turn->now = sse_platform_now(turn->loop->platform);
    }
    turn->served++;
    sse_loop_serve(turn->loop, emitter, cause, turn->now, &turn->account);
}

/* Serves what there was at the beginning. Returns the nanoseconds until the next turn. */
static inline uint64_t run_turn(struct sse_loop *loop)
{
    struct sse_emitter *emitter, *next;
    struct turn turn;
    uint64_t deadline;

    turn.loop = loop;
    turn.now = sse_platform_now(loop->platform);
    turn.served = 0;
    sse_turn_account_begin(&turn.account);
    emitter = sse_marks_take(&loop->marks);
    for (; emitter; emitter = next) {
        next = emitter->next_marked;
        /* Load the memory of the next emitter while the kernel writes for this one. */
        if (next)
            sse_emitter_fetch_to_write(next);
        serve(&turn, emitter, TURN_FOR_MARK);
    }
    emitter = first_due(loop, turn.now, &deadline);
    for (int timers = 0; timers < TIMERS_PER_TURN && emitter; timers++) {
        serve(&turn, emitter, TURN_FOR_TIMER);
        emitter = first_due(loop, turn.now, &deadline);
    }
    if (turn.served)
        sse_turn_account_finish(&turn.account, turn.now);
    return rest_until(loop, deadline, turn.now);
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
