/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_LOOP_THREAD_H
#define SUPPORT_LOOP_THREAD_H

/**
 * A loop in its own thread: polled by the library, or driven by a thread that sleeps until on_wake. Nothing else
 * wakes the thread, so a lost wake makes the test hang.
 */

#include "schedule.h"

#include <pthread.h>
#include <sse/loop.h>

struct loop_thread {
    struct sse_loop *loop;
    bool polled;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
    bool stopping;
    atomic_bool freeing; /* the loop is ending, or is freed */
};

/** Makes the loop, without a thread yet. */
void loop_thread_open(struct loop_thread *thread, const struct sse_platform *platform, bool polled);

void loop_thread_start(struct loop_thread *thread);

/** Makes the loop read the clock again. Any thread may call it. */
void loop_thread_kick(struct loop_thread *thread);

/** Returns when the thread has ended. The loop has run until no work was left. */
void loop_thread_stop(struct loop_thread *thread);

/** Call it after the stop. Does the work that other threads have given to the loop since, until none is left. */
void loop_thread_settle(struct loop_thread *thread);

/** Takes one turn in the calling thread, while the loop has no thread. */
void loop_thread_turn(struct loop_thread *thread);

/** Frees the loop, with the emitters that are left. Any thread may call it. */
void loop_thread_free_loop(struct loop_thread *thread);

/** Ends the thread, and frees the loop if it is still there. */
void loop_thread_close(struct loop_thread *thread);

/** Whether the calling thread serves this loop. Callbacks run nowhere else. */
bool loop_thread_is_mine(const struct loop_thread *thread);

#endif
