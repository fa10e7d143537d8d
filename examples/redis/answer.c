/* SPDX-License-Identifier: MIT */
#include "answer.h"

#include "ascii.h"
#include "random.h"

#include <stdio.h>
#include <sys/socket.h>

#define RESPONSE_SIZE 1024

static const struct sse_http_header connection_close = {
    .name = {.ptr = "Connection", .len = 10},
    .value = {.ptr = "close", .len = 5},
};

struct phrase {
    int status;
    const char *reason;
};

static const struct phrase phrases[] = {
    {200, "OK"},
    {202, "Accepted"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {422, "Unprocessable Content"},
    {431, "Request Header Fields Too Large"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status)
            return phrases[i].reason;
    }
    return "Error";
}

static void send_bytes(int fd, const char *bytes, size_t size)
{
    (void)send(fd, bytes, size, MSG_NOSIGNAL);
}

void answer_send(int fd, const struct request *request, int status, const char *fields, const char *text)
{
    const bool is_head = ascii_equals(request->method, "HEAD");
    char response[RESPONSE_SIZE];
    int size = snprintf(response, sizeof(response),
                        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                        "%sConnection: close\r\n\r\n%s",
                        status, reason_of(status), strlen(text), fields ? fields : "", is_head ? "" : text);

    send_bytes(fd, response, (size_t)size);
}

static const char *allow(const struct request *request)
{
    return ascii_equals(request->path, "/publish") ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n";
}

void answer_refuse(int fd, const struct request *request, int status, const char *why)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"error\": \"%s\"}\n", why ? why : reason_of(status));
    answer_send(fd, request, status, status == 405 ? allow(request) : NULL, text);
}

struct sse_http_options answer_stream_options(const struct request *request)
{
    return (struct sse_http_options){
        .size = sizeof(struct sse_http_options),
        .version = request->version,
        .chunked = request->version == SSE_HTTP_1_1,
        .headers = &connection_close,
        .header_count = 1,
    };
}

void answer_head(int fd, const struct request *request)
{
    const struct sse_http_options http = answer_stream_options(request);
    char response[RESPONSE_SIZE];
    ssize_t size = sse_http_head(response, sizeof(response), &http);

    if (size > 0 && (size_t)size <= sizeof(response))
        send_bytes(fd, response, (size_t)size);
}

void answer_refuse_stream(int fd, const struct request *request, int error)
{
    const struct sse_http_options http = answer_stream_options(request);
    char response[RESPONSE_SIZE];
    ssize_t size = sse_http_refuse(response, sizeof(response), error, &http, random_bits());

    if (size > 0 && (size_t)size <= sizeof(response))
        send_bytes(fd, response, (size_t)size);
}
