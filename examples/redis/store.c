/* SPDX-License-Identifier: MIT */
#include "store.h"

#include "entry.h"

#include <errno.h>

int store_append(const struct store *store, struct sse_text topic, const struct sse_event *event, char *id)
{
    redisReply *reply;
    struct place place;
    int error = entry_check(topic, event);

    if (error)
        return error;
    reply = redis_command(store->redis, "XADD %s MAXLEN ~ %lu * topic %b type %b data %b", store->stream,
                          store->keep, topic.ptr, topic.len, event->type.ptr ? event->type.ptr : "",
                          event->type.len, event->data.ptr, event->data.len);
    if (reply && reply->type == REDIS_REPLY_STRING && place_parse(sse_str(reply->str), &place))
        place_format(place, id);
    else
        error = -EAGAIN;
    freeReplyObject(reply);
    return error;
}

bool store_end(const struct store *store, struct place *end)
{
    redisReply *reply = redis_command(store->redis, "XREVRANGE %s + - COUNT 1", store->stream);
    struct entry last;
    bool known;

    if (reply && !reply->elements) {
        freeReplyObject(reply);
        freeReplyObject(redis_command(store->redis, "XADD %s * begun 1", store->stream));
        reply = redis_command(store->redis, "XREVRANGE %s + - COUNT 1", store->stream);
    }
    known = reply && reply->elements && entry_read(reply->element[0], &last);
    if (known)
        *end = last.place;
    freeReplyObject(reply);
    return known;
}
