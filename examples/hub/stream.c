/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include "ascii.h"

#include <errno.h>
#include <stdio.h>

#define DRAIN_MS 5000
#define WISH_TOPICS_MAX 256
#define HEAD_SIZE 1024

static const struct sse_http_header connection_close = {
    .name = {.ptr = "Connection", .len = 10},
    .value = {.ptr = "close", .len = 5},
};

/** The content of a request. */
struct wish {
    struct sse_text topics[WISH_TOPICS_MAX];
    size_t topic_count;
    struct sse_text last_event_id;
    bool watches;                       /**< it asks for all topics */
    char topic_bytes[REQUEST_HEAD_MAX]; /* decoding never makes a query longer */
    char joined[REQUEST_HEAD_MAX];      /* of Accept, then of Last-Event-ID */
    char id_bytes[SSE_ID_SIZE_MAX + 1];
};

static bool refuse(struct response *response, const char *error, const char *field)
{
    response_error(response, 400, error, field);
    return false;
}

bool stream_watches(const struct request *request)
{
    return ascii_equals(request->path, "/watch");
}

static bool read_topics(struct wish *wish, struct sse_text query, struct response *response)
{
    struct sse_text parameter;
    size_t used = 0;

    while (ascii_next_part(&query, '&', &parameter)) {
        char *bytes = wish->topic_bytes + used;
        ssize_t size = sse_http_parameter(parameter, "topic", 0, bytes, sizeof(wish->topic_bytes) - used);

        /* The parameter of the last event id, or one that a proxy added. */
        if (size == -ENOENT)
            continue;
        if (size < 0)
            return refuse(response, "a topic must be UTF-8 without NUL, correctly percent-encoded", "topic");
        if (wish->topic_count == WISH_TOPICS_MAX)
            return refuse(response, "too many topics", "topic");
        wish->topics[wish->topic_count++] = (struct sse_text){.ptr = bytes, .len = (size_t)size};
        used += (size_t)size;
    }
    return true;
}

static bool read_wish(struct wish *wish, const struct request *request, struct response *response)
{
    ssize_t size;

    wish->topic_count = 0;
    wish->watches = stream_watches(request);
    if (!sse_http_accepts(request_joined_header(request, "Accept", wish->joined))) {
        response_error(response, 406, "this is text/event-stream, but the Accept header does not allow it", NULL);
        return false;
    }
    if (!wish->watches && !read_topics(wish, request->query, response))
        return false;
    /* Two such ids together are an id that never existed, which makes a gap. */
    size = sse_http_last_event_id(request_joined_header(request, "Last-Event-ID", wish->joined),
                                  request->query, wish->id_bytes, sizeof(wish->id_bytes));
    wish->last_event_id = (struct sse_text){.ptr = wish->id_bytes, .len = size > 0 ? (size_t)size : 0};
    return true;
}

static struct sse_http_options http_options(const struct hub *hub, const struct request *request)
{
    return (struct sse_http_options){
        .size = sizeof(struct sse_http_options),
        .version = request->version,
        .chunked = request->version == SSE_HTTP_1_1,
        .cors_origin = hub->options.cors_origin,
        .headers = &connection_close,
        .header_count = 1,
    };
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)completion;
    (void)user;
    sse_emitter_close(emitter);
}

/** The value for a timer, where 0 would mean the library's default. */
static int64_t timer(int64_t milliseconds)
{
    return milliseconds > 0 ? milliseconds : SSE_TIMER_OFF;
}

static int make_emitter(struct sse_emitter **emitter, const struct hub *hub, int fd, const struct wish *wish,
                        const struct sse_http_options *http, struct sse_replay *replay)
{
    const struct options *options = &hub->options;
    const struct sse_emitter_options emitter_options = {
        .size = sizeof(emitter_options),
        .platform = &hub->memory.platform,
        .registry = wish->watches ? hub->watchers : hub->registry,
        .loop = hub->loop,
        .topics = wish->topics,
        .topic_count = wish->topic_count,
        .last_event_id = wish->last_event_id,
        .output = SSE_OUTPUT_FD,
        .fd = fd,
        .http = http,
        .retry_ms = options->retry_ms,
        .lifetime_ms = timer(options->lifetime_ms),
        .stall_ms = timer(options->stall_ms),
        .drain_ms = DRAIN_MS,
        .heartbeat_ms = timer(options->heartbeat_ms),
        .queue_bytes = wish->watches ? hub_watcher_queue_bytes(hub) : options->queue_bytes,
        .overflow = options->overflow,
        .on_completion = on_completion,
    };

    return sse_emitter_new(emitter, &emitter_options, replay);
}

/* An EventSource cannot tell which events are a replay. */
static void report_replay(struct sse_emitter *emitter, size_t messages)
{
    struct sse_event event = {.type = sse_str("replay")};
    char count[24];

    snprintf(count, sizeof(count), "%zu", messages);
    event.data = sse_str(count);
    sse_emitter_send(emitter, &event);
}

bool stream_begin(struct hub *hub, int fd, const struct request *request, struct response *response)
{
    const struct sse_http_options http = http_options(hub, request);
    struct sse_emitter *emitter;
    struct sse_replay replay;
    struct wish wish;
    int error;

    if (!read_wish(&wish, request, response))
        return false;
    error = make_emitter(&emitter, hub, fd, &wish, &http, &replay);
    if (error == -EBADMSG)
        return refuse(response, "a topic must not be empty or too long", "topic");
    if (error < 0) {
        stream_refuse(hub, request, error, response);
        return false;
    }
    hub_note_topics(hub, wish.topics, wish.topic_count);
    if (replay.messages > 0)
        report_replay(emitter, replay.messages);
    return true;
}

void stream_describe(const struct hub *hub, const struct request *request, struct response *response)
{
    const struct sse_http_options http = http_options(hub, request);
    struct wish wish;
    char head[HEAD_SIZE];
    ssize_t size;

    if (!read_wish(&wish, request, response))
        return;
    size = sse_http_head(head, sizeof(head), &http);
    response_whole(response, head, sizeof(head), size);
}

void stream_refuse(struct hub *hub, const struct request *request, int error, struct response *response)
{
    const struct sse_http_options http = http_options(hub, request);
    char bytes[HEAD_SIZE];
    ssize_t size = sse_http_refuse(bytes, sizeof(bytes), error, &http, hub_random(hub));

    ++hub->statistics.shed;
    response_whole(response, bytes, sizeof(bytes), size);
}
