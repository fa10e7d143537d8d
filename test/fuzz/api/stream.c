/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The bytes that a client reads: the head, chunks, and events for this client, each once and in order. */

static void check_published(struct client *client, size_t registry, unsigned topic, uint64_t sequence)
{
    uint64_t *last = &client->stream.last_published;

    fuzz_expect(client->registry_number == registry, "client %zu: an event of registry %zu", client->number,
                registry);
    fuzz_expect(topic == TOPICS || client->topics >> topic & 1, "client %zu: an event of topic %u",
                client->number, topic);
    fuzz_expect(sequence > *last || client->disordered, "client %zu: event %" PRIu64 " after %" PRIu64,
                client->number, sequence, *last);
    *last = sequence;
}

static void check_sent(struct client *client, size_t number, uint64_t sequence)
{
    fuzz_expect(number == client->number, "client %zu: an event for client %zu", client->number, number);
    fuzz_expect(sequence > client->stream.last_sent, "client %zu: event %" PRIu64 " after %" PRIu64,
                client->number, sequence, client->stream.last_sent);
    client->stream.last_sent = sequence;
}

static void on_event(const struct event_source_event *event, void *user)
{
    struct client *client = user;
    size_t subject;
    unsigned topic;
    uint64_t sequence;
    char kind;

    client->stream.events++;
    if (!strcmp(event->type, "gap") || !strcmp(event->type, "final"))
        return;
    fuzz_expect(sscanf(event->data, "%c%zu.%u.%" SCNu64 ".", &kind, &subject, &topic, &sequence) == 4,
                "client %zu: an event that nobody sent: %s", client->number, event->data);
    if (kind == 'p')
        check_published(client, subject, topic, sequence);
    else if (kind == 's')
        check_sent(client, subject, sequence);
    else
        fuzz_expect(kind == 'm', "client %zu: an event that nobody sent: %s", client->number, event->data);
}

void stream_begin(struct client *client, const struct sse_emitter_options *options)
{
    struct stream *stream = &client->stream;
    ssize_t size;

    stream->parser = event_source_parser_new(on_event, client);
    stream->chunked = options->http ? options->http->chunked : options->framing == SSE_FRAMING_CHUNKED;
    if (!options->http)
        return;
    size = sse_http_head(NULL, 0, options->http);
    if (size < 0)
        return;
    stream->head.len = (size_t)size;
    stream->head.ptr = fuzz_room(&client->world->texts, stream->head.len);
    (void)sse_http_head((char *)(uintptr_t)stream->head.ptr, stream->head.len, options->http);
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static void expect_byte(struct client *client, char byte, char expected, enum chunk_state next)
{
    fuzz_expect(byte == expected, "client %zu: the byte %d in a chunk's frame", client->number, byte);
    client->stream.chunk_state = next;
}

static void take_frame_byte(struct client *client, char byte)
{
    struct stream *stream = &client->stream;

    switch (stream->chunk_state) {
    case CHUNK_SIZE:
        if (hex_digit(byte) >= 0)
            stream->chunk_left = stream->chunk_left * 16 + (size_t)hex_digit(byte);
        else
            expect_byte(client, byte, '\r', CHUNK_SIZE_LF);
        return;
    case CHUNK_SIZE_LF:
        expect_byte(client, byte, '\n', stream->chunk_left ? CHUNK_DATA : LAST_CR);
        return;
    case CHUNK_CR:
        expect_byte(client, byte, '\r', CHUNK_LF);
        return;
    case CHUNK_LF:
        expect_byte(client, byte, '\n', CHUNK_SIZE);
        return;
    case LAST_CR:
        expect_byte(client, byte, '\r', LAST_LF);
        return;
    case LAST_LF:
        expect_byte(client, byte, '\n', NO_MORE);
        stream->ended = true;
        return;
    default:
        fuzz_expect(false, "client %zu: a byte after the last chunk", client->number);
    }
}

static void feed_chunks(struct client *client, const char *at, const char *end)
{
    struct stream *stream = &client->stream;

    while (at < end) {
        size_t piece = (size_t)(end - at) < stream->chunk_left ? (size_t)(end - at) : stream->chunk_left;

        if (stream->chunk_state != CHUNK_DATA) {
            take_frame_byte(client, *at++);
            continue;
        }
        event_source_parser_feed(stream->parser, at, piece);
        at += piece;
        stream->chunk_left -= piece;
        if (!stream->chunk_left)
            stream->chunk_state = CHUNK_CR;
    }
}

void stream_feed(struct client *client, const void *bytes, size_t size)
{
    struct stream *stream = &client->stream;
    const char *at = bytes;
    size_t head = stream->head.len - stream->head_read;

    head = head < size ? head : size;
    stream->bytes += size;
    fuzz_expect(stream->bytes < OUTPUT_SIZE_MAX, "client %zu: bytes without end", client->number);
    fuzz_expect(!head || !memcmp(at, stream->head.ptr + stream->head_read, head), "client %zu: another head",
                client->number);
    stream->head_read += head;
    if (stream->chunked)
        feed_chunks(client, at + head, at + size);
    else
        event_source_parser_feed(stream->parser, at + head, size - head);
}

/* After a graceful end the client has everything. */
static void check_graceful(const struct client *client)
{
    const struct stream *stream = &client->stream;
    const struct sse_completion *completion = &client->completion;
    size_t length;
    const char *id = event_source_parser_last_event_id(stream->parser, &length);

    fuzz_expect(stream->bytes == completion->bytes,
                "client %zu: %" PRIu64 " bytes, and %" PRIu64 " are recorded", client->number, stream->bytes,
                completion->bytes);
    fuzz_expect(stream->events == completion->events,
                "client %zu: %" PRIu64 " events, and %" PRIu64 " are recorded", client->number,
                stream->events, completion->events);
    fuzz_expect(stream->ended == stream->chunked, "client %zu: no last chunk", client->number);
    fuzz_expect(fuzz_same(client->last_event_id, (struct sse_text){.ptr = id, .len = length}),
                "client %zu: the last id %.*s is recorded, and it is %s", client->number,
                (int)client->last_event_id.len, client->last_event_id.ptr, id);
}

/* If the client's end was closed or not read, the missing bytes are unknown. */
void stream_check_end(struct client *client)
{
    const struct stream *stream = &client->stream;
    bool all_seen = client->output != SSE_OUTPUT_FD || !client->gone;

    fuzz_expect(stream->bytes <= client->completion.bytes,
                "client %zu: %" PRIu64 " bytes, and %" PRIu64 " are recorded", client->number, stream->bytes,
                client->completion.bytes);
    fuzz_expect(!all_seen || stream->bytes == client->completion.bytes,
                "client %zu: %" PRIu64 " bytes, and %" PRIu64 " are recorded", client->number, stream->bytes,
                client->completion.bytes);
    fuzz_expect(!all_seen || stream->chunked || stream->events == client->completion.events,
                "client %zu: %" PRIu64 " events, and %" PRIu64 " are recorded", client->number,
                stream->events, client->completion.events);
    if (!client->completion.error && all_seen)
        check_graceful(client);
    else
        fuzz_expect(!stream->ended || !client->completion.error || client->disturbed,
                    "client %zu: a last chunk, although it was aborted", client->number);
}

void stream_free(struct client *client)
{
    event_source_parser_free(client->stream.parser);
    client->stream.parser = NULL;
}
