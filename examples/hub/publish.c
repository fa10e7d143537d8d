/* SPDX-License-Identifier: MIT */
#include "publish.h"

#include "ascii.h"
#include "json.h"

#include <errno.h>

enum parameter { TOPIC, TYPE, ID, RETRY, KEY, PARAMETERS };

static const char *const names[PARAMETERS] = {"topic", "type", "id", "retry", "key"};

/** The decoded parameters of a query, each at most once; absent if the query does not have it. */
struct parameters {
    struct sse_text values[PARAMETERS];
    char bytes[REQUEST_HEAD_MAX]; /* decoding never makes a query longer */
    size_t used;
};

static bool refuse(struct response *response, const char *error, const char *field)
{
    response_error(response, 400, error, field);
    return false;
}

static void refuse_error(struct response *response, int error)
{
    if (error == -ENOMEM)
        response_error(response, 503, "out of memory; try again later", NULL);
    else
        response_error(response, 500, "the event could not be published", NULL);
}

void publish_refuse_size(struct response *response)
{
    response_error(response, 413, "the event is larger than the queue of a client: see --queue-bytes", "data");
}

static bool read_parameter(struct parameters *parameters, struct sse_text text, size_t count,
                           struct response *response)
{
    char *bytes = parameters->bytes + parameters->used;
    ssize_t size = -ENOENT;
    size_t i = 0;

    for (; i < count; ++i) {
        size = sse_http_parameter(text, names[i], 0, bytes, sizeof(parameters->bytes) - parameters->used);
        if (size != -ENOENT)
            break;
    }
    /* Unknown parameters are ignored, because proxies add their own. */
    if (i == count)
        return true;
    if (size < 0)
        return refuse(response, "the parameter must be UTF-8 without NUL, correctly percent-encoded", names[i]);
    if (parameters->values[i].ptr)
        return refuse(response, "the parameter must occur only once", names[i]);
    parameters->values[i] = (struct sse_text){.ptr = bytes, .len = (size_t)size};
    parameters->used += (size_t)size;
    return true;
}

/** Reads a query that may have the first `count` parameters. */
static bool read_parameters(struct parameters *parameters, struct sse_text query, size_t count,
                            struct response *response)
{
    struct sse_text text;

    memset(parameters->values, 0, sizeof(parameters->values));
    parameters->used = 0;
    while (ascii_next_part(&query, '&', &text)) {
        if (text.len > 0 && !read_parameter(parameters, text, count, response))
            return false;
    }
    if (parameters->values[TOPIC].ptr && parameters->values[TOPIC].len == 0)
        return refuse(response, "a topic must not be empty", "topic");
    if (parameters->values[TOPIC].len > SSE_TOPIC_SIZE_MAX)
        return refuse(response, "the topic is too long", "topic");
    if (parameters->values[ID].len > SSE_ID_SIZE_MAX)
        return refuse(response, "the id is too long", "id");
    if (parameters->values[KEY].len > SSE_KEY_SIZE_MAX)
        return refuse(response, "the key is too long", "key");
    return true;
}

static bool read_retry(struct sse_text text, int64_t *retry_ms, struct response *response)
{
    uint64_t number;

    if (!text.ptr)
        return true;
    if (!ascii_to_number(text, (uint64_t)SSE_RETRY_MAX, &number) || number == 0)
        return refuse(response, "retry must be a whole number from 1 to 2147483647", "retry");
    *retry_ms = (int64_t)number;
    return true;
}

/** sse_http_parameter has checked that id, type and topic are UTF-8. */
static void refuse_event(struct response *response, const struct sse_event *event, int error)
{
    const struct sse_event without_id = {.type = event->type, .data = sse_str("")};

    if (error == -EMSGSIZE)
        publish_refuse_size(response);
    else if (error == -EILSEQ)
        refuse(response, "the data must be UTF-8", "data");
    else if (error == -EINVAL && sse_event_encode(&without_id, NULL, 0) < 0)
        refuse(response, "a type must not contain line ends", "type");
    else if (error == -EINVAL)
        refuse(response,
               "an id must not contain control bytes, begin or end with white space, or look like one that the "
               "hub assigns",
               "id");
    else
        refuse_error(response, error);
}

static void write_delivery(struct response *response, struct sse_text id, const struct sse_delivery *delivery)
{
    if (!id.ptr && delivery->id[0] != '\0')
        id = sse_str(delivery->id);
    response_json(response, 202);
    buffer_text(&response->body, "{");
    json_name(&response->body, "id");
    json_string(&response->body, id);
    json_count(&response->body, "receivers", delivery->receivers);
    json_count(&response->body, "dropped", delivery->dropped);
    json_count(&response->body, "ended", delivery->ended);
    buffer_text(&response->body, "}");
}

void publish_event(struct hub *hub, const struct request *request, struct sse_text body,
                   struct response *response)
{
    struct sse_event event = {.data = body.ptr ? body : sse_str("")};
    struct sse_delivery delivery;
    struct parameters parameters;
    int error;

    if (!read_parameters(&parameters, request->query, PARAMETERS, response))
        return;
    if (!read_retry(parameters.values[RETRY], &event.retry_ms, response))
        return;
    event.id = parameters.values[ID];
    event.type = parameters.values[TYPE];
    event.key = parameters.values[KEY];
    error = hub_send(hub, parameters.values[TOPIC], &event, &delivery);
    if (error < 0)
        refuse_event(response, &event, error);
    else
        write_delivery(response, event.id, &delivery);
}

void publish_complete(struct hub *hub, const struct request *request, struct response *response)
{
    struct parameters parameters;
    ssize_t completed;

    if (!read_parameters(&parameters, request->query, TOPIC + 1, response))
        return;
    completed = hub_complete(hub, parameters.values[TOPIC]);
    if (completed < 0) {
        refuse_error(response, (int)completed);
        return;
    }
    response_json(response, 202);
    buffer_text(&response->body, "{");
    json_count(&response->body, "completed", (uint64_t)completed);
    buffer_text(&response->body, "}");
}
