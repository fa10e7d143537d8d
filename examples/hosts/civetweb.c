/* SPDX-License-Identifier: MIT */
/*
 * civetweb, whose handler is a thread that may block: PULL without a loop. It waits for bytes, writes them,
 * and consumes them only then, so that a stream has not ended before its last byte was written. civetweb
 * shows its sockets to nobody, and the first write after a client has left still succeeds, so the
 * second heartbeat finds it out.
 */
#include "service.h"

#include <civetweb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_STEP 65536

/* -- the adapter ---------------------------------------------------------------------------- */

/* The emitter writes the head and the chunks: one write for each event. mg_send_chunk makes three. */
static struct sse_http_options http_options(const struct mg_connection *connection)
{
    static const struct sse_http_header close = {{"Connection", 10}, {"close", 5}};
    const char *version = mg_get_request_info(connection)->http_version;
    const bool chunked = version && !strcmp(version, "1.1");

    return (struct sse_http_options){.size = sizeof(struct sse_http_options),
                                     .version = chunked ? SSE_HTTP_1_1 : SSE_HTTP_1_0,
                                     .chunked = chunked,
                                     .headers = &close,
                                     .header_count = 1};
}

static int open_stream(struct sse_emitter **emitter, struct sse_emitter_options options,
                       const struct mg_connection *connection)
{
    const struct sse_http_options http = http_options(connection);

    options.output = SSE_OUTPUT_PULL;
    options.http = &http;
    return sse_emitter_new(emitter, &options, NULL);
}

/* Returns when the stream has ended, by whichever side. */
static void write_stream(struct sse_emitter *emitter, struct mg_connection *connection)
{
    struct iovec bytes;

    while (sse_emitter_wait(emitter, -1) > 0) {
        if (sse_emitter_peek(emitter, &bytes, 1) < 1)
            continue;
        if (mg_write(connection, bytes.iov_base, bytes.iov_len) == (int)bytes.iov_len)
            (void)sse_emitter_consume(emitter, bytes.iov_len);
        else
            (void)sse_emitter_abort(emitter, -ECONNRESET);
    }
}

/* -- the server ----------------------------------------------------------------------------- */

static void answer(struct mg_connection *connection, int status)
{
    mg_response_header_start(connection, status);
    mg_response_header_add(connection, "Content-Length", "0", -1);
    mg_response_header_send(connection);
}

static void refuse(struct mg_connection *connection, int error)
{
    const struct sse_http_options http = http_options(connection);
    char response[512];
    ssize_t size = sse_http_refuse(response, sizeof(response), error, &http, service_random());

    if (size > 0 && size <= (ssize_t)sizeof(response))
        (void)mg_write(connection, response, (size_t)size);
}

static void answer_with_stream(struct service *service, struct mg_connection *connection,
                               const struct service_query *query)
{
    struct sse_emitter *emitter;
    int error = open_stream(&emitter, service_emitter_options(service, query), connection);

    if (error) {
        refuse(connection, error);
        return;
    }
    write_stream(emitter, connection);
    sse_emitter_close(emitter);
}

static void publish(struct service *service, struct mg_connection *connection,
                    const struct service_query *query)
{
    char *body = NULL;
    size_t size = 0;
    int status = 413;

    while (size <= SSE_EVENT_SIZE_MAX) {
        char *grown = realloc(body, size + BODY_STEP);
        int count = grown ? mg_read(connection, grown + size, BODY_STEP) : -1;

        body = grown ? grown : body;
        if (count <= 0) {
            status = count ? 400 : service_publish(service, query, body, size);
            break;
        }
        size += (size_t)count;
    }
    free(body);
    answer(connection, status);
}

/* Registered before it listens, which mg_set_request_handler cannot be. 1: the request is answered. */
static int handle(struct mg_connection *connection)
{
    const struct mg_request_info *request = mg_get_request_info(connection);
    struct service *service = request->user_data;
    struct service_query query;

    service_read_query(&query, sse_str(request->query_string),
                       sse_str(mg_get_header(connection, "Last-Event-ID")));
    if (!strcmp(request->local_uri, "/events") && !strcmp(request->request_method, "GET"))
        answer_with_stream(service, connection, &query);
    else if (!strcmp(request->local_uri, "/publish") && !strcmp(request->request_method, "POST"))
        publish(service, connection, &query);
    else
        answer(connection, 404);
    return 1;
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
