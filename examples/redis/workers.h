/* SPDX-License-Identifier: MIT */
#ifndef REDIS_WORKERS_H
#define REDIS_WORKERS_H

/** Threads. Each one accepts a connection, reads its request, answers it, and accepts the next. */

#include "routes.h"

#define WORKERS 16

struct workers {
    struct node *node;
    int listener;
    int stop[2]; /**< a pipe; the threads end when it does */
    size_t count;
    pthread_t threads[WORKERS];
};

/** Returns 0 or a negative errno. */
int workers_start(struct workers *workers, struct node *node, int listener);

/** Waits until the requests that have begun are answered: a few seconds at most. */
void workers_stop(struct workers *workers);

#endif
