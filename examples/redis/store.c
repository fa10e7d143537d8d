/* SPDX-License-Identifier: MIT */
#include "store.h"

#include "entry.h"
#include "random.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define MARK_SIZE 9

/* Redis runs this script as one step. The keys are the stream and the record of the publisher's key. The reply is
 * the id and the mark of the entry, or nil if the key belongs to another event. */
static const char append_once[] =
    "local sum = redis.sha1hex(redis.sha1hex(ARGV[3]) .. redis.sha1hex(ARGV[4]) .. redis.sha1hex(ARGV[5])) "
    "local known = redis.call('HMGET', KEYS[2], 'sum', 'id', 'mark') "
    "if known[1] == sum then return {known[2], known[3]} end "
    "if known[1] then return false end "
    "local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'mark', ARGV[2], 'topic', ARGV[3], "
    "'type', ARGV[4], 'data', ARGV[5]) "
    "redis.call('HSET', KEYS[2], 'sum', sum, 'id', id, 'mark', ARGV[2]) "
    "redis.call('EXPIRE', KEYS[2], ARGV[6]) "
    "return {id, ARGV[2]}";

static const char *make_mark(char *text)
{
    uint32_t mark = (uint32_t)random_bits();

    /* 0 means: no mark. */
    snprintf(text, MARK_SIZE, "%08" PRIx32, mark ? mark : 1);
    return text;
}

static bool read_place(const redisReply *id, struct sse_text mark, struct place *place)
{
    return id->type == REDIS_REPLY_STRING && place_parse((struct sse_text){id->str, id->len}, place) &&
           place_parse_mark(mark, &place->mark);
}

static int error_of(enum redis_outcome outcome)
{
    return outcome == REDIS_UNKNOWN ? -ETIMEDOUT : -EAGAIN;
}

static int append(const struct store *store, struct sse_text topic, const struct sse_event *event,
                  struct place *place, unsigned *connection)
{
    char mark[MARK_SIZE];
    struct redis_receipt receipt;
    redisReply *reply = redis_write(
        store->redis, store->replicas, &receipt, "XADD %s MAXLEN ~ %lu * mark %s topic %b type %b data %b",
        store->stream, store->keep, make_mark(mark), topic.ptr, topic.len,
        event->type.ptr ? event->type.ptr : "", event->type.len, event->data.ptr, event->data.len);
    int error = reply ? 0 : error_of(receipt.outcome);

    *connection = receipt.connection;
    if (reply && !read_place(reply, sse_str(mark), place))
        error = -ETIMEDOUT;
    freeReplyObject(reply);
    return error;
}

static int read_append_once(const redisReply *reply, struct place *place)
{
    if (reply->type == REDIS_REPLY_NIL)
        return -EEXIST;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING &&
        read_place(reply->element[0], sse_str(reply->element[1]->str), place))
        return 0;
    return -ETIMEDOUT;
}

/* The braces put the record into the same slot as the stream in a cluster. */
static int append_with_key(const struct store *store, struct sse_text topic, const struct sse_event *event,
                           struct sse_text key, struct place *place, unsigned *connection)
{
    char mark[MARK_SIZE];
    struct redis_receipt receipt;
    redisReply *reply =
        redis_write(store->redis, store->replicas, &receipt, "EVAL %s 2 %s {%s}:key:%b %lu %s %b %b %b %d",
                    append_once, store->stream, store->stream, key.ptr, key.len, store->keep, make_mark(mark),
                    topic.ptr, topic.len, event->type.ptr ? event->type.ptr : "", event->type.len,
                    event->data.ptr, event->data.len, STORE_KEY_SECONDS);
    int error = reply ? read_append_once(reply, place) : error_of(receipt.outcome);

    *connection = receipt.connection;
    freeReplyObject(reply);
    return error;
}

static bool add(const struct store *store, const char *name, const char *value, struct place *place)
{
    char mark[MARK_SIZE];
    redisReply *reply =
        redis_command(store->redis, "XADD %s * mark %s %s %s", store->stream, make_mark(mark), name, value);
    bool known = reply && read_place(reply, sse_str(mark), place);

    freeReplyObject(reply);
    return known;
}

bool store_tell_gap(const struct store *store, struct place lost, struct place *place)
{
    char id[PLACE_SIZE];

    return add(store, "gap", place_format(lost, id), place);
}

/* Reads the first entry of a reply. Returns false without a reply, or if it is not a list of entries. */
static bool take_first(redisReply *reply, struct place *place, bool *empty)
{
    struct entry entry;
    bool known = reply && reply->type == REDIS_REPLY_ARRAY;

    if (known) {
        *empty = !reply->elements;
        known = *empty || entry_read(reply->element[0], &entry);
    }
    if (known && !*empty)
        *place = entry.place;
    freeReplyObject(reply);
    return known;
}

bool store_first(const struct store *store, struct place *first, bool *empty)
{
    return take_first(redis_command(store->redis, "XRANGE %s - + COUNT 1", store->stream), first, empty);
}

bool store_end(const struct store *store, struct place *end)
{
    bool empty;

    if (!take_first(redis_command(store->redis, "XREVRANGE %s + - COUNT 1", store->stream), end, &empty))
        return false;
    return !empty || add(store, "begun", "1", end);
}

bool store_has(const struct store *store, struct place place, bool *there)
{
    char id[PLACE_SIZE];
    struct place found;
    bool empty;

    place_format_for_redis(place, id);
    if (!take_first(redis_command(store->redis, "XRANGE %s %s %s", store->stream, id, id), &found, &empty))
        return false;
    *there = !empty && place_is_same(found, place);
    return true;
}

/* -- what was accepted --------------------------------------------------------------------------- */

/* Checks an accepted event: it exists, was trimmed, or is lost and clients are notified. Returns false if Redis
 * does not answer. */
static bool confirm(const struct store *store, struct place accepted)
{
    struct place first, gap;
    bool there, empty;

    if (!store_has(store, accepted, &there))
        return false;
    if (there)
        return true;
    if (!store_first(store, &first, &empty))
        return false;
    if (!empty && place_compare(first, accepted) > 0)
        return true;
    return store_tell_gap(store, accepted, &gap);
}

/* Threads may come here in another order than Redis executed their commands. For one connection, the last event is
 * enough, because a Redis that has it has the earlier ones too. */
static int note_accepted(struct store *store, struct place place, unsigned connection)
{
    bool is_older = connection < store->connection, is_same = connection == store->connection;

    if (store->has_accepted && !is_same && !confirm(store, is_older ? place : store->accepted))
        return -ETIMEDOUT;
    if (!store->has_accepted || (!is_older && (!is_same || place_compare(place, store->accepted) > 0))) {
        store->accepted = place;
        store->connection = connection;
        store->has_accepted = true;
    }
    return 0;
}

int store_append(struct store *store, struct sse_text topic, const struct sse_event *event,
                 struct sse_text key, struct place *place)
{
    unsigned connection;
    int error = entry_check(topic, event);

    if (error)
        return error;
    error = key.ptr ? append_with_key(store, topic, event, key, place, &connection)
                    : append(store, topic, event, place, &connection);
    if (error)
        return error;
    pthread_mutex_lock(&store->lock);
    error = note_accepted(store, *place, connection);
    pthread_mutex_unlock(&store->lock);
    return error;
}

bool store_confirm(struct store *store)
{
    bool done;

    pthread_mutex_lock(&store->lock);
    done = !store->has_accepted || confirm(store, store->accepted);
    store->has_accepted = store->has_accepted && !done;
    pthread_mutex_unlock(&store->lock);
    return done;
}

void store_forget(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    store->has_accepted = false;
    pthread_mutex_unlock(&store->lock);
}

void store_open(struct store *store, struct redis *redis, const char *stream)
{
    *store = (struct store){.redis = redis, .stream = stream};
    pthread_mutex_init(&store->lock, NULL);
}

void store_close(struct store *store)
{
    pthread_mutex_destroy(&store->lock);
}
