/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAKE_LOOP_H
#define SUPPORT_FAKE_LOOP_H

/**
 * A driven loop. The test takes its turns itself. It aborts if on_wake runs twice before a turn, or inside a turn
 * of the same thread.
 */

#include "fake_platform.h"

#include <pthread.h>
#include <sse/loop.h>

struct fake_loop {
    struct sse_loop *loop; /* NULL before fake_loop_open and after fake_loop_close */
    atomic_uint wakes;     /* since the beginning */
    atomic_bool woken;     /* since the last turn began */
    atomic_bool inside;    /* a turn, or the end of the loop */
    pthread_t thread;      /* the thread that is inside */
    /** Called in on_wake. */
    void (*act)(struct fake_loop *loop, void *user);
    void *act_user;
};

void fake_loop_open(struct fake_loop *loop, struct fake_platform *fake);

/** Takes one turn and returns its result. Aborts on an error. */
int fake_loop_turn(struct fake_loop *loop);

/** Takes turns until no work is left. Returns the result of the last turn. */
int fake_loop_settle(struct fake_loop *loop);

/** Whether the calling thread is inside a turn. */
bool fake_loop_is_inside(const struct fake_loop *loop);

/** Frees the loop, with the emitters that are left. Does nothing if the loop is not open. */
void fake_loop_close(struct fake_loop *loop);

#endif
