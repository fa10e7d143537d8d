/* SPDX-License-Identifier: MIT */
#include "wire/http_options.h"
#include "wire/http_response.h"
#include "wire/text.h"

#include <errno.h>

static const char *const names[HTTP_FIELD_COUNT][HTTP_STYLE_COUNT] = {
    [HTTP_CONTENT_TYPE] = {"Content-Type", "content-type"},
    [HTTP_CACHE_CONTROL] = {"Cache-Control", "cache-control"},
    [HTTP_CONTENT_ENCODING] = {"Content-Encoding", "content-encoding"},
    [HTTP_X_ACCEL_BUFFERING] = {"X-Accel-Buffering", "x-accel-buffering"},
    [HTTP_TRANSFER_ENCODING] = {"Transfer-Encoding", "transfer-encoding"},
    [HTTP_CONTENT_LENGTH] = {"Content-Length", "content-length"},
    [HTTP_ALLOW_ORIGIN] = {"Access-Control-Allow-Origin", "access-control-allow-origin"},
    [HTTP_VARY] = {"Vary", "vary"},
    [HTTP_ALLOW_CREDENTIALS] = {"Access-Control-Allow-Credentials", "access-control-allow-credentials"},
};

void sse_http_response_add(struct http_response *response, enum http_field field, struct sse_text value)
{
    struct sse_http_header *header = &response->fields[response->field_count++];

    header->name = sse_str(names[field][response->style]);
    header->value = value;
}

void sse_http_response_add_stream(struct http_response *response)
{
    sse_http_response_add(response, HTTP_CONTENT_TYPE, sse_str("text/event-stream"));
    sse_http_response_add(response, HTTP_CACHE_CONTROL, sse_str("no-cache, no-transform"));
    sse_http_response_add(response, HTTP_CONTENT_ENCODING, sse_str("identity"));
    sse_http_response_add(response, HTTP_X_ACCEL_BUFFERING, sse_str("no"));
}

void sse_http_response_add_cors(struct http_response *response)
{
    const struct sse_http_options *options = &response->options;

    if (!options->cors_origin.ptr)
        return;
    sse_http_response_add(response, HTTP_ALLOW_ORIGIN, options->cors_origin);
    if (!sse_http_origin_is_any(options->cors_origin))
        sse_http_response_add(response, HTTP_VARY, sse_str("Origin"));
    if (options->cors_credentials)
        sse_http_response_add(response, HTTP_ALLOW_CREDENTIALS, sse_str("true"));
}

static void write_status(struct text_writer *writer, const struct http_response *response)
{
    static const char *const beginnings[] = {
        [SSE_HTTP_1_1] = "HTTP/1.1 ", [SSE_HTTP_1_0] = "HTTP/1.0 ", [SSE_HTTP_CGI] = "Status: "};
    char digits[TEXT_DECIMAL_SIZE];

    sse_text_write(writer, sse_str(beginnings[response->options.version]));
    sse_text_write(writer, sse_text_decimal((uint64_t)response->status, digits));
    sse_text_write(writer, sse_str(" "));
    sse_text_write(writer, sse_str(response->reason));
    sse_text_write(writer, sse_str("\r\n"));
}

static void write_fields(struct text_writer *writer, const struct sse_http_header *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sse_text_write(writer, fields[i].name);
        sse_text_write(writer, sse_str(": "));
        sse_text_write(writer, fields[i].value);
        sse_text_write(writer, sse_str("\r\n"));
    }
}

static void compose(struct text_writer *writer, const struct http_response *response)
{
    write_status(writer, response);
    write_fields(writer, response->fields, response->field_count);
    write_fields(writer, response->options.headers, response->options.header_count);
    sse_text_write(writer, sse_str("\r\n"));
    sse_text_write(writer, response->body);
}

ssize_t sse_http_response_write(const struct http_response *response, void *buffer, size_t size)
{
    struct text_writer counter = {0};
    struct text_writer writer = {.buffer = buffer};

    compose(&counter, response);
    if (counter.overflow)
        return -EOVERFLOW;
    if (counter.length <= size)
        compose(&writer, response);
    return (ssize_t)counter.length;
}
