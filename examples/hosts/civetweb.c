/* SPDX-License-Identifier: MIT */
/*
 * civetweb, whose handler is a thread that may block: PULL. It waits for bytes, writes them, and says that
 * they were taken only then, so that a stream has not ended before its last byte was written.
 */
#include "service.h"

#include <civetweb.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_STEP 65536

/* -- the adapter ---------------------------------------------------------------------------- */

static struct sse_emitter *open_stream(const struct service *service, const struct mg_connection *connection)
{
    const char *version = mg_get_request_info(connection)->http_version;
    struct sse_emitter_options options = service_emitter_options(service);
    struct sse_emitter *emitter;

    options.drain = SSE_DRAIN_PULL;
    /* One write for each event; mg_send_chunk makes three. */
    options.framing = version && !strcmp(version, "1.1") ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW;
    /* Only a write tells that the client has left: the second one, as the first is answered with a reset. */
    options.heartbeat_ms = (options.heartbeat_ms + 1) / 2;
    return sse_emitter_new(&emitter, &options) ? NULL : emitter;
}

/* False for a client that asks for a WebSocket: civetweb then writes no head. */
static bool send_head(struct mg_connection *connection, bool chunked)
{
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    mg_response_header_start(connection, 200);
    for (ssize_t i = 0; i < count; i++)
        mg_response_header_add(connection, headers[i].name.ptr, headers[i].value.ptr,
                               (int)headers[i].value.len);
    if (chunked)
        mg_response_header_add(connection, "Transfer-Encoding", "chunked", -1);
    return !mg_response_header_send(connection);
}

/* Returns when the stream has ended, by whichever side. */
static void stream(struct mg_connection *connection, struct sse_emitter *emitter)
{
    struct iovec bytes;

    while (sse_emitter_wait(emitter, -1) == 1 && sse_emitter_peek(emitter, &bytes, 1) == 1) {
        if (mg_write(connection, bytes.iov_base, bytes.iov_len) != (int)bytes.iov_len) {
            (void)sse_emitter_complete_with_error(emitter, -ECONNRESET);
            return;
        }
        (void)sse_emitter_advance(emitter, bytes.iov_len);
    }
}

static void close_stream(struct sse_emitter *emitter)
{
    sse_emitter_detach(emitter);
    sse_emitter_unref(emitter);
}

/* -- the server ----------------------------------------------------------------------------- */

static int answer(struct mg_connection *connection, int status)
{
    mg_response_header_start(connection, status);
    mg_response_header_add(connection, "Content-Length", "0", -1);
    mg_response_header_send(connection);
    return status;
}

/* NULL if there is none, or one that is too long. */
static const char *find_topic(const struct mg_request_info *request, char *topic, size_t size)
{
    const char *query = request->query_string;

    return query && mg_get_var(query, strlen(query), "topic", topic, size) >= 0 ? topic : NULL;
}

static int answer_with_stream(struct service *service, struct mg_connection *connection, const char *topic)
{
    struct sse_emitter *emitter = open_stream(service, connection);
    const char *version = mg_get_request_info(connection)->http_version;
    int error;

    if (!emitter)
        return answer(connection, 503);
    error = service_subscribe(service, emitter, topic, mg_get_header(connection, "Last-Event-ID"));
    if (!error && send_head(connection, version && !strcmp(version, "1.1")))
        stream(connection, emitter);
    close_stream(emitter);
    if (error)
        return answer(connection, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
    return 200;
}

static int publish(struct service *service, struct mg_connection *connection, const char *topic)
{
    char *body = NULL;
    size_t size = 0;
    int status = 413;

    while (size <= SSE_EVENT_SIZE_MAX) {
        char *grown = realloc(body, size + BODY_STEP);
        int count = grown ? mg_read(connection, grown + size, BODY_STEP) : -1;

        body = grown ? grown : body;
        if (count <= 0) {
            status = count ? 400 : service_publish(service, topic, body, size);
            break;
        }
        size += (size_t)count;
    }
    free(body);
    return answer(connection, status);
}

/* Registered before it listens, which mg_set_request_handler cannot be. */
static int handle(struct mg_connection *connection)
{
    const struct mg_request_info *request = mg_get_request_info(connection);
    struct service *service = request->user_data;
    char buffer[SSE_TOPIC_SIZE_MAX + 1];
    const char *topic = find_topic(request, buffer, sizeof(buffer));

    if (!strcmp(request->local_uri, "/events") && !strcmp(request->request_method, "GET"))
        return answer_with_stream(service, connection, topic);
    if (!strcmp(request->local_uri, "/publish") && !strcmp(request->request_method, "POST"))
        return publish(service, connection, topic);
    return answer(connection, 404);
}

int main(int argc, char **argv)
{
    struct service service;
    const struct mg_callbacks callbacks = {.begin_request = handle};
    struct mg_context *context;
    char address[32];
    /* A thread for each stream. A write fails after the request timeout: before the emitter would stall. */
    const char *options[] = {"listening_ports",    address, "num_threads", "256", "tcp_nodelay", "1",
                             "request_timeout_ms", "10000", NULL};

    service_open(&service, argc, argv, NULL, NULL);
    snprintf(address, sizeof(address), "127.0.0.1:%d", service.port);
    mg_init_library(0);
    context = mg_start(&callbacks, &service, options);
    if (!context)
        return 1;
    service_run(&service);
    mg_stop(context);
    mg_exit_library();
    service_close(&service);
    return 0;
}
