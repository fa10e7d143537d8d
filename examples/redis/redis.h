/* SPDX-License-Identifier: MIT */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

/**
 * A connection to Redis that reconnects. While Redis is away, commands fail at once. The next attempt to
 * connect comes after a delay that doubles up to a limit. Half of the delay is random, so that the nodes do
 * not all connect at once.
 */

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct redis {
    const char *name; /**< for messages */
    const char *host;
    int port;

    pthread_mutex_t lock;
    pthread_cond_t stop;
    redisContext *context;
    unsigned connection; /**< the number of this connection; it counts up */
    int64_t retry_at_ms;
    unsigned failures; /**< in a row */
    bool refused;      /**< this has been reported */
    bool stopping;
};

/** What became of a command. */
enum redis_outcome {
    REDIS_DONE,    /**< there is a reply */
    REDIS_REFUSED, /**< Redis has not executed it: it is away, is still loading, or has said no */
    REDIS_UNKNOWN  /**< it was sent, and no answer came in time. Redis may execute it, even later */
};

struct redis_receipt {
    enum redis_outcome outcome;
    unsigned connection; /**< the number of the connection that was used */
};

/** The first command connects. Ownership: the texts are borrowed. */
void redis_open(struct redis *redis, const char *name, const char *host, int port);

/**
 * Sends a command in the format of redisCommand and returns the reply: free it with freeReplyObject. NULL if
 * the outcome is not REDIS_DONE.
 *
 * Threads: any; they take turns.
 */
redisReply *redis_command(struct redis *redis, const char *format, ...);

/**
 * The same for a command that writes. With `replicas` above 0 it also waits until that many replicas have the
 * write; if they do not in time, the outcome is unknown. `*receipt` tells what became of it.
 */
redisReply *redis_write(struct redis *redis, int replicas, struct redis_receipt *receipt, const char *format,
                        ...);

/** The number of the connection. Another one means that another Redis may answer. */
unsigned redis_connection(struct redis *redis);

/** Call it after a command has failed. It waits until the next attempt is due, or until redis_stop. */
void redis_pause(struct redis *redis);

/** Waits for the command that is running. Every later command fails. */
void redis_stop(struct redis *redis);

void redis_close(struct redis *redis);

#endif
