/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TARGET_SIZE_MAX 8192

static int append(struct request_text *text, const char *data, size_t size, size_t limit)
{
    char *grown = size <= limit - text->size ? realloc(text->data, text->size + size + 1) : NULL;

    if (!grown)
        return -1;
    memcpy(grown + text->size, data, size);
    *text = (struct request_text){grown, text->size + size};
    grown[text->size] = '\0';
    return 0;
}

static int on_url(http_parser *parser, const char *data, size_t size)
{
    struct request *request = parser->data;

    return append(&request->target, data, size, TARGET_SIZE_MAX);
}

/* The parser limits the header, and each name and value may come in pieces. */
static int on_field(http_parser *parser, const char *data, size_t size)
{
    struct request *request = parser->data;

    if (request->in_value)
        request->field.size = 0;
    request->in_value = false;
    return append(&request->field, data, size, HTTP_MAX_HEADER_SIZE);
}

static int on_value(http_parser *parser, const char *data, size_t size)
{
    struct request *request = parser->data;
    bool first = !request->in_value;

    request->in_value = true;
    if (!request->field.data || strcasecmp(request->field.data, "Last-Event-ID"))
        return 0;
    if (first)
        request->last_event_id.size = 0;
    return append(&request->last_event_id, data, size, HTTP_MAX_HEADER_SIZE);
}

static int on_body(http_parser *parser, const char *data, size_t size)
{
    struct request *request = parser->data;

    return append(&request->body, data, size, SSE_EVENT_SIZE_MAX);
}

static int on_whole(http_parser *parser)
{
    struct request *request = parser->data;

    request->whole = true;
    http_parser_pause(parser, 1);
    return 0;
}

void request_init(struct request *request)
{
    *request = (struct request){0};
    http_parser_init(&request->parser, HTTP_REQUEST);
    request->parser.data = request;
}

void request_free(struct request *request)
{
    free(request->target.data);
    free(request->field.data);
    free(request->last_event_id.data);
    free(request->body.data);
}

int request_read(struct request *request, const char *data, size_t size)
{
    const http_parser_settings settings = {.on_url = on_url,
                                           .on_header_field = on_field,
                                           .on_header_value = on_value,
                                           .on_body = on_body,
                                           .on_message_complete = on_whole};

    if (!request->whole)
        (void)http_parser_execute(&request->parser, &settings, data, size);
    if (request->whole)
        return 1;
    return HTTP_PARSER_ERRNO(&request->parser) == HPE_OK ? 0 : -EINVAL;
}

static bool path_is(const struct request *request, const struct http_parser_url *url, const char *path)
{
    return url->field_data[UF_PATH].len == strlen(path) &&
           !memcmp(request->target.data + url->field_data[UF_PATH].off, path, strlen(path));
}

static struct sse_text text_of(const struct request_text *text)
{
    return (struct sse_text){text->data, text->size};
}

static void read_query(struct request *request, const struct http_parser_url *url)
{
    struct sse_text encoded = sse_str(NULL);

    if (url->field_set & 1 << UF_QUERY)
        encoded = (struct sse_text){request->target.data + url->field_data[UF_QUERY].off,
                                    url->field_data[UF_QUERY].len};
    service_read_query(&request->query, encoded, text_of(&request->last_event_id));
}

int request_serve(struct request *request, struct service *service)
{
    const enum http_method method = (enum http_method)request->parser.method;
    struct http_parser_url url;

    http_parser_url_init(&url);
    if (method == HTTP_CONNECT || !request->target.data ||
        http_parser_parse_url(request->target.data, request->target.size, 0, &url))
        return 400;
    read_query(request, &url);
    if (path_is(request, &url, "/events"))
        return method == HTTP_GET ? 0 : 405;
    if (!path_is(request, &url, "/publish"))
        return 404;
    if (method != HTTP_POST)
        return 405;
    return service_publish(service, &request->query, request->body.data, request->body.size);
}

struct sse_http_options request_http_options(const struct request *request)
{
    static const struct sse_http_header close = {{"Connection", 10}, {"close", 5}};
    const struct http_parser *parser = &request->parser;
    const bool chunked = parser->http_major > 1 || (parser->http_major == 1 && parser->http_minor > 0);

    return (struct sse_http_options){.size = sizeof(struct sse_http_options),
                                     .version = chunked ? SSE_HTTP_1_1 : SSE_HTTP_1_0,
                                     .chunked = chunked,
                                     .headers = &close,
                                     .header_count = 1};
}

size_t request_answer(char answer[REQUEST_ANSWER_SIZE], int status)
{
    return (size_t)snprintf(answer, REQUEST_ANSWER_SIZE,
                            "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status,
                            http_status_str((enum http_status)status));
}

size_t request_refuse(const struct request *request, char answer[REQUEST_ANSWER_SIZE], int error)
{
    const struct sse_http_options options = request_http_options(request);
    ssize_t size = sse_http_refuse(answer, REQUEST_ANSWER_SIZE, error, &options, service_random());

    return size > 0 && size <= REQUEST_ANSWER_SIZE ? (size_t)size : 0;
}
