/* SPDX-License-Identifier: MIT */
/*
 * civetweb: output PULL without a loop, because civetweb's handler runs in a thread that may block. The handler
 * waits for bytes, writes them and then consumes them, so a stream ends only after its last byte was written.
 * civetweb hides its sockets, and the first write after a disconnect still succeeds, so only the second heartbeat
 * notices a disconnect.
 */
#include "service.h"

#include <civetweb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BODY_STEP 16384
#define THREADS 256

/* -- the adapter ---------------------------------------------------------------------------- */

/* The emitter writes the head and the chunks, with one write for each event. mg_send_chunk would make three. */
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

/* Returns when either side has ended the stream. */
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

/* Of a body. */
#define PIECE 16

static void answer(struct mg_connection *connection, int status)
{
    const struct sse_text target = sse_str(mg_get_request_info(connection)->local_uri);

    (void)mg_printf(connection, "HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", status,
                    mg_get_response_code_text(connection, status), service_allow_line(status, target));
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

/* mg_read returns only when it has as much as it was asked for. A client that sends a byte now and then must
 * not keep the thread, so little is asked for at a time. civetweb would read the rest of a body that is
 * refused. */
static int read_body(struct service *service, struct mg_connection *connection, struct body *body)
{
    const int64_t end_ms = service_now_ms() + SERVICE_BODY_MS;
    char bytes[PIECE];
    int status = 0, size = 0;

    while (!status && (size = mg_read(connection, bytes, sizeof(bytes))) > 0)
        status = service_now_ms() >= end_ms ? 408 : body_append(body, &service->bodies, bytes, (size_t)size);
    if (size < 0)
        status = 400;
    if (status)
        mg_disable_connection_keep_alive(connection);
    return status;
}

/* Returns the status to answer with. */
static int publish(struct service *service, struct mg_connection *connection,
                   const struct service_query *query)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct body body = {0};
    int status;

    /* civetweb does not send this itself. */
    if (mg_get_header(connection, "Expect"))
        (void)mg_write(connection, go_on, strlen(go_on));
    status = read_body(service, connection, &body);
    if (!status)
        status = service_publish(service, query, &body);
    body_free(&body, &service->bodies);
    return status;
}

static void answer_with_head(struct mg_connection *connection)
{
    const struct sse_http_options http = http_options(connection);
    char head[512];
    ssize_t size = sse_http_head(head, sizeof(head), &http);

    if (size > 0 && size <= (ssize_t)sizeof(head))
        (void)mg_write(connection, head, (size_t)size);
}

static struct sse_text header(const struct mg_connection *connection, const char *name)
{
    return sse_str(mg_get_header(connection, name));
}

static unsigned count_lengths(const struct mg_request_info *request)
{
    unsigned count = 0;

    for (int i = 0; i < request->num_headers; i++)
        if (!strcasecmp(request->http_headers[i].name, "Content-Length"))
            count++;
    return count;
}

static int route(const struct service *service, const struct mg_connection *connection)
{
    const struct mg_request_info *request = mg_get_request_info(connection);
    const struct origin_request page = {.host = header(connection, "Host"),
                                        .origin = header(connection, "Origin"),
                                        .fetch_site = header(connection, "Sec-Fetch-Site")};
    int status = service_route(service, sse_str(request->request_method), sse_str(request->local_uri), &page);
    int refused = body_check_framing(header(connection, "Content-Length").ptr, count_lengths(request),
                                     header(connection, "Transfer-Encoding").ptr);

    return status == SERVICE_PUBLISH && refused ? refused : status;
}

/* Registered before the server listens, which is too early for mg_set_request_handler. Returns 1: the request is
 * answered. */
static int handle(struct mg_connection *connection)
{
    const struct mg_request_info *request = mg_get_request_info(connection);
    struct service *service = request->user_data;
    struct service_query query;
    int status = route(service, connection);

    service_read_query(&query, sse_str(request->query_string), header(connection, "Last-Event-ID"));
    if (status == SERVICE_STREAM)
        answer_with_stream(service, connection, &query);
    else if (status == SERVICE_HEAD)
        answer_with_head(connection);
    else
        answer(connection, status == SERVICE_PUBLISH ? publish(service, connection, &query) : status);
    return 1;
}

/* civetweb has one thread for each connection. There must not be more connections than descriptors. */
static size_t count_threads(void)
{
    const size_t descriptors = service_descriptors();

    return descriptors < THREADS + 2 * SERVICE_SPARE ? descriptors / 2 : THREADS;
}

int main(int argc, char **argv)
{
    const size_t thread_count = count_threads();
    struct service service = {.streams_max = thread_count - thread_count / 8};
    const struct mg_callbacks callbacks = {.begin_request = handle};
    struct mg_context *context;
    char address[32], threads[32];
    /* A write fails after the request timeout, which is shorter than the emitter's stall time. */
    const char *options[] = {"listening_ports",    address, "num_threads", threads, "tcp_nodelay", "1",
                             "request_timeout_ms", "10000", NULL};

    service_open(&service, argc, argv, NULL, NULL);
    snprintf(address, sizeof(address), "127.0.0.1:%d", service.port);
    snprintf(threads, sizeof(threads), "%zu", thread_count);
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
