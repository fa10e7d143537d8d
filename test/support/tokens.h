/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_TOKENS_H
#define SUPPORT_TOKENS_H

/** A semaphore. macOS has neither barriers nor sem_init, so this one is portable. */

#include <pthread.h>

struct tokens {
    pthread_mutex_t lock;
    pthread_cond_t added;
    unsigned count;
};

#define TOKENS_NONE {.lock = PTHREAD_MUTEX_INITIALIZER, .added = PTHREAD_COND_INITIALIZER, .count = 0}

void tokens_add(struct tokens *tokens);

/** Waits until there is one. */
void tokens_take(struct tokens *tokens);

/** Takes all that are left. */
void tokens_clear(struct tokens *tokens);

#endif
