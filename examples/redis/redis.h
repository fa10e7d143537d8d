/* SPDX-License-Identifier: MIT */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

/**
 * A connection to Redis that comes back. While Redis is away, commands fail at once, and it is tried again
 * after a delay that doubles up to a limit; half of the delay is chance, so that nodes do not come together.
 */

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct redis {
    const char *name; /**< for what it reports */
    const char *host;
    int port;

    pthread_mutex_t lock;
    pthread_cond_t stop;
    redisContext *context;
    int64_t retry_at_ms;
    unsigned failures; /**< in a row */
    bool refused;      /**< has been reported */
    bool stopping;
};

/** Connects with the first command. The texts are borrowed. */
void redis_open(struct redis *redis, const char *name, const char *host, int port);

/**
 * Sends a command, in the format of redisCommand, and returns the reply, for freeReplyObject; from any
 * thread, one at a time. NULL: Redis is away, still loads, or refuses. What the command was to do may have
 * been done all the same.
 */
redisReply *redis_command(struct redis *redis, const char *format, ...);

/** After a command has failed: waits until it makes sense to try again, or until redis_stop. */
void redis_pause(struct redis *redis);

/** From now on all commands fail. Waits for the one that runs. */
void redis_stop(struct redis *redis);

void redis_close(struct redis *redis);

/** A number from `minimum` to `maximum`, another for each caller; not for secrets. */
int64_t redis_jitter(int64_t minimum, int64_t maximum);

#endif
