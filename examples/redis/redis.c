/* SPDX-License-Identifier: MIT */
#include "redis.h"

#include "clock.h"
#include "random.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#define CONNECT_SECONDS 1
/* Longer than XREAD blocks in reader.c. */
#define COMMAND_SECONDS 2
/* Shorter than a command may take. */
#define REPLICAS_MS 1500
#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS 2000
#define DOUBLINGS_MAX 5

void redis_open(struct redis *redis, const char *name, const char *host, int port)
{
    pthread_condattr_t monotonic;

    *redis = (struct redis){.name = name, .host = host, .port = port};
    pthread_mutex_init(&redis->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&redis->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void disconnect(struct redis *redis)
{
    if (redis->context)
        redisFree(redis->context);
    redis->context = NULL;
}

static void fail(struct redis *redis, const char *why)
{
    int64_t delay = DELAY_FIRST_MS << (redis->failures < DOUBLINGS_MAX ? redis->failures : DOUBLINGS_MAX);

    if (!redis->failures++)
        fprintf(stderr, "%s: Redis does not answer, trying again: %s\n", redis->name, why);
    if (delay > DELAY_MAX_MS)
        delay = DELAY_MAX_MS;
    redis->retry_at_ms = clock_now_ms() + random_between(delay / 2, delay);
    disconnect(redis);
}

/* If the connection is closed, sending a command would leave its outcome unknown. So check first. */
static void drop_if_closed(struct redis *redis)
{
    struct pollfd state = {.fd = redis->context->fd, .events = POLLIN};
    char byte;

    /* Redis sends nothing between commands, so readable means closed. */
    if (poll(&state, 1, 0) > 0 && recv(state.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
        disconnect(redis);
}

static bool connect_if_need_be(struct redis *redis)
{
    const struct timeval patience = {.tv_sec = CONNECT_SECONDS}, limit = {.tv_sec = COMMAND_SECONDS};

    if (redis->stopping || (redis->failures && clock_now_ms() < redis->retry_at_ms))
        return false;
    if (redis->context)
        drop_if_closed(redis);
    if (redis->context)
        return true;
    redis->connection++;
    redis->context = redisConnectWithTimeout(redis->host, redis->port, patience);
    if (redis->context && !redis->context->err && redisSetTimeout(redis->context, limit) == REDIS_OK)
        return true;
    fail(redis, redis->context ? redis->context->errstr : "no memory");
    return false;
}

/* Every error is about the state of the server: it is loading, is not the master any more, has no memory, or cannot
 * write its file. The next command connects again, perhaps to another server of the same name. */
static void refuse(struct redis *redis, const char *why)
{
    if (!redis->refused)
        fprintf(stderr, "%s: Redis refuses the command: %s\n", redis->name, why);
    redis->refused = true;
    disconnect(redis);
}

static redisReply *checked(struct redis *redis, redisReply *reply)
{
    if (!reply) {
        fail(redis, redis->context->errstr);
        return NULL;
    }
    if (redis->failures)
        fprintf(stderr, "%s: Redis answers again\n", redis->name);
    redis->failures = 0;
    if (reply->type == REDIS_REPLY_ERROR) {
        refuse(redis, reply->str);
        freeReplyObject(reply);
        return NULL;
    }
    redis->refused = false;
    return reply;
}

static redisReply *ask(struct redis *redis, struct redis_receipt *receipt, const char *format,
                       va_list arguments)
{
    redisReply *reply;

    *receipt = (struct redis_receipt){.outcome = REDIS_REFUSED};
    if (!connect_if_need_be(redis))
        return NULL;
    receipt->connection = redis->connection;
    reply = redisvCommand(redis->context, format, arguments);
    if (!reply)
        receipt->outcome = REDIS_UNKNOWN;
    reply = checked(redis, reply);
    if (reply)
        receipt->outcome = REDIS_DONE;
    return reply;
}

/* WAIT counts the replicas that have the writes of its own connection only. */
static bool have_replicas(struct redis *redis, int replicas)
{
    redisReply *reply = checked(redis, redisCommand(redis->context, "WAIT %d %d", replicas, REPLICAS_MS));
    bool enough = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer >= replicas;

    freeReplyObject(reply);
    return enough;
}

redisReply *redis_command(struct redis *redis, const char *format, ...)
{
    struct redis_receipt receipt;
    redisReply *reply;
    va_list arguments;

    va_start(arguments, format);
    pthread_mutex_lock(&redis->lock);
    reply = ask(redis, &receipt, format, arguments);
    pthread_mutex_unlock(&redis->lock);
    va_end(arguments);
    return reply;
}

redisReply *redis_write(struct redis *redis, int replicas, struct redis_receipt *receipt, const char *format,
                        ...)
{
    redisReply *reply;
    va_list arguments;

    va_start(arguments, format);
    pthread_mutex_lock(&redis->lock);
    reply = ask(redis, receipt, format, arguments);
    if (reply && replicas && !have_replicas(redis, replicas)) {
        receipt->outcome = REDIS_UNKNOWN;
        freeReplyObject(reply);
        reply = NULL;
    }
    pthread_mutex_unlock(&redis->lock);
    va_end(arguments);
    return reply;
}

unsigned redis_connection(struct redis *redis)
{
    unsigned connection;

    pthread_mutex_lock(&redis->lock);
    connection = redis->connection;
    pthread_mutex_unlock(&redis->lock);
    return connection;
}

void redis_pause(struct redis *redis)
{
    int64_t at = clock_now_ms() + DELAY_FIRST_MS;
    struct timespec until;

    pthread_mutex_lock(&redis->lock);
    if (redis->failures)
        at = redis->retry_at_ms;
    until.tv_sec = (time_t)(at / 1000);
    until.tv_nsec = (long)(at % 1000) * 1000000;
    while (!redis->stopping && !pthread_cond_timedwait(&redis->stop, &redis->lock, &until))
        ;
    pthread_mutex_unlock(&redis->lock);
}

void redis_stop(struct redis *redis)
{
    pthread_mutex_lock(&redis->lock);
    redis->stopping = true;
    pthread_cond_broadcast(&redis->stop);
    pthread_mutex_unlock(&redis->lock);
}

void redis_close(struct redis *redis)
{
    disconnect(redis);
    pthread_cond_destroy(&redis->stop);
    pthread_mutex_destroy(&redis->lock);
}
