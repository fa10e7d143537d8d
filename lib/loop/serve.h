/* SPDX-License-Identifier: MIT */
#ifndef LOOP_SERVE_H
#define LOOP_SERVE_H

/** Serves emitters. In the loop's thread, cancellation disabled, no lock held. */

#include "connection/turn.h"
#include "loop/loop.h"

/** Does what the turn of an emitter has asked for. `was_due`: its timer was due before the turn. */
void sse_loop_follow_turn(struct sse_loop *loop, struct sse_emitter *emitter, unsigned result, bool was_due,
                          uint64_t now, struct turn_account *account);

/** Serves one emitter. */
static inline void sse_loop_serve(struct sse_loop *loop, struct sse_emitter *emitter, enum turn_cause cause,
                                  uint64_t now, struct turn_account *account)
{
    bool was_due = emitter->timer.deadline <= now;
    unsigned result = sse_emitter_turn(emitter, cause, now, account);

    if (result || was_due || emitter->asked_for_room)
        sse_loop_follow_turn(loop, emitter, result, was_due, now, account);
}

/** Finishes an emitter whose end is claimed: runs the callbacks, closes the descriptor, releases references. */
void sse_loop_finish_emitter(struct sse_loop *loop, struct sse_emitter *emitter, uint64_t now);

#endif
