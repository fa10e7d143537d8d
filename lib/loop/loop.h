/* SPDX-License-Identifier: MIT */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

/**
 * The inside of a loop.
 *
 * Locks. `lock` guards the heap and the watches. It is taken before the lock of an emitter, never after,
 * and not while an output is used or a callback runs. Only the thread of the loop finishes emitters, so a
 * pointer to one stays valid during its turn.
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
    atomic_bool has_descriptor; /* sse_loop_fd was called: its timer is to be set */
    atomic_bool stopped;

    /* Driven. */
    void (*on_wake)(struct sse_loop *loop, void *user);
    void *user;

    pthread_mutex_t lock;
    struct heap heap; /* every emitter that is bound, by its next deadline */
    struct watches watches;
    bool closed;    /* no new emitters */
    bool finishing; /* run returns when it is empty */
    bool inside;    /* a thread is inside a turn, or waits for one ... */
    bool in_turn;   /* ... and may run callbacks */
    pthread_t thread;
    int cancel_state; /* that the thread inside came with */
};

/* loop.c, create.c */

/** 0, -EINVAL for NULL, -EPERM in a forked child. */
int sse_loop_check(const struct sse_loop *loop);

struct marks *sse_loop_marks(struct sse_loop *loop);

/** Whether the library waits for descriptors in this loop. */
bool sse_loop_is_polled(const struct sse_loop *loop);

/**
 * Binds an emitter that is opening: reserves what its timer needs, and watches its descriptor. After 0
 * nothing can fail any more; sse_loop_unbind takes it back. -ENOMEM, -EEXIST (an emitter writes to this
 * descriptor already), -ENOSPC and others of the poller, -ECONNREFUSED (no more emitters).
 */
int sse_loop_bind(struct sse_loop *loop, struct sse_emitter *emitter);
void sse_loop_unbind(struct sse_loop *loop, struct sse_emitter *emitter);

/** The loop no longer uses the descriptor of an emitter. Any thread. */
void sse_loop_unwatch(struct sse_loop *loop, struct sse_emitter *emitter);

/** The next timer of an emitter is due when it says, or, if that has passed, not before `earliest`. */
void sse_loop_schedule(struct sse_loop *loop, struct sse_emitter *emitter, uint64_t earliest);

struct sse_emitter *sse_loop_emitter_of_timer(struct heap_node *timer);

/** An emitter that is bound, at a position below the count. Lock held. */
struct sse_emitter *sse_loop_emitter_at(const struct sse_loop *loop, uint32_t position);

/** Frees a loop to which no emitter is bound. */
void sse_loop_destroy(struct sse_loop *loop);

/* serve.c. In the loop's thread, cancellation off, no lock held. */

/** Serves one emitter. */
void sse_loop_serve(struct sse_loop *loop, struct sse_emitter *emitter, enum turn_cause cause, uint64_t now,
                    struct turn_account *account);

/** An end that was claimed: callbacks, descriptor, references. */
void sse_loop_finish_emitter(struct sse_loop *loop, struct sse_emitter *emitter, uint64_t now);

/* turn.c */

/** Begins to be the loop's thread: 0, -EDEADLK or -EBUSY. `in_turn`: callbacks may run from now on. */
int sse_loop_enter(struct sse_loop *loop, bool in_turn);
void sse_loop_set_in_turn(struct sse_loop *loop, bool in_turn);
void sse_loop_leave(struct sse_loop *loop);

/** Serves all that was marked or is due when it begins. Returns the nanoseconds until the next turn: 0 if
 * work is left, DEADLINE_NEVER if none is due. Not a cancellation point. */
uint64_t sse_loop_run_turn(struct sse_loop *loop);

/** From now on a mark wakes the loop. Returns as sse_loop_run_turn. */
uint64_t sse_loop_rest(struct sse_loop *loop, uint64_t now);

#endif
