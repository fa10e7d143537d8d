/* SPDX-License-Identifier: MIT */
#include "event_check.h"

#include <stdio.h>
#include <stdlib.h>

#define CANARY 0xa5

/* A client, and the event that it must report next. */
static struct event_source_parser *client;
static const struct sse_event *next, *end;
static struct event_source_text last_id;

static void print_text(const char *name, struct sse_text text)
{
    struct event_source_text quoted = {.bytes = NULL};

    if (!text.ptr)
        return;
    event_source_text_append_quoted(&quoted, text.ptr, text.len);
    fprintf(stderr, " %s=%s", name, quoted.bytes);
    event_source_text_free(&quoted);
}

void event_expect(bool holds, const struct sse_event *event, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "event check: %s:", what);
    print_text("comment", event->comment);
    print_text("event", event->type);
    print_text("data", event->data);
    print_text("id", event->id);
    fprintf(stderr, " retry=%lld%s\n", (long long)event->retry_ms, event->trusted_utf8 ? " trusted" : "");
    abort();
}

/* Whether these are the event's data, with line ends changed to LF. */
static bool arrives_as(struct sse_text sent, const char *bytes, size_t length)
{
    size_t at = 0;

    for (size_t i = 0; i < sent.len; i++, at++) {
        char byte = sent.ptr[i];

        if (byte == '\r' && i + 1 < sent.len && sent.ptr[i + 1] == '\n')
            i++;
        if (at == length || bytes[at] != (byte == '\r' ? '\n' : byte))
            return false;
    }
    return at == length;
}

static bool same(struct sse_text text, const char *bytes, size_t length)
{
    return text.len == length && (!length || !memcmp(text.ptr, bytes, length));
}

/* Events without data are not reported by the client, but may change its last id. */
static void skip_to_data(void)
{
    for (; next < end && !next->data.ptr; next++) {
        if (!next->id.ptr)
            continue;
        event_source_text_clear(&last_id);
        event_source_text_append(&last_id, next->id.ptr, next->id.len);
    }
}

static void on_event(const struct event_source_event *received, void *user)
{
    const struct sse_event *sent;
    struct sse_text id, type;

    (void)user;
    skip_to_data();
    if (next == end) {
        fprintf(stderr, "event check: an event that nobody sent: %s\n", received->data);
        abort();
    }
    sent = next++;
    id = sent->id.ptr ? sent->id : (struct sse_text){.ptr = last_id.bytes, .len = last_id.length};
    type = sent->type.len ? sent->type : sse_str("message");
    event_expect(arrives_as(sent->data, received->data, received->data_length), sent, "other data arrive");
    event_expect(same(type, received->type, received->type_length), sent, "another type arrives");
    event_expect(same(id, received->last_event_id, received->last_event_id_length), sent,
                 "another id arrives");
    event_source_text_clear(&last_id);
    event_source_text_append(&last_id, received->last_event_id, received->last_event_id_length);
}

static void feed(const char *bytes, size_t size, size_t piece)
{
    if (!client) {
        client = event_source_parser_new(on_event, NULL);
        event_source_text_clear(&last_id);
    }
    piece = piece && piece < size ? piece : size;
    for (size_t at = 0; at < size; at += piece)
        event_source_parser_feed(client, bytes + at, piece < size - at ? piece : size - at);
}

void event_check_client(const struct sse_event *events, size_t count, const void *bytes, size_t size,
                        size_t piece)
{
    const struct sse_event *last = &events[count - 1];
    int64_t retry = 0;
    size_t length;
    const char *id;

    next = events;
    end = events + count;
    feed(bytes, size, piece);
    skip_to_data();
    event_expect(next == end, last, "no event arrives");
    id = event_source_parser_last_event_id(client, &length);
    event_expect(same((struct sse_text){.ptr = last_id.bytes, .len = last_id.length}, id, length), last,
                 "the client has another last event id");
    for (size_t i = 0; i < count; i++)
        retry = events[i].retry_ms ? events[i].retry_ms : retry;
    event_expect(!retry || event_source_parser_reconnection_time(client) == retry, last,
                 "the client has another reconnection time");
}

void event_check_end(void)
{
    event_source_parser_free(client);
    event_source_text_free(&last_id);
    client = NULL;
}

/* Allocates memory of exactly this size. */
static void check_buffer(const struct sse_event *event, ssize_t result, size_t size,
                         const struct event_source_text *wire)
{
    unsigned char *bytes = malloc(size ? size : 1);

    if (!bytes)
        abort();
    memset(bytes, CANARY, size);
    event_expect(sse_event_encode(event, bytes, size) == result, event,
                 "another result than the reference's");
    if (result > 0 && (size_t)result <= size)
        event_expect(!memcmp(bytes, wire->bytes, wire->length), event, "other bytes than the reference's");
    for (size_t i = result > 0 && (size_t)result <= size ? wire->length : 0; i < size; i++)
        event_expect(bytes[i] == CANARY, event, "a byte is written that is not the event's");
    free(bytes);
}

int event_check_bytes(const struct sse_event *event)
{
    static struct event_source_text wire;
    int error = event_reference_error(event);

    event_expect(!error || sse_event_encode(event, NULL, 0) == error, event, "not the reference's error");
    if (error) {
        check_buffer(event, error, 64, NULL);
        return error;
    }
    event_source_text_clear(&wire);
    event_reference_encode(&wire, event);
    event_expect(sse_event_encode(event, NULL, 0) == (ssize_t)wire.length, event, "another size");
    check_buffer(event, (ssize_t)wire.length, wire.length, &wire);
    check_buffer(event, (ssize_t)wire.length, wire.length - 1, &wire);
    check_buffer(event, (ssize_t)wire.length, wire.length + 1, &wire);
    return 0;
}
