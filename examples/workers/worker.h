/* SPDX-License-Identifier: MIT */
#ifndef WORKERS_WORKER_H
#define WORKERS_WORKER_H

/** One process that serves clients. It has its own registry and loop, and shares the ring. */

#include "ring.h"

struct worker_options {
    const char *program; /**< for messages */
    struct ring *ring;
    int listener; /**< all workers accept from it */
    int parent;   /**< a pipe of the parent; it ends when the parent dies */
    int64_t retry_ms;
};

/**
 * Serves until SIGTERM: GET /events?topic=T, POST /publish?topic=T. Then every client gets a final event and its
 * own reconnection time, and may reconnect to any worker. Returns the exit status. Call it in a new process, with
 * the signals blocked.
 */
int worker_run(const struct worker_options *options);

#endif
