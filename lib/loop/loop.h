/* SPDX-License-Identifier: MIT */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

/**
 * The members of a loop, and the functions of this layer.
 *
 * Locks. `lock` guards the heap and the watches. It is taken before the lock of an emitter, never after. It is not
 * held while an output is used or a callback runs. Only the thread of the loop finishes emitters, so a pointer to
 * one stays valid during a turn.
 */

#include "connection/emitter.h"
#include "loop/watches.h"
#include "loop/wake.h"

#include <sse/loop.h>

struct sse_loop {
    struct marks marks; /* first: marks are cast back to their loop */
    const struct sse_platform *platform;
    unsigned process;

    /* Polled. */
    struct poller *poller; /* NULL: the loop is driven */
    struct wake wake;
    atomic_bool has_descriptor; /* sse_loop_fd was called, so each turn sets the timer of the descriptor */
    atomic_bool stopped;

    /* Driven. */
    void (*on_wake)(struct sse_loop *loop, void *user);
    void *user;

    pthread_mutex_t lock;
    struct heap heap; /* every emitter that is bound, by its next deadline */
    struct watches watches;
    bool closed;    /* no new emitter can be bound */
    bool finishing; /* run returns when the loop is empty */
    bool inside;    /* a thread is inside run, dispatch or turn */
    bool in_turn;   /* that thread is in a turn, and may run callbacks */
    pthread_t thread;
    int cancel_state; /* the cancellation state of that thread before it came inside */
};

/* loop.c, create.c */

/** 0, -EINVAL for NULL, -EPERM in a forked child. */
int sse_loop_check(const struct sse_loop *loop);

struct marks *sse_loop_marks(struct sse_loop *loop);

/** Whether the library waits for descriptors in this loop. */
bool sse_loop_is_polled(const struct sse_loop *loop);

/**
 * Binds an emitter that is opening: reserves what its timer needs, and watches its descriptor. After 0
 * nothing can fail any more. sse_loop_unbind undoes it.
 *
 * - -ENOMEM.
 * - -EEXIST: an emitter writes to or watches this descriptor already.
 * - -ECONNREFUSED: no new emitter can be bound.
 * - An error of the poller, such as -ENOSPC.
 */
int sse_loop_bind(struct sse_loop *loop, struct sse_emitter *emitter);
/** Wakes a loop that is finishing. No lock held. */
void sse_loop_unbind(struct sse_loop *loop, struct sse_emitter *emitter);

/** Makes the loop stop using the descriptor of an emitter. Any thread. */
void sse_loop_unwatch(struct sse_loop *loop, struct sse_emitter *emitter);

/** Sets when the next timer of an emitter is due. If that is before `earliest`, it is due at `earliest`. */
void sse_loop_schedule(struct sse_loop *loop, struct sse_emitter *emitter, uint64_t earliest);

struct sse_emitter *sse_loop_emitter_of_timer(struct heap_node *timer);

/** An emitter that is bound, at a position below the count. Lock held. */
struct sse_emitter *sse_loop_emitter_at(const struct sse_loop *loop, uint32_t position);

/** Frees a loop to which no emitter is bound. */
void sse_loop_destroy(struct sse_loop *loop);

/* turn.c */

/** Makes this thread the loop's: 0, -EDEADLK or -EBUSY. `in_turn`: callbacks may run from now on. */
int sse_loop_enter(struct sse_loop *loop, bool in_turn);
void sse_loop_set_in_turn(struct sse_loop *loop, bool in_turn);
void sse_loop_leave(struct sse_loop *loop);

/** Serves every emitter that is marked when the turn begins, or whose timer is due. Returns the nanoseconds until
 *  the next turn: 0 if work is left, DEADLINE_NEVER if none is due. Not a cancellation point. */
uint64_t sse_loop_run_turn(struct sse_loop *loop);

/** Ends a turn: from now on a mark wakes the loop. Returns the same as sse_loop_run_turn. */
uint64_t sse_loop_rest(struct sse_loop *loop, uint64_t now);

#endif
