/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include "ascii.h"
#include "client.h"
#include "query.h"
#include "subscriber.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SHED_MIN_MS 200
#define SHED_MAX_MS 1000

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

    /* So little fits into the buffer of a fresh socket. */
    (void)send(fd, response, (size_t)size, MSG_NOSIGNAL);
}

static void respond_error(int fd, int status, const char *error)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"error\": \"%s\"}\n", error);
    routes_respond(fd, status, text);
}

/* -- streams --------------------------------------------------------------------------------- */

static void on_release(void *user)
{
    subscriber_free(user);
}

/* Takes the subscriber, whatever happens. The end of the stream is that of the connection. */
static struct sse_emitter *make_emitter(const struct node *node, int fd, struct subscriber *subscriber)
{
    char head[512];
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .drain = SSE_DRAIN_FD,
        .fd = fd,
        .head = {head, (size_t)sse_http_head(head, sizeof(head), NULL)},
        .retry_ms = node->retry_ms,
        .queue_bytes = CLIENT_QUEUE_BYTES,
        .on_release = on_release,
        .user = subscriber,
    };
    struct sse_emitter *emitter;

    if (options.head.len <= sizeof(head) && sse_emitter_new(&emitter, &options) == 0)
        return emitter;
    subscriber_free(subscriber);
    return NULL;
}

/* A new client begins where this node is. From before what the node itself has missed, only Redis knows what
 * there was: with a zero in front, the history does not know an id, and on_gap is asked. */
static int subscribe(const struct node *node, struct sse_emitter *emitter, struct sse_str asked)
{
    const struct subscriber *subscriber = sse_emitter_user(emitter);
    char ready[PLACE_SIZE], unknown[PLACE_SIZE + 1] = "0";
    struct place place;

    if (place_parse(asked, &place) && place_compare(place, progress_skipped(&node->bridge->progress)) < 0) {
        place_format(place, unknown + 1);
        asked = sse_str(unknown);
    } else if (!asked.len) {
        int error;

        place = progress_published(&node->bridge->progress);
        error = client_ready(emitter, place);
        if (error)
            return error;
        asked = sse_str(place_format(place, ready));
    }
    return sse_registry_subscribe(node->registry, emitter, subscriber->topics, subscriber->count, asked,
                                  NULL);
}

/* The loop has it before it subscribes: on_gap may end it gracefully, and then the loop sees that through. */
static bool begin_stream(const struct node *node, int fd, struct subscriber *subscriber, struct sse_str asked)
{
    struct sse_emitter *emitter = make_emitter(node, fd, subscriber);

    if (!emitter)
        return false;
    sse_emitter_ref(emitter);
    if (sse_registry_add(node->registry, emitter) < 0 || sse_loop_add(node->loop, emitter) < 0) {
        sse_emitter_detach(emitter);
        sse_emitter_unref(emitter);
        sse_emitter_unref(emitter);
        return false;
    }
    /* It comes back with the id that it has. The bridge may have ended it already. */
    if (subscribe(node, emitter, asked) < 0)
        (void)sse_emitter_complete(emitter);
    sse_emitter_unref(emitter);
    return true;
}

/* The node that the client comes from may have been ahead of this one. An id that is beyond the stream itself
 * is no reason to wait: on_gap tells of that. */
static bool is_ready_for(const struct node *node, struct sse_str asked)
{
    struct progress *progress = &node->bridge->progress;
    struct place place, end;

    if (!progress_has_begun(progress))
        return false;
    if (!place_parse(asked, &place) || place_compare(place, progress_read(progress)) <= 0)
        return true;
    if (!store_end(&node->store, &end))
        return false;
    return place_compare(place, end) > 0 || progress_await(progress, place);
}

/* An error status would end an EventSource for good. */
static void shed(int fd)
{
    char response[512];
    ssize_t size = sse_http_shed(response, sizeof(response), NULL, SHED_MIN_MS, SHED_MAX_MS,
                                 (uint64_t)redis_jitter(0, INT32_MAX));

    if (size > 0 && (size_t)size <= sizeof(response))
        (void)send(fd, response, (size_t)size, MSG_NOSIGNAL);
}

static bool stream(const struct node *node, int fd, const struct request *request)
{
    char id[CLIENT_ID_MAX];
    ssize_t size =
        sse_http_last_event_id(request_header(request, "Last-Event-ID"), request->query, id, sizeof(id));
    struct sse_str asked = {id, size > 0 ? (size_t)size : 0};
    struct subscriber *subscriber;
    int error = size < 0 ? (int)size : subscriber_new(&subscriber, request->query);

    if (error) {
        respond_error(fd, error == -ENOMEM ? 503 : 400, "GET /events?topic=T, with an id that can be one");
        return false;
    }
    if (is_ready_for(node, asked))
        return begin_stream(node, fd, subscriber, asked);
    subscriber_free(subscriber);
    shed(fd);
    return false;
}

/* -- events ---------------------------------------------------------------------------------- */

static void publish(struct node *node, int fd, struct sse_str topic, const struct sse_event *event)
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

static void read_and_publish(struct node *node, int fd, const struct request *request,
                             const struct body *body)
{
    struct query *query = malloc(sizeof(*query));
    struct sse_event event = {.data = {body->bytes.length ? body->bytes.bytes : "", body->bytes.length}};
    struct sse_str topic = {NULL, 0};
    struct query_parameter parameter;
    int more = -ENOMEM;

    if (query)
        query_begin(query, request->query);
    while (query && (more = query_next(query, &parameter)) > 0) {
        if (ascii_equals(parameter.name, "topic"))
            topic = parameter.value;
        else if (ascii_equals(parameter.name, "type") && parameter.value.len)
            event.type = parameter.value;
    }
    if (more)
        respond_error(fd, more == -ENOMEM ? 503 : 400, strerror(-more));
    else
        publish(node, fd, topic, &event);
    free(query);
}

static void tell_counts(struct node *node, int fd)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};
    char text[512];

    (void)sse_registry_stats(node->registry, &stats);
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
        tell_counts(node, fd);
    else
        respond_error(fd, 404, "GET /events, POST /publish, GET /stats");
    return false;
}
