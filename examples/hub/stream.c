/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include "query.h"
#include "ascii.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define TOPICS_MAX 256
#define HEAD_SIZE 1024

/* Stands for an id that cannot be read: no event has it. */
#define UNREADABLE_ID "\n"

static const struct sse_http_header connection_close = {
    .name = {.ptr = "Connection", .len = 10},
    .value = {.ptr = "close", .len = 5},
};

/** What a request asks for. */
struct wish {
    struct sse_str topics[TOPICS_MAX];
    size_t topic_count;
    struct sse_str last_event_id;
    struct query query;
    char buffer[REQUEST_HEAD_MAX]; /* of the joined Accept, then of the last event id */
};

static bool refuse(struct response *response, const char *error, const char *field)
{
    response_error(response, 400, error, field);
    return false;
}

static bool add_topic(struct wish *wish, struct sse_str topic, struct response *response)
{
    if (topic.len == 0)
        return refuse(response, "a topic must not be empty", "topic");
    if (topic.len > SSE_TOPIC_SIZE_MAX)
        return refuse(response, "a topic is too long", "topic");
    if (wish->topic_count == TOPICS_MAX)
        return refuse(response, "too many topics", "topic");
    wish->topics[wish->topic_count++] = topic;
    return true;
}

static bool read_topics(struct wish *wish, const struct request *request, struct response *response)
{
    struct query_parameter parameter;
    int result;

    query_begin(&wish->query, request->query);
    while ((result = query_next(&wish->query, &parameter)) > 0) {
        if (ascii_equals(parameter.name, "topic")) {
            if (!add_topic(wish, parameter.value, response))
                return false;
        } else if (!ascii_equals_ignoring_case(parameter.name, "lastEventId") &&
                   !ascii_equals_ignoring_case(parameter.name, "Last-Event-ID")) {
            return refuse(response, "unknown parameter", "query");
        }
    }
    return result == 0 || refuse(response, "the query has a broken escape", "query");
}

static bool read_wish(struct wish *wish, const struct request *request, struct response *response)
{
    ssize_t size;

    wish->topic_count = 0;
    if (!sse_http_accepts(request_joined_header(request, "Accept", wish->buffer))) {
        response_error(response, 406, "this is text/event-stream, which Accept does not admit", NULL);
        return false;
    }
    if (!read_topics(wish, request, response))
        return false;
    size = sse_http_last_event_id(request_header(request, "Last-Event-ID"), request->query, wish->buffer,
                                  sizeof(wish->buffer));
    /* Some clients send an id back in another encoding. Refusing it would close an EventSource for
     * good: it has missed something, that is all. */
    wish->last_event_id = (struct sse_str){.ptr = wish->buffer, .len = (size_t)size};
    if (size < 0)
        wish->last_event_id = sse_str(UNREADABLE_ID);
    return true;
}

static struct sse_http_options http_options(const struct hub *hub, enum sse_http_version version)
{
    return (struct sse_http_options){
        .size = sizeof(struct sse_http_options),
        .version = version,
        .chunked = version == SSE_HTTP_1_1,
        .cors_origin = hub->options.cors_origin,
        .headers = &connection_close,
        .header_count = 1,
    };
}

void stream_on_trace(struct sse_registry *registry, struct sse_emitter *emitter, enum sse_trace step,
                     void *user)
{
    struct stream *stream = sse_emitter_user(emitter);

    (void)registry;
    (void)user;
    if (step == SSE_TRACE_ADDED)
        stream->admitted = true;
}

/* The head must not leave before the registry has admitted the client: one that is refused gets another. */
static ssize_t on_write(void *user, const struct iovec *iov, int count)
{
    const struct stream *stream = user;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    ssize_t size;

    if (!stream->admitted)
        return -EAGAIN;
    do
        size = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : size;
}

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    struct stream *stream = user;

    (void)emitter;
    stream->blocked = true;
}

static bool is_graceful(const struct sse_completion *completion)
{
    return completion->error == 0 || completion->reason == SSE_REASON_LIFETIME;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct stream *stream = user;

    (void)emitter;
    stream->ended = true;
    stream->graceful = is_graceful(completion);
}

/** For timers, where the library has a default for 0. */
static int64_t timer(int64_t milliseconds)
{
    return milliseconds > 0 ? milliseconds : SSE_TIMER_OFF;
}

static int make_emitter(struct stream *stream, const struct request *request)
{
    const struct options *options = &stream->hub->options;
    struct sse_http_options http = http_options(stream->hub, request->version);
    char head[HEAD_SIZE];
    ssize_t size = sse_http_head(head, sizeof(head), &http);
    struct sse_emitter_options emitter = {
        .size = sizeof(emitter),
        .host = &stream->hub->memory.host,
        .drain = SSE_DRAIN_CALLBACK,
        .framing = http.chunked ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW,
        .write = on_write,
        .head = {.ptr = head, .len = (size_t)size},
        .retry_ms = options->retry_ms,
        .lifetime_ms = timer(options->lifetime_ms),
        .stall_ms = timer(options->stall_ms),
        .drain_ms = HUB_DRAIN_MS,
        .heartbeat_ms = timer(options->heartbeat_ms),
        .queue_bytes = options->queue_bytes,
        .overflow = options->overflow,
        .on_blocked = on_blocked,
        .on_completion = on_completion,
        .user = stream,
    };

    if (size < 0 || (size_t)size > sizeof(head))
        return size < 0 ? (int)size : -EMSGSIZE;
    return sse_emitter_new(&stream->emitter, &emitter);
}

/** Replays and joins. On an error nothing has been written. */
static int join(struct stream *stream, const struct wish *wish)
{
    struct sse_replay replay = {.size = sizeof(replay)};
    int error = sse_registry_subscribe(stream->hub->registry, stream->emitter, wish->topics,
                                       wish->topic_count, wish->last_event_id, &replay);

    if (error < 0)
        return error;
    stream->replayed = replay.messages;
    stream_flush(stream);
    return 0;
}

int stream_send_away(struct hub *hub, enum sse_http_version version, struct buffer *wire)
{
    struct sse_http_options http = http_options(hub, version);
    char bytes[HEAD_SIZE];
    ssize_t size;

    http.chunked = false;
    size = sse_http_shed(bytes, sizeof(bytes), &http, hub->options.retry_min_ms, hub->options.retry_max_ms,
                         hub_random(hub));
    if (size < 0 || (size_t)size > sizeof(bytes))
        return size < 0 ? (int)size : -EMSGSIZE;
    buffer_append(wire, bytes, (size_t)size);
    ++hub->statistics.shed;
    return 0;
}

int stream_begin(struct stream *stream, struct hub *hub, int fd, const struct request *request,
                 struct response *response)
{
    struct wish wish;
    int error;

    if (!read_wish(&wish, request, response))
        return 0;
    *stream = (struct stream){.hub = hub, .fd = fd};
    error = make_emitter(stream, request);
    if (error == 0)
        error = join(stream, &wish);
    if (error == 0) {
        ++hub->statistics.streams;
        return 1;
    }
    stream_end(stream);
    *stream = (struct stream){.hub = NULL};
    /* Over a cap, without memory, or at the end of the hub: it is to come back. */
    return stream_send_away(hub, request->version, &response->whole);
}

void stream_describe(const struct hub *hub, const struct request *request, struct response *response)
{
    struct sse_http_options http = http_options(hub, request->version);
    struct wish wish;
    char head[HEAD_SIZE];
    ssize_t size;

    if (!read_wish(&wish, request, response))
        return;
    size = sse_http_head(head, sizeof(head), &http);
    if (size > 0 && (size_t)size <= sizeof(head))
        buffer_append(&response->whole, head, (size_t)size);
    else
        response_error(response, 500, "the head is too long", NULL);
}

/* An EventSource cannot tell by itself what is sent again and what is new. Waits until the replay
 * has left, for a full queue must not be what ends the stream. */
static void tell_of_replay(struct stream *stream)
{
    struct sse_event event = {.type = sse_str("replay")};
    char count[24];

    snprintf(count, sizeof(count), "%zu", stream->replayed);
    event.data = sse_str(count);
    stream->replayed = 0;
    sse_emitter_send(stream->emitter, &event);
}

void stream_flush(struct stream *stream)
{
    if (sse_emitter_flush(stream->emitter) != 0)
        return;
    stream->blocked = false;
    if (stream->replayed > 0)
        tell_of_replay(stream);
}

void stream_probe(struct stream *stream)
{
    const struct sse_event probe = {.comment = sse_str("")};

    /* Bytes that wait will do as well, and a full queue must not be what ends the stream. */
    if (!stream->blocked && sse_emitter_send(stream->emitter, &probe) == 0)
        ++stream->hub->statistics.probes;
}

void stream_break(struct stream *stream, int error)
{
    if (sse_emitter_complete_with_error(stream->emitter, error) == -EINVAL)
        sse_emitter_complete_with_error(stream->emitter, -EIO);
}

void stream_end(struct stream *stream)
{
    if (!stream->emitter)
        return;
    sse_emitter_detach(stream->emitter);
    sse_emitter_unref(stream->emitter);
    stream->emitter = NULL;
}
