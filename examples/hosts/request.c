/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TARGET_SIZE_MAX 8192

const char request_continue[] = "HTTP/1.1 100 Continue\r\n\r\n";

static const char *const field_names[REQUEST_FIELDS] = {
    "Host", "Origin", "Sec-Fetch-Site", "Last-Event-ID", "Transfer-Encoding", "Expect"};

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

static struct sse_text text_of(const struct request_text *text)
{
    return (struct sse_text){text->data, text->size};
}

static int on_url(http_parser *parser, const char *data, size_t size)
{
    struct request *request = parser->data;

    return append(&request->target, data, size, TARGET_SIZE_MAX);
}

/* The parser limits the header's size, and may deliver a name or value in pieces. */
static int on_field(http_parser *parser, const char *data, size_t size)
{
    struct request *request = parser->data;

    if (request->in_value)
        request->name.size = 0;
    request->in_value = false;
    return append(&request->name, data, size, HTTP_MAX_HEADER_SIZE);
}

/* The name is complete when its value begins. */
static int begin_value(struct request *request)
{
    request->in_value = true;
    request->value = NULL;
    for (size_t i = 0; request->name.data && i < REQUEST_FIELDS; i++)
        if (!strcasecmp(request->name.data, field_names[i]))
            request->value = &request->fields[i];
    return request->value && request->value->data ? append(request->value, ", ", 2, HTTP_MAX_HEADER_SIZE) : 0;
}

static int on_value(http_parser *parser, const char *data, size_t size)
{
    struct request *request = parser->data;

    if (!request->in_value && begin_value(request))
        return -1;
    return request->value ? append(request->value, data, size, HTTP_MAX_HEADER_SIZE) : 0;
}

static void decide(struct request *request, int status)
{
    request->status = status;
    request->decided = true;
    if (HTTP_PARSER_ERRNO(&request->parser) == HPE_OK)
        http_parser_pause(&request->parser, 1);
}

static int route(struct request *request)
{
    const struct http_parser *parser = &request->parser;
    const struct sse_text method = sse_str(http_method_str((enum http_method)parser->method));
    const struct origin_request page = {.host = text_of(&request->fields[REQUEST_HOST]),
                                        .origin = text_of(&request->fields[REQUEST_ORIGIN]),
                                        .fetch_site = text_of(&request->fields[REQUEST_FETCH_SITE])};
    /* The parser itself checks Content-Length. */
    const int refused = body_check_framing(NULL, 0, request->fields[REQUEST_TRANSFER_ENCODING].data);
    struct sse_text path, query = sse_str(NULL);
    struct http_parser_url url;
    int status;

    http_parser_url_init(&url);
    if (parser->method == HTTP_CONNECT || !request->target.data ||
        http_parser_parse_url(request->target.data, request->target.size, 0, &url))
        return 400;
    path = (struct sse_text){request->target.data + url.field_data[UF_PATH].off, url.field_data[UF_PATH].len};
    if (url.field_set & 1 << UF_QUERY)
        query = (struct sse_text){request->target.data + url.field_data[UF_QUERY].off,
                                  url.field_data[UF_QUERY].len};
    service_read_query(&request->query, query, text_of(&request->fields[REQUEST_LAST_EVENT_ID]));
    status = service_route(request->service, method, path, &page);
    return status == SERVICE_PUBLISH && refused ? refused : status;
}

static int on_head(http_parser *parser)
{
    struct request *request = parser->data;
    const struct request_text *expect = &request->fields[REQUEST_EXPECT];
    int status = route(request);

    if (status != SERVICE_PUBLISH)
        decide(request, status);
    else if (parser->content_length != ULLONG_MAX && parser->content_length > BODY_SIZE_MAX)
        decide(request, 413);
    else if (expect->size && strcasecmp(expect->data, "100-continue"))
        decide(request, 417);
    else
        request->expects_continue = expect->size > 0;
    return 0;
}

static int on_body(http_parser *parser, const char *data, size_t size)
{
    struct request *request = parser->data;
    int status = body_append(&request->body, &request->service->bodies, data, size);

    if (status)
        decide(request, status);
    return 0;
}

static int on_whole(http_parser *parser)
{
    decide(parser->data, SERVICE_PUBLISH);
    return 0;
}

void request_init(struct request *request, struct service *service)
{
    *request = (struct request){.service = service};
    http_parser_init(&request->parser, HTTP_REQUEST);
    request->parser.data = request;
}

void request_free(struct request *request)
{
    free(request->target.data);
    free(request->name.data);
    for (size_t i = 0; i < REQUEST_FIELDS; i++)
        free(request->fields[i].data);
    body_free(&request->body, &request->service->bodies);
}

enum request_progress request_read(struct request *request, const char *data, size_t size)
{
    const http_parser_settings settings = {.on_url = on_url,
                                           .on_header_field = on_field,
                                           .on_header_value = on_value,
                                           .on_headers_complete = on_head,
                                           .on_body = on_body,
                                           .on_message_complete = on_whole};
    bool must_continue;

    if (!request->decided)
        (void)http_parser_execute(&request->parser, &settings, data, size);
    if (!request->decided && HTTP_PARSER_ERRNO(&request->parser) != HPE_OK)
        decide(request, 400);
    if (request->decided)
        return REQUEST_DECIDED;
    must_continue = request->expects_continue && !request->body.size;
    request->expects_continue = false;
    return must_continue ? REQUEST_CONTINUE : REQUEST_MORE;
}

int request_serve(struct request *request)
{
    if (request->status != SERVICE_PUBLISH)
        return request->status;
    return service_publish(request->service, &request->query, &request->body);
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

static size_t size_of(ssize_t size)
{
    return size > 0 && size <= REQUEST_ANSWER_SIZE ? (size_t)size : 0;
}

size_t request_answer(const struct request *request, char answer[REQUEST_ANSWER_SIZE], int status)
{
    const struct sse_http_options options = request_http_options(request);

    if (status == SERVICE_HEAD)
        return size_of(sse_http_head(answer, REQUEST_ANSWER_SIZE, &options));
    return (size_t)snprintf(answer, REQUEST_ANSWER_SIZE,
                            "HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", status,
                            http_status_str((enum http_status)status),
                            service_allow_line(status, text_of(&request->target)));
}

size_t request_refuse(const struct request *request, char answer[REQUEST_ANSWER_SIZE], int error)
{
    const struct sse_http_options options = request_http_options(request);

    return size_of(sse_http_refuse(answer, REQUEST_ANSWER_SIZE, error, &options, service_random()));
}
