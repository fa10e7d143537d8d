/* SPDX-License-Identifier: MIT */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

/**
 * The process that an object belongs to. After fork, the child has a copy of the object but not the other threads.
 * So a lock may be held for ever, and the child shares its descriptors with the parent.
 *
 * A process is recognised by the number of forks that lead to it, which a handler of pthread_atfork counts. The
 * count is the only mutable state of the library that belongs to no object. A process id would not do: in another
 * PID namespace a child may have that of its parent, and each public function would need a system call to read it.
 * Children of clone(2), vfork and _Fork are not counted.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/** How many forks lead from the process that made the first object to this one. */
extern atomic_uint sse_process_forks;

/** Begins to count forks. To be called before the first object is made. 0 or -ENOMEM. */
int sse_process_watch(void);

/** A number that differs between this process and those that forked it. */
static inline unsigned process_current(void)
{
    return atomic_load_explicit(&sse_process_forks, memory_order_relaxed);
}

static inline bool process_is_current(unsigned process)
{
    return process == process_current();
}

/** In a forked child: whether another thread had the lock at the fork. Then what it guards must not be touched. */
static inline bool process_left_locked(pthread_mutex_t *lock)
{
    if (pthread_mutex_trylock(lock))
        return true;
    pthread_mutex_unlock(lock);
    return false;
}

#endif
