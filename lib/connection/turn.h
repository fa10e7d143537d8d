/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_TURN_H
#define CONNECTION_TURN_H

/** The turn of an emitter, for its loop. */

#include "connection/emitter.h"

/** What the loop is to do after a turn of an emitter: bits. */
enum emitter_turn {
    TURN_AGAIN = 1,     /* work is left */
    TURN_ENDED = 2,     /* its end is claimed: finish the emitter */
    TURN_BLOCKED = 4,   /* the output is full: ask for room */
    TURN_SCHEDULE = 8,  /* its next timer is due earlier than the loop knows */
    TURN_FINISHED = 16, /* it has finished, and will not be marked again */
    TURN_RELEASED = 32, /* the last reference is released: free the emitter */
    TURN_INPUT = 64     /* it is busy, and its descriptor has reported something: see sse_loop_follow_turn */
};

/** Why an emitter is served. */
enum turn_cause {
    TURN_FOR_MARK, /* it was marked, and is so no longer */
    TURN_FOR_TIMER,
    TURN_FOR_INPUT /* the loop has handled what its descriptor reported */
};

/** Serves an emitter. No lock held, cancellation disabled. */
unsigned sse_emitter_turn(struct sse_emitter *emitter, enum turn_cause cause, uint64_t now,
                          struct turn_account *account);

/** Reports the end to a reader, with on_ready, if the emitter is armed. No lock held, after sse_emitter_end. */
void sse_emitter_tell_end(struct sse_emitter *emitter);

/** Writes to an emitter that is far behind, for a publisher that has called sse_emitter_become_busy. No lock held,
 *  cancellation disabled, a reference held. */
void sse_emitter_catch_up(struct sse_emitter *emitter, uint64_t now);

#endif
