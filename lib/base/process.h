/* SPDX-License-Identifier: MIT */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

/**
 * The process that an object belongs to. After fork the child has a copy of the object and none of
 * the other threads: a lock may be held for ever, and descriptors are the parent's too.
 *
 * A process is known by the forks that lead to it, which a handler of pthread_atfork counts: the only mutable
 * state of the library that belongs to no object. The number of the process would not do: a child may have
 * its parent's, in another PID namespace, and to ask for it is a system call in each public function.
 * Children of clone(2), vfork and _Fork are not counted.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/** How many forks lead from the process that made the first object to this one. */
extern atomic_uint sse_process_forks;

/** Makes forks count. Before the first object is made. 0 or -ENOMEM. */
int sse_process_watch(void);

/** What tells this process from those that forked it. */
static inline unsigned process_current(void)
{
    return atomic_load_explicit(&sse_process_forks, memory_order_relaxed);
}

static inline bool process_is_current(unsigned process)
{
    return process == process_current();
}

/** In a forked child: whether another thread was inside the lock, and what it guards is not to be touched. */
static inline bool process_left_locked(pthread_mutex_t *lock)
{
    if (pthread_mutex_trylock(lock))
        return true;
    pthread_mutex_unlock(lock);
    return false;
}

#endif
