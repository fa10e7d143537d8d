/* SPDX-License-Identifier: MIT */
#include "response.h"

#include "ascii.h"
#include "json.h"

static const char *reason_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); ++i) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "";
}

void response_json(struct response *response, int status)
{
    response->status = status;
    response->content_type = "application/json";
}

void response_error(struct response *response, int status, const char *error, const char *field)
{
    response_json(response, status);
    buffer_text(&response->body, "{");
    json_name(&response->body, "error");
    json_string(&response->body, sse_str(error));
    if (field) {
        json_name(&response->body, "field");
        json_string(&response->body, sse_str(field));
    }
    buffer_text(&response->body, "}");
}

void response_whole(struct response *response, const char *bytes, size_t room, ssize_t size)
{
    if (size > 0 && (size_t)size <= room)
        buffer_append(&response->whole, bytes, (size_t)size);
    else
        response_error(response, 500, "the head is too long", NULL);
}

static void write_cors(const struct options *options, struct buffer *wire)
{
    const struct sse_text origin = options->cors_origin;

    if (!origin.ptr)
        return;
    buffer_format(wire, "Access-Control-Allow-Origin: %s\r\n", origin.ptr);
    if (!ascii_equals(origin, "*"))
        buffer_text(wire, "Vary: Origin\r\n");
}

void response_write(const struct response *response, const struct options *options, struct buffer *wire)
{
    if (response->whole.length > 0) {
        buffer_append(wire, response->whole.bytes, response->whole.length);
        return;
    }
    buffer_format(wire, "HTTP/1.1 %d %s\r\n", response->status, reason_phrase(response->status));
    if (response->content_type) {
        buffer_format(wire, "Content-Type: %s\r\n", response->content_type);
        buffer_format(wire, "Content-Length: %zu\r\n", response->body.length);
        buffer_text(wire, "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n");
    }
    write_cors(options, wire);
    buffer_append(wire, response->headers.bytes, response->headers.length);
    buffer_text(wire, "Connection: close\r\n\r\n");
    if (!response->without_body)
        buffer_append(wire, response->body.bytes, response->body.length);
    if (response->headers.failed || response->body.failed || response->whole.failed)
        wire->failed = true;
}

void response_release(struct response *response)
{
    buffer_release(&response->headers);
    buffer_release(&response->body);
    buffer_release(&response->whole);
    *response = (struct response){.status = 0};
}
