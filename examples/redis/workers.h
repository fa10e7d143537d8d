/* SPDX-License-Identifier: MIT */
#ifndef REDIS_WORKERS_H
#define REDIS_WORKERS_H

/** Threads that each take a connection, read its request, answer it, and take the next. */

#include "routes.h"

#define WORKERS 16

struct workers {
    struct node *node;
    int listener;
    int stop[2]; /**< a pipe; it ends, and so do they */
    size_t count;
    pthread_t threads[WORKERS];
};

/** 0 or a negative errno. */
int workers_start(struct workers *workers, struct node *node, int listener);

/** Waits for the requests that are being answered, a few seconds at most. */
void workers_stop(struct workers *workers);

#endif
