/* SPDX-License-Identifier: MIT */
#ifndef REDIS_WORKERS_H
#define REDIS_WORKERS_H

/** Threads. Each one takes a whole request, answers it, and takes the next. Answering may wait for Redis;
 * reading requests does not happen here, so no client can keep a thread waiting. */

#include "incoming.h"
#include "routes.h"

#define WORKERS 16

struct workers {
    struct node *node;
    int answered[2]; /**< a pipe of pointers: connections whose answer is sent. The reader owns them */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct incoming *first; /**< whole requests that wait for a thread */
    struct incoming **last;
    bool stopping;
    size_t count;
    pthread_t threads[WORKERS];
};

/** Returns 0 or a negative errno. */
int workers_start(struct workers *workers, struct node *node);

/** Takes over a whole request. */
void workers_add(struct workers *workers, struct incoming *incoming);

/** Waits until the requests that were added are answered: a few seconds at most. */
void workers_stop(struct workers *workers);

#endif
