/* SPDX-License-Identifier: MIT */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

/**
 * The process that an object belongs to. After fork the child has a copy of the object and none of
 * the other threads: a lock may be held for ever, and descriptors are the parent's too.
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
