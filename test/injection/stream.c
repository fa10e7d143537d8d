/* SPDX-License-Identifier: MIT */
/* Checks that a client has received exactly what was accepted for it, and that its end agrees. */
#include "event_source_parser.h"
#include "fault.h"
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LAST_CHUNK "0\r\n\r\n"

/** A stream that is being parsed. */
struct reading {
    const struct client *client;
    size_t position; /* in what was offered */
    uint64_t events;
};

static unsigned number_of(const struct event_source_event *event)
{
    return strcmp(event->type, "gap") ? (unsigned)strtoul(event->data, NULL, 10) : GAP_EVENT;
}

/* Events must be in the order in which they were offered, each once. */
static void on_event(const struct event_source_event *event, void *user)
{
    struct reading *reading = user;
    const struct numbers *offered = &reading->client->offered;
    unsigned number = number_of(event);

    while (reading->position < offered->count && offered->of[reading->position] != number)
        reading->position++;
    expect(reading->position++ < offered->count, "an event that was not accepted, or not in this order");
    reading->events++;
    if (number != GAP_EVENT && *server.events[number].id.text)
        expect(!strcmp(event->last_event_id, server.events[number].id.text), "an event with another id");
}

/* Finds the beginning of the body. With an incomplete head there is none. */
static const char *find_body(const struct client *client)
{
    const char *end = client->received + client->size, *at = client->received;

    if (!client->options.http)
        return at;
    for (; at + 4 <= end; at++)
        if (!memcmp(at, "\r\n\r\n", 4))
            return at + 4;
    return end;
}

static bool is_chunked(const struct client *client)
{
    return client->options.http ? client->options.http->chunked
                                : client->options.framing == SSE_FRAMING_CHUNKED;
}

/* Reads only complete chunks. Returns whether the last chunk was there. */
static bool feed_chunks(struct event_source_parser *parser, const char *at, const char *end)
{
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t size = line_end ? strtoul(at, NULL, 16) : 0;

        if (!line_end || (size_t)(end - line_end) < size + 3)
            return false;
        if (!size) {
            expect(line_end + 3 == end, "bytes behind the last chunk");
            return true;
        }
        event_source_parser_feed(parser, line_end + 1, size);
        at = line_end + 1 + size + 2;
    }
    return false;
}

/* Browsers report a stream as open when the first byte of its body arrives. */
static void expect_first_byte(const struct client *client, const char *body, const char *end)
{
    const char *first = client->options.retry_ms ? "retry: " : ":\n";
    const char *at = is_chunked(client) && body < end ? memchr(body, '\n', (size_t)(end - body)) : body - 1;
    size_t size = at ? (size_t)(end - at - 1) : 0;

    expect(!memcmp(at + 1, first, size < strlen(first) ? size : strlen(first)),
           "another beginning of the body");
}

/* Returns whether the stream ended with a complete line or the last chunk. */
static bool feed(struct event_source_parser *parser, const struct client *client)
{
    const char *body = find_body(client), *end = client->received + client->size;

    expect_first_byte(client, body, end);
    if (is_chunked(client))
        return feed_chunks(parser, body, end);
    event_source_parser_feed(parser, body, (size_t)(end - body));
    return body < end && end[-1] == '\n';
}

static bool is_disconnection(int error)
{
    return error == -EPIPE || error == -ECONNRESET || error == -ECONNREFUSED || error == -ETIMEDOUT ||
           error == -EHOSTUNREACH || error == -ENETUNREACH;
}

/* The table of enum sse_reason. */
static bool reason_fits(enum sse_reason reason, int error)
{
    switch (reason) {
    case SSE_REASON_COMPLETED:
    case SSE_REASON_LIFETIME:
    case SSE_REASON_EVICTED:
        return !error;
    case SSE_REASON_STALLED:
    case SSE_REASON_DRAIN_TIMEOUT:
    case SSE_REASON_NOT_STARTED:
        return error == -ETIMEDOUT;
    case SSE_REASON_DISCONNECTED:
        return is_disconnection(error);
    case SSE_REASON_OUTPUT_ERROR:
        return error < 0 && !is_disconnection(error);
    case SSE_REASON_OVERFLOW:
        return error == -ENOBUFS || error == -ENOMEM || error == -EMSGSIZE;
    case SSE_REASON_ABORTED:
        return error < 0;
    case SSE_REASON_CLOSED:
        return error == -ECANCELED;
    case SSE_REASON_SHUTDOWN:
        return !error || error == -ETIMEDOUT;
    case SSE_REASON_NONE:
        break;
    }
    return false;
}

/* If the error of a broken socket cannot be read, another error is reported. */
static bool is_of_fault(enum sse_reason reason, int error)
{
    const struct fault *fault = fault_last();

    if (fault->kind == FAULT_ALLOCATION)
        return reason == SSE_REASON_OVERFLOW && error == -ENOMEM;
    return (reason == SSE_REASON_DISCONNECTED || reason == SSE_REASON_OUTPUT_ERROR) &&
           error == -fault_errno();
}

static bool is_graceful(const struct sse_completion *end)
{
    return !end->error && (end->reason == SSE_REASON_COMPLETED || end->reason == SSE_REASON_SHUTDOWN ||
                           end->reason == SSE_REASON_LIFETIME || end->reason == SSE_REASON_EVICTED);
}

/* It ended in an expected way, or because of the fault. */
static void audit_end(const struct client *client)
{
    const struct sse_completion *end = &client->completion;
    bool timed_out = end->reason == SSE_REASON_STALLED || end->reason == SSE_REASON_DRAIN_TIMEOUT ||
                     end->reason == SSE_REASON_NOT_STARTED || end->reason == SSE_REASON_LIFETIME;
    bool failed = end->reason == SSE_REASON_DISCONNECTED || end->reason == SSE_REASON_OUTPUT_ERROR ||
                  end->reason == SSE_REASON_OVERFLOW || end->reason == SSE_REASON_ABORTED;

    expect(client->completions == 1, "no end, or several");
    expect(client->releases == 1, "not released, or several times");
    expect(reason_fits(end->reason, end->error), "a reason and an error that do not fit");
    expect(client->timeouts == timed_out && client->errors == failed, "on_timeout or on_error did not fit");
    expect(client->error == (failed ? end->error : 0), "on_error was given another error");
    expect(is_graceful(end) || client->may_end >> end->reason & 1 || is_of_fault(end->reason, end->error),
           "an end that nothing accounts for");
}

static void audit_counts(const struct client *client, uint64_t events)
{
    const struct sse_completion *end = &client->completion;
    uint64_t offered = client->offered.count;

    expect(end->bytes == client->size || client->may_lose_bytes, "not as many bytes as were counted");
    expect(end->events == events || client->may_lose_bytes, "not as many events as were counted");
    expect(end->events + end->dropped <= offered && end->events + end->dropped + client->doubtful >= offered,
           "events and dropped events are not what was accepted");
    if (is_graceful(end) && !client->may_miss)
        expect(events == offered, "an event that was accepted is missing");
}

static void audit_stream(struct client *client)
{
    struct reading reading = {.client = client};
    struct event_source_parser *parser = event_source_parser_new(on_event, &reading);
    bool whole = feed(parser, client);
    bool same_id = !strcmp(event_source_parser_last_event_id(parser, NULL), client->last_id);

    event_source_parser_free(parser);
    expect(same_id || client->may_lose_bytes, "not the last id that was counted");
    audit_counts(client, reading.events);
    if (is_graceful(&client->completion))
        expect(whole, "half an event, or no last chunk, at a graceful end");
}

/* Nobody has filled the gap of an emitter that was not started. */
static void take_what_was_never_started(struct client *client)
{
    uint64_t offered = client->offered.count;

    if (client->paused)
        client_offer_later(client, false);
    client->may_miss |= client->offered.count > offered;
}

void client_audit(struct client *client)
{
    take_what_was_never_started(client);
    audit_end(client);
    audit_stream(client);
}
