/* SPDX-License-Identifier: MIT */
#ifndef REDIS_INTAKE_H
#define REDIS_INTAKE_H

/**
 * One thread that accepts connections and reads all requests. It passes complete requests to workers. So a silent
 * or slow client occupies a descriptor for a few seconds, and no thread.
 */

#include "workers.h"

#include <poll.h>

struct intake {
    struct workers *workers;
    int listener;
    int stop[2]; /**< a pipe; the thread ends when the pipe ends */
    struct incoming_totals totals;
    size_t connections_max;
    struct incoming **connections; /**< those that are not with a worker */
    size_t count;
    struct pollfd *polls;
    int64_t accept_again_ms; /**< accepting pauses until then */
    int64_t say_again_ms;
    pthread_t thread;
};

/** Returns 0 or a negative errno. */
int intake_start(struct intake *intake, struct workers *workers, int listener, size_t connections_max);

/** Closes the connections with incomplete requests. Call it before workers_stop. */
void intake_stop(struct intake *intake);

/** Call it after workers_stop. */
void intake_close(struct intake *intake);

#endif
