/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include "answer.h"
#include "ascii.h"
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define TOPICS_MAX 64

/** The content of a client's request. */
struct wish {
    struct sse_text topics[TOPICS_MAX];
    size_t topic_count;
    struct sse_text last_event_id;
    char topic_bytes[REQUEST_HEAD_MAX]; /* decoding never makes a query longer */
    char id[CLIENT_ID_SIZE];
};

/* -- streams --------------------------------------------------------------------------------- */

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
    const struct sse_http_options http = answer_stream_options(request);
    struct wish wish;
    int error = read_wish(&wish, request);

    if (!error && ascii_equals(request->method, "HEAD")) {
        answer_head(fd, request);
        return false;
    }
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
        answer_refuse_stream(fd, request, error);
    return !error;
}

/* -- events ---------------------------------------------------------------------------------- */

static void report_accepted(struct node *node, int fd, const struct request *request, struct place place)
{
    char id[PLACE_SIZE], text[PLACE_SIZE + 16];

    atomic_fetch_add(&node->accepted, 1);
    snprintf(text, sizeof(text), "{\"id\": \"%s\"}\n", place_format(place, id));
    answer_send(fd, request, 202, NULL, text);
}

static void report_error(struct node *node, int fd, const struct request *request, int error)
{
    if (error == -EAGAIN) {
        atomic_fetch_add(&node->refused, 1);
        answer_refuse(fd, request, 503, "not stored: Redis does not answer, or refuses; send it again later");
    } else if (error == -ETIMEDOUT) {
        atomic_fetch_add(&node->unknown, 1);
        answer_refuse(fd, request, 504, "unknown: Redis did not answer in time, and may store the event");
    } else if (error == -EEXIST) {
        answer_refuse(fd, request, 422, "the Idempotency-Key belongs to another event; choose a new one");
    } else {
        answer_refuse(fd, request, error == -EMSGSIZE ? 413 : 400, strerror(-error));
    }
}

/* Absent if the query does not have the parameter. */
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
    const struct sse_text key = request_header(request, "Idempotency-Key");
    char topic_bytes[REQUEST_HEAD_MAX], type_bytes[REQUEST_HEAD_MAX];
    struct sse_event event = {.data = {body->bytes.length ? body->bytes.bytes : "", body->bytes.length}};
    struct sse_text topic;
    struct place place;
    int error = read_parameter(request, "topic", topic_bytes, &topic);

    if (!error)
        error = read_parameter(request, "type", type_bytes, &event.type);
    if (!event.type.len)
        event.type = sse_str(NULL);
    if (!error)
        error = store_append(&node->bridge->store, topic, &event, key, &place);
    if (error)
        report_error(node, fd, request, error);
    else
        report_accepted(node, fd, request, place);
}

static void report_counts(struct node *node, int fd, const struct request *request)
{
    struct bridge *bridge = node->bridge;
    struct sse_registry *registry = current_registry(&bridge->current);
    struct sse_registry_stats stats = {.emitters = 0};
    char text[512];

    (void)sse_registry_get_stats(registry, &stats, sizeof(stats));
    sse_registry_unref(registry);
    snprintf(text, sizeof(text),
             "{\"begun\": %s, \"emitters\": %zu, \"published\": %" PRIu64 ", \"accepted\": %llu, "
             "\"refused\": %llu, \"unknown\": %llu, \"filled\": %llu, \"gaps\": %llu, \"renewed\": %llu, "
             "\"put_off\": %llu}\n",
             progress_has_begun(&bridge->current.progress) ? "true" : "false", stats.emitters,
             stats.published, atomic_load(&node->accepted), atomic_load(&node->refused),
             atomic_load(&node->unknown), atomic_load(&bridge->filled), atomic_load(&bridge->told),
             atomic_load(&bridge->renewed), atomic_load(&bridge->put_off));
    answer_send(fd, request, 200, NULL, text);
}

/* -- all requests ---------------------------------------------------------------------------- */

static bool is_path(const struct request *request, const char *path)
{
    return ascii_equals(request->path, path);
}

static int check_key(const struct request *request, const char **why)
{
    const struct sse_text key = request_header(request, "Idempotency-Key");
    bool is_good =
        key.len > 0 && key.len <= STORE_KEY_MAX && request_header_count(request, "Idempotency-Key") == 1;

    for (size_t i = 0; i < key.len; i++)
        is_good = is_good && key.ptr[i] >= 0x21 && key.ptr[i] <= 0x7e;
    if (!key.ptr || is_good)
        return 0;
    *why = "an Idempotency-Key is one field of 1 to 255 visible ASCII characters";
    return 400;
}

/* Pages of other origins must not see the counters either. */
static int check_origin(const struct node *node, const struct request *request, const char **why)
{
    const struct origin_request page = {.host = request_header(request, "Host"),
                                        .origin = request_header(request, "Origin"),
                                        .fetch_site = request_header(request, "Sec-Fetch-Site")};

    if (request_header_count(request, "Sec-Fetch-Site") > 1)
        return 400;
    *why = origin_refusal(&node->origins, &page);
    return *why ? 403 : 0;
}

int routes_check(const struct node *node, const struct request *request, const char **why)
{
    bool is_publish = is_path(request, "/publish");
    bool post = ascii_equals(request->method, "POST");
    bool get = ascii_equals(request->method, "GET") || ascii_equals(request->method, "HEAD");
    int status;

    if (!is_publish && !is_path(request, "/events") && !is_path(request, "/stats")) {
        *why = "the paths are GET /events, POST /publish and GET /stats";
        return 404;
    }
    if (is_publish ? !post : !get)
        return 405;
    status = check_origin(node, request, why);
    return status || !is_publish ? status : check_key(request, why);
}

bool routes_answer(struct node *node, int fd, const struct request *request, const struct body *body)
{
    if (is_path(request, "/events"))
        return stream(node, fd, request);
    if (is_path(request, "/publish"))
        read_and_publish(node, fd, request, body);
    else
        report_counts(node, fd, request);
    return false;
}
