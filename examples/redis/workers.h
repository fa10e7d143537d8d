/* SPDX-License-Identifier: MIT */
#ifndef REDIS_WORKERS_H
#define REDIS_WORKERS_H

/** Threads that answer requests. Each takes a complete request, answers it, and takes the next one. Answering may
 *  wait for Redis. Requests are read elsewhere, so no client can occupy a thread. */

#include "incoming.h"
#include "routes.h"

#define WORKERS 16

struct workers {
    struct node *node;
    int answered[2]; /**< a pipe of pointers to answered connections. The reader owns them */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct incoming *first; /**< complete requests that wait for a thread */
    struct incoming **last;
    bool stopping;
    size_t count;
    pthread_t threads[WORKERS];
};

/** Returns 0 or a negative errno. */
int workers_start(struct workers *workers, struct node *node);

/** Takes over a complete request. */
void workers_add(struct workers *workers, struct incoming *incoming);

/** Waits until all added requests are answered. This takes a few seconds at most. */
void workers_stop(struct workers *workers);

#endif
