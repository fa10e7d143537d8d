/* SPDX-License-Identifier: MIT */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

/**
 * A connection to Redis that reconnects. While Redis does not answer, commands fail at once. The delay before the
 * next attempt doubles up to a limit. Half of it is random, so that the nodes do not all connect at the same time.
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
    unsigned connection; /**< the number of this connection; each new one has a higher number */
    int64_t retry_at_ms;
    unsigned failures; /**< failures in a row */
    bool refused;      /**< the failure has been reported */
    bool stopping;
};

/** The outcome of a command. */
enum redis_outcome {
    REDIS_DONE,    /**< there is a reply */
    REDIS_REFUSED, /**< Redis has not executed it: it does not answer, is still loading, or has refused */
    REDIS_UNKNOWN  /**< it was sent, and no answer came in time. Redis may execute it, even later */
};

struct redis_receipt {
    enum redis_outcome outcome;
    unsigned connection; /**< the number of the connection that was used */
};

/** The first command connects. Ownership: the texts are borrowed. */
void redis_open(struct redis *redis, const char *name, const char *host, int port);

/**
 * Sends a command in the format of redisCommand and returns the reply. Free it with freeReplyObject. Returns NULL
 * if the outcome is not REDIS_DONE.
 *
 * Threads: any; they take turns.
 */
redisReply *redis_command(struct redis *redis, const char *format, ...);

/**
 * Does the same for a command that writes. With `replicas` above 0 it also waits until that many replicas have the
 * write. If they do not have it in time, the outcome is unknown. `*receipt` is the outcome.
 */
redisReply *redis_write(struct redis *redis, int replicas, struct redis_receipt *receipt, const char *format,
                        ...);

/** Returns the number of the connection. After a change, another Redis server may answer. */
unsigned redis_connection(struct redis *redis);

/** Call it after a command has failed. It waits until the next attempt is due, or until redis_stop is called. */
void redis_pause(struct redis *redis);

/** Waits for the running command. Every later command fails. */
void redis_stop(struct redis *redis);

void redis_close(struct redis *redis);

#endif
