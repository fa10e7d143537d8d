/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_LOOP_THREAD_H
#define SUPPORT_LOOP_THREAD_H

/**
 * A loop in a thread of its own: polled by the library, or driven by a thread that sleeps until on_wake.
 * Nothing else wakes it, so a wake that is lost makes the test hang.
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
    atomic_bool freeing; /* the loop ends, or is no more */
};

/** Makes the loop; no thread yet. */
void loop_thread_open(struct loop_thread *thread, const struct sse_platform *platform, bool polled);

void loop_thread_start(struct loop_thread *thread);

/** Makes the loop look at the clock again. Any thread. */
void loop_thread_kick(struct loop_thread *thread);

/** Returns when the thread has ended. The loop has run until there was nothing to do. */
void loop_thread_stop(struct loop_thread *thread);

/** After the stop, in the calling thread: what other threads have given the loop since, until nothing is left. */
void loop_thread_settle(struct loop_thread *thread);

/** One turn in the calling thread, while the loop has none of its own. */
void loop_thread_turn(struct loop_thread *thread);

/** Frees the loop, with the emitters that are left. Any thread. */
void loop_thread_free_loop(struct loop_thread *thread);

/** The end, and that of the loop if it is there. */
void loop_thread_close(struct loop_thread *thread);

/** Whether the calling thread serves this loop: callbacks run nowhere else. */
bool loop_thread_is_mine(const struct loop_thread *thread);

#endif
