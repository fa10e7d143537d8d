/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include "ascii.h"
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#define HEAD_SIZE 512
#define TOPICS_MAX 64

/** What a client asks for. */
struct wish {
    struct sse_text topics[TOPICS_MAX];
    size_t topic_count;
    struct sse_text last_event_id;
    char topic_bytes[REQUEST_HEAD_MAX]; /* decoding never makes a query longer */
    char id[CLIENT_ID_SIZE];
};

static const struct sse_http_header connection_close = {
    .name = {.ptr = "Connection", .len = 10},
    .value = {.ptr = "close", .len = 5},
};

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 202:
        return "Accepted";
    case 404:
        return "Not Found";
    case 413:
        return "Content Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Bad Request";
    }
}

void routes_respond(int fd, int status, const char *text)
{
    char response[1024];
    int size = snprintf(response, sizeof(response),
                        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                        "Connection: close\r\n\r\n%s",
                        status, reason_of(status), strlen(text), text);

    /* The send buffer of a new socket has room for it. */
    (void)send(fd, response, (size_t)size, MSG_NOSIGNAL);
}

static void respond_error(int fd, int status, const char *error)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"error\": \"%s\"}\n", error);
    routes_respond(fd, status, text);
}

/* -- streams --------------------------------------------------------------------------------- */

static struct sse_http_options http_options(const struct request *request)
{
    return (struct sse_http_options){
        .size = sizeof(struct sse_http_options),
        .version = request->version,
        .chunked = request->version == SSE_HTTP_1_1,
        .headers = &connection_close,
        .header_count = 1,
    };
}

static void refuse(int fd, const struct request *request, int error)
{
    const struct sse_http_options http = http_options(request);
    char response[HEAD_SIZE];
    ssize_t size =
        sse_http_refuse(response, sizeof(response), error, &http, (uint64_t)redis_jitter(0, INT32_MAX));

    if (size > 0 && (size_t)size <= sizeof(response))
        (void)send(fd, response, (size_t)size, MSG_NOSIGNAL);
}

static int read_topics(struct wish *wish, struct sse_text query)
{
    size_t used = 0;

    for (wish->topic_count = 0;; wish->topic_count++) {
        char *bytes = wish->topic_bytes + used;
        ssize_t size =
            sse_http_parameter(query, "topic", wish->topic_count, bytes, sizeof(wish->topic_bytes) - used);

        if (size == -ENOENT)
            return wish->topic_count ? 0 : -EBADMSG;
        if (size < 0)
            return (int)size;
        if (wish->topic_count == TOPICS_MAX)
            return -EBADMSG;
        wish->topics[wish->topic_count] = (struct sse_text){bytes, (size_t)size};
        used += (size_t)size;
    }
}

static int read_wish(struct wish *wish, const struct request *request)
{
    ssize_t size = sse_http_last_event_id(request_header(request, "Last-Event-ID"), request->query, wish->id,
                                          sizeof(wish->id));

    if (size < 0)
        return (int)size;
    wish->last_event_id = (struct sse_text){wish->id, (size_t)size};
    return read_topics(wish, request->query);
}

static bool stream(const struct node *node, int fd, const struct request *request)
{
    const struct sse_http_options http = http_options(request);
    struct wish wish;
    int error = read_wish(&wish, request);

    if (!error)
        error = bridge_begin_stream(node->bridge, &(struct sse_emitter_options){
                                                      .size = sizeof(struct sse_emitter_options),
                                                      .loop = node->loop,
                                                      .topics = wish.topics,
                                                      .topic_count = wish.topic_count,
                                                      .last_event_id = wish.last_event_id,
                                                      .output = SSE_OUTPUT_FD,
                                                      .fd = fd,
                                                      .http = &http,
                                                      .retry_ms = node->retry_ms,
                                                  });
    if (error)
        refuse(fd, request, error);
    return !error;
}

/* -- events ---------------------------------------------------------------------------------- */

static void publish(struct node *node, int fd, struct sse_text topic, const struct sse_event *event)
{
    char id[PLACE_SIZE], text[64];
    int error = store_append(&node->store, topic, event, id);

    if (error == -EAGAIN) {
        atomic_fetch_add(&node->refused, 1);
        respond_error(fd, 503, "not accepted: no answer from Redis");
    } else if (error) {
        respond_error(fd, error == -EMSGSIZE ? 413 : 400, strerror(-error));
    } else {
        atomic_fetch_add(&node->accepted, 1);
        snprintf(text, sizeof(text), "{\"id\": \"%s\"}\n", id);
        routes_respond(fd, 202, text);
    }
}

/* Absent if the query does not have it. */
static int read_parameter(const struct request *request, const char *name, char *bytes,
                          struct sse_text *value)
{
    ssize_t size = sse_http_parameter(request->query, name, 0, bytes, REQUEST_HEAD_MAX);

    *value = sse_str(NULL);
    if (size >= 0)
        *value = (struct sse_text){bytes, (size_t)size};
    return size < 0 && size != -ENOENT ? (int)size : 0;
}

static void read_and_publish(struct node *node, int fd, const struct request *request,
                             const struct body *body)
{
    char topic_bytes[REQUEST_HEAD_MAX], type_bytes[REQUEST_HEAD_MAX];
    struct sse_event event = {.data = {body->bytes.length ? body->bytes.bytes : "", body->bytes.length}};
    struct sse_text topic;
    int error = read_parameter(request, "topic", topic_bytes, &topic);

    if (!error)
        error = read_parameter(request, "type", type_bytes, &event.type);
    if (!event.type.len)
        event.type = sse_str(NULL);
    if (error)
        respond_error(fd, 400, strerror(-error));
    else
        publish(node, fd, topic, &event);
}

static void report_counts(struct node *node, int fd)
{
    struct sse_registry_stats stats = {.emitters = 0};
    char text[512];

    (void)sse_registry_get_stats(node->registry, &stats, sizeof(stats));
    snprintf(text, sizeof(text),
             "{\"begun\": %s, \"emitters\": %zu, \"published\": %" PRIu64 ", \"accepted\": %llu, "
             "\"refused\": %llu, \"filled\": %llu, \"gaps\": %llu, \"put_off\": %llu}\n",
             progress_has_begun(&node->bridge->progress) ? "true" : "false", stats.emitters, stats.published,
             atomic_load(&node->accepted), atomic_load(&node->refused), atomic_load(&node->bridge->filled),
             atomic_load(&node->bridge->told), atomic_load(&node->bridge->put_off));
    routes_respond(fd, 200, text);
}

bool routes_answer(struct node *node, int fd, const struct request *request, const struct body *body)
{
    bool get = ascii_equals(request->method, "GET"), post = ascii_equals(request->method, "POST");

    if (get && ascii_equals(request->path, "/events"))
        return stream(node, fd, request);
    if (post && ascii_equals(request->path, "/publish"))
        read_and_publish(node, fd, request, body);
    else if (get && ascii_equals(request->path, "/stats"))
        report_counts(node, fd);
    else
        respond_error(fd, 404, "there are GET /events, POST /publish and GET /stats");
    return false;
}
