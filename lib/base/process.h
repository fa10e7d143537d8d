/* SPDX-License-Identifier: MIT */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

/**
 * The process that an object belongs to. After fork the child has a copy of the object and none of
 * the other threads: a lock may be held for ever, and descriptors are the parent's too.
 *
 * A child is known by its number. That fails where a child has the number of its ancestor: see <sse/base.h>.
 * A counter that a handler of pthread_atfork increments would know these children, and would cost no system
 * call. It would not know those of clone(2) and _Fork, it would be mutable state of the whole process, which
 * the library has nowhere else, and not every system takes the handler back when a program unloads the
 * library.
 */

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

static inline bool process_is_current(pid_t process)
{
    return process == getpid();
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
