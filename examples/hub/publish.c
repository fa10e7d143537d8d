/* SPDX-License-Identifier: MIT */
#include "publish.h"

#include "json.h"
#include "query.h"
#include "ascii.h"

#include <errno.h>

/** The parameters of a query, each at most once; absent if they are not there. */
struct parameters {
    struct query query;
    struct sse_str topic;
    struct sse_str type;
    struct sse_str id;
    struct sse_str retry;
    struct sse_str key;
};

static bool refuse(struct response *response, const char *error, const char *field)
{
    response_error(response, 400, error, field);
    return false;
}

static bool refuse_error(struct response *response, int error)
{
    if (error == -ENOMEM)
        response_error(response, 503, "out of memory", NULL);
    else
        response_error(response, 500, "the event could not be published", NULL);
    return false;
}

void publish_refuse_size(struct response *response)
{
    response_error(response, 413, "the event is larger than the queue of a client", "data");
}

/** Where the value of a parameter goes; `*name` is then the name as a C string. NULL for an unknown one. */
static struct sse_str *find_parameter(struct parameters *parameters, struct sse_str name, bool event,
                                      const char **text)
{
    const struct {
        const char *name;
        struct sse_str *value;
    } known[] = {
        {"topic", &parameters->topic}, {"type", &parameters->type}, {"id", &parameters->id},
        {"retry", &parameters->retry}, {"key", &parameters->key},
    };
    size_t count = event ? sizeof(known) / sizeof(known[0]) : 1;

    for (size_t i = 0; i < count; ++i) {
        *text = known[i].name;
        if (ascii_equals(name, known[i].name))
            return known[i].value;
    }
    return NULL;
}

/** Reads a query; only `topic` is known unless it is that of an event. */
static bool read_parameters(struct parameters *parameters, struct sse_str query, bool event,
                            struct response *response)
{
    struct query_parameter parameter;
    const char *name;
    int result;

    parameters->topic = parameters->type = parameters->id = sse_str(NULL);
    parameters->retry = parameters->key = sse_str(NULL);
    query_begin(&parameters->query, query);
    while ((result = query_next(&parameters->query, &parameter)) > 0) {
        struct sse_str *value = find_parameter(parameters, parameter.name, event, &name);

        if (!value)
            return refuse(response, "unknown parameter", "query");
        if (value->ptr)
            return refuse(response, "the parameter is there twice", name);
        *value = parameter.value;
    }
    if (result < 0)
        return refuse(response, "the query has a broken escape", "query");
    if (parameters->topic.ptr && parameters->topic.len == 0)
        return refuse(response, "a topic must not be empty", "topic");
    if (parameters->topic.len > SSE_TOPIC_SIZE_MAX)
        return refuse(response, "the topic is too long", "topic");
    if (parameters->key.len > SSE_KEY_SIZE_MAX)
        return refuse(response, "the key is too long", "key");
    return true;
}

static bool read_retry(struct sse_str text, int64_t *retry_ms, struct response *response)
{
    uint64_t number;

    if (!text.ptr)
        return true;
    if (!ascii_to_number(text, (uint64_t)SSE_RETRY_MAX, &number) || number == 0)
        return refuse(response, "retry must be a whole number from 1 to 2147483647", "retry");
    *retry_ms = (int64_t)number;
    return true;
}

/** What is wrong with an event of these fields alone: -EINVAL, -EILSEQ, or 0. */
static int check_fields(struct sse_str id, struct sse_str type, struct sse_str data)
{
    const struct sse_event event = {.id = id, .type = type, .data = data};
    ssize_t size = id.ptr || data.ptr ? sse_event_encode(&event, NULL, 0) : 0;

    return size == -EINVAL || size == -EILSEQ ? (int)size : 0;
}

/** Finds the field that made the library refuse the event. */
static bool refuse_fields(struct response *response, const struct sse_event *event)
{
    const struct sse_str absent = sse_str(NULL);
    int error = check_fields(event->id, absent, absent);

    if (error == -EINVAL)
        return refuse(response, "an id holds no control bytes, and no white space at its ends", "id");
    if (error == -EILSEQ)
        return refuse(response, "the id is not UTF-8", "id");
    error = check_fields(absent, event->type, sse_str(""));
    if (error == -EINVAL)
        return refuse(response, "a type holds no line ends and no NUL", "type");
    if (error == -EILSEQ)
        return refuse(response, "the type is not UTF-8", "type");
    if (!check_fields(absent, absent, event->data))
        return refuse(response, "an id must not look like one that the hub gives itself", "id");
    return refuse(response, "the data is not UTF-8", "data");
}

static bool refuse_event(struct response *response, const struct sse_event *event, int error)
{
    if (error == -EINVAL || error == -EILSEQ)
        return refuse_fields(response, event);
    if (error != -EMSGSIZE && error != -EOVERFLOW)
        return refuse_error(response, error);
    publish_refuse_size(response);
    return false;
}

static void write_delivery(struct response *response, struct sse_str id, const struct sse_delivery *delivery)
{
    if (!id.ptr && delivery->id[0] != '\0')
        id = sse_str(delivery->id);
    response_json(response, 202);
    buffer_text(&response->body, "{");
    json_name(&response->body, "id");
    json_string(&response->body, id);
    json_count(&response->body, "written", delivery->written);
    json_count(&response->body, "queued", delivery->queued);
    json_count(&response->body, "dropped", delivery->dropped);
    json_count(&response->body, "closed", delivery->closed);
    buffer_text(&response->body, "}");
}

void publish_event(struct hub *hub, const struct request *request, struct sse_str body,
                   struct response *response)
{
    struct sse_event event = {.data = body.ptr ? body : sse_str("")};
    struct sse_delivery delivery;
    struct parameters parameters;
    int error;

    if (!read_parameters(&parameters, request->query, true, response))
        return;
    if (!read_retry(parameters.retry, &event.retry_ms, response))
        return;
    event.id = parameters.id;
    event.type = parameters.type;
    event.key = parameters.key;
    error = hub_send(hub, parameters.topic, &event, &delivery);
    if (error < 0)
        refuse_event(response, &event, error);
    else
        write_delivery(response, event.id, &delivery);
}

void publish_complete(struct hub *hub, const struct request *request, struct response *response)
{
    struct parameters parameters;
    ssize_t completed;

    if (!read_parameters(&parameters, request->query, false, response))
        return;
    completed = hub_complete(hub, parameters.topic);
    if (completed < 0) {
        refuse_error(response, (int)completed);
        return;
    }
    response_json(response, 202);
    buffer_text(&response->body, "{");
    json_count(&response->body, "completed", (uint64_t)completed);
    buffer_text(&response->body, "}");
}
