/* SPDX-License-Identifier: MIT */
#include "entry.h"

#include <errno.h>
#include <sse/registry.h>

static struct sse_text text_of(const redisReply *reply)
{
    return (struct sse_text){reply->str, reply->len};
}

static bool is(struct sse_text text, const char *expected)
{
    return text.len == strlen(expected) && !memcmp(text.ptr, expected, text.len);
}

/* The data has two lines, as in client.h. The second line is empty. */
static void take_gap(struct entry *entry, struct sse_text id)
{
    struct place place;

    if (!place_parse(id, &place))
        return;
    place_format(place, entry->gap);
    strcat(entry->gap, "\n");
    entry->is_gap = true;
}

static void take_field(struct entry *entry, struct sse_text name, struct sse_text value)
{
    if (is(name, "mark"))
        (void)place_parse_mark(value, &entry->place.mark);
    else if (is(name, "gap"))
        take_gap(entry, value);
    else if (is(name, "topic"))
        entry->topic = value;
    else if (is(name, "type") && value.len)
        entry->event.type = value;
    else if (is(name, "data"))
        entry->event.data = value;
}

int entry_check(struct sse_text topic, const struct sse_event *event)
{
    struct sse_event without_id = *event;
    ssize_t size;

    without_id.id = sse_str(NULL);
    size = sse_event_encode(&without_id, NULL, 0);
    if (size < 0)
        return (int)size;
    if (!topic.len || !event->data.ptr)
        return -EINVAL;
    return topic.len > SSE_TOPIC_SIZE_MAX || size > ENTRY_EVENT_MAX ? -EMSGSIZE : 0;
}

bool entry_read(const redisReply *reply, struct entry *entry)
{
    const redisReply *fields;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return false;
    fields = reply->element[1];
    if (reply->element[0]->type != REDIS_REPLY_STRING || fields->type != REDIS_REPLY_ARRAY)
        return false;
    *entry = (struct entry){.error = 0};
    if (!place_parse(text_of(reply->element[0]), &entry->place))
        return false;
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (fields->element[i]->type != REDIS_REPLY_STRING ||
            fields->element[i + 1]->type != REDIS_REPLY_STRING)
            return false;
        take_field(entry, text_of(fields->element[i]), text_of(fields->element[i + 1]));
    }
    if (entry->is_gap) {
        entry->topic = sse_str(NULL);
        entry->event = (struct sse_event){.type = sse_str("gap"), .data = sse_str(entry->gap)};
    } else {
        entry->error = entry->topic.ptr ? entry_check(entry->topic, &entry->event) : -ENOENT;
    }
    entry->event.id = sse_str(place_format(entry->place, entry->id));
    return true;
}
