/* SPDX-License-Identifier: MIT */
/*
 * libh2o with its own event loop, HTTP/1.1 and HTTP/2: output PULL without copying. h2o uses the peeked bytes until
 * it calls proceed. The loop of the streams is polled, because only a polled loop watches sockets, and h2o itself
 * reads nothing from an HTTP/1.1 connection while it answers. h2o waits for the loop's descriptor.
 */
#define H2O_USE_LIBUV 0

#include "service.h"
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <h2o.h>
#include <string.h>

/* -- the adapter ---------------------------------------------------------------------------- */

#define PIECES 8

struct stream {
    h2o_generator_t generator; /* the first member: h2o passes a pointer to it back */
    struct sse_emitter *emitter;
    h2o_req_t *request; /* NULL once h2o has disposed of it */
    size_t sending;
    bool broken;
};

/* Starts one send at a time, and never an empty one, because h2o would not call proceed for it. service.c ignores
 * SIGPIPE, which a write to a client that is gone raises. Your program must ignore it too. */
static void send_more(struct stream *stream)
{
    struct iovec shown[PIECES];
    h2o_iovec_t pieces[PIECES];
    int count = sse_emitter_peek(stream->emitter, shown, PIECES);

    stream->sending = 0;
    for (int i = 0; i < count; i++) {
        pieces[i] = h2o_iovec_init(shown[i].iov_base, shown[i].iov_len);
        stream->sending += shown[i].iov_len;
    }
    if (count > 0)
        h2o_send(stream->request, pieces, (size_t)count, H2O_SEND_STATE_IN_PROGRESS);
}

static void proceed(h2o_generator_t *generator, h2o_req_t *request)
{
    struct stream *stream = (struct stream *)generator;

    (void)sse_emitter_consume(stream->emitter, stream->sending);
    if (stream->broken)
        h2o_send(request, NULL, 0, H2O_SEND_STATE_ERROR);
    else
        send_more(stream);
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    (void)emitter, (void)what;
    send_more(user);
}

/* h2o has no call to cancel a send to a client that reads nothing. Over HTTP/2 the socket also serves other
 * streams. */
static void cut_off(h2o_req_t *request)
{
    if (request->version < 0x200)
        shutdown(h2o_socket_get_fd(request->conn->callbacks->get_socket(request->conn)), SHUT_RDWR);
}

/* Every byte was sent, or the rest never will be. */
static void end_stream(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct stream *stream = user;

    (void)emitter;
    service_report(completion);
    stream->broken = completion->error;
    if (stream->request && stream->sending)
        cut_off(stream->request);
    else if (stream->request)
        h2o_send(stream->request, NULL, 0, completion->error ? H2O_SEND_STATE_ERROR : H2O_SEND_STATE_FINAL);
}

/* h2o has sent the end of the response, or has closed the request, and frees its memory now. */
static void close_stream(void *link)
{
    struct stream *stream = *(struct stream **)link;

    stream->request = NULL;
    (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
    sse_emitter_close(stream->emitter);
}

static int open_stream(struct stream **opened, struct sse_emitter_options options, h2o_req_t *request)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    struct stream **link;
    int error;

    if (!stream)
        return -ENOMEM;
    *stream = (struct stream){.generator = {proceed, NULL}, .request = request};
    options.output = SSE_OUTPUT_PULL;
    options.watch_fd = h2o_socket_get_fd(request->conn->callbacks->get_socket(request->conn));
    options.on_ready = on_ready;
    options.on_completion = end_stream;
    options.on_release = free;
    options.user = stream;
    error = sse_emitter_new(&stream->emitter, &options, NULL);
    if (error) {
        free(stream);
        return error;
    }
    socket_set_options(options.watch_fd);
    link = h2o_mem_alloc_shared(&request->pool, sizeof(*link), close_stream);
    *link = *opened = stream;
    return 0;
}

/* -- the server ----------------------------------------------------------------------------- */

#define CLOSING_MS 1200

/* Static, because h2o cannot close the connections that are left at the end, so they may use it until the process
 * ends. */
static struct server {
    struct service service;
    struct sse_loop *streams;
    h2o_globalconf_t configuration;
    h2o_context_t context;
    h2o_accept_ctx_t accepting;
    h2o_multithread_receiver_t receiver;
    h2o_socket_t *listener;
    h2o_timeout_t pause;
    h2o_timeout_entry_t resume; /* accepting */
    size_t connections;
} server;

static int answer(h2o_req_t *request, int status)
{
    request->res.status = status;
    request->res.reason = status < 300 ? "Accepted" : "Refused";
    request->res.content_length = 0;
    h2o_send_inline(request, "", 0);
    return 0;
}

static int refuse(h2o_req_t *request, int error)
{
    const struct sse_http_refusal refusal = service_refusal(error);

    if (!refusal.event_stream)
        return answer(request, refusal.status);
    request->res.status = refusal.status;
    request->res.reason = "OK";
    request->res.content_length = refusal.body_size;
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("text/event-stream"));
    h2o_send_inline(request, refusal.body, refusal.body_size);
    return 0;
}

static void add_headers(h2o_req_t *request)
{
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    request->res.status = 200;
    request->res.reason = "OK";
    for (ssize_t i = 0; i < count; i++)
        h2o_add_header_by_str(&request->pool, &request->res.headers, headers[i].name.ptr, headers[i].name.len,
                              1, NULL, headers[i].value.ptr, headers[i].value.len);
}

static int answer_with_stream(h2o_req_t *request, const struct service_query *query)
{
    struct sse_emitter_options options = service_emitter_options(&server.service, query);
    struct stream *stream;
    int error;

    options.loop = server.streams;
    error = open_stream(&stream, options, request);
    if (error)
        return refuse(request, error);
    request->http1_is_persistent = 0;
    add_headers(request);
    h2o_start_response(request, &stream->generator);
    return 0;
}

static int publish(const h2o_req_t *request, const struct service_query *query)
{
    struct body body = {0};
    int status = body_append(&body, &server.service.bodies, request->entity.base, request->entity.len);

    if (!status)
        status = service_publish(&server.service, query, &body);
    body_free(&body, &server.service.bodies);
    return status;
}

static struct sse_text text_of(h2o_iovec_t bytes)
{
    return (struct sse_text){bytes.base, bytes.len};
}

static struct sse_text header(const h2o_req_t *request, const char *name)
{
    ssize_t at = h2o_find_header_by_str(&request->headers, name, strlen(name), -1);

    return at < 0 ? sse_str(NULL) : text_of(request->headers.entries[at].value);
}

static void add_allow(h2o_req_t *request, const char *allow)
{
    if (allow)
        h2o_add_header_by_str(&request->pool, &request->res.headers, "allow", strlen("allow"), 0, NULL, allow,
                              strlen(allow));
}

/* h2o calls it when the body is complete. */
static int handle(h2o_handler_t *handler, h2o_req_t *request)
{
    const struct origin_request page = {.host = text_of(request->authority),
                                        .origin = header(request, "origin"),
                                        .fetch_site = header(request, "sec-fetch-site")};
    const size_t end = request->query_at == SIZE_MAX ? request->path.len : request->query_at;
    struct sse_text path = {request->path.base, end}, encoded = sse_str(NULL);
    struct service_query query;
    int status = service_route(&server.service, text_of(request->method), path, &page);

    (void)handler;
    if (end < request->path.len)
        encoded = (struct sse_text){request->path.base + end + 1, request->path.len - end - 1};
    service_read_query(&query, encoded, header(request, "last-event-id"));
    if (status == SERVICE_STREAM)
        return answer_with_stream(request, &query);
    add_allow(request, service_allow(status, path));
    if (status != SERVICE_HEAD)
        return answer(request, status == SERVICE_PUBLISH ? publish(request, &query) : status);
    add_headers(request);
    h2o_send_inline(request, "", 0);
    return 0;
}

static void on_streams(h2o_socket_t *socket, const char *error)
{
    (void)socket, (void)error;
    (void)sse_loop_dispatch(server.streams, 0);
}

/* Wakes the loop from any thread. The message needs no content. */
static void wake(void *user)
{
    (void)user;
    h2o_multithread_send_message(&server.receiver, NULL);
}

static void on_message(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver, (void)messages;
}

static void on_close(void *user)
{
    (void)user;
    server.connections--;
}

static void on_accept(h2o_socket_t *listener, const char *error)
{
    h2o_socket_t *connection = error ? NULL : h2o_evloop_socket_accept(listener);

    if (connection) {
        server.connections++;
        connection->on_close.cb = on_close;
        h2o_accept(&server.accepting, connection);
    } else if (!error && service_must_pause(&server.service, errno)) {
        h2o_socket_read_stop(listener);
        h2o_timeout_link(server.context.loop, &server.pause, &server.resume);
    }
}

static void accept_again(h2o_timeout_entry_t *entry)
{
    (void)entry;
    h2o_socket_read_start(server.listener, on_accept);
}

/* h2o must not read: the callback reads the descriptor itself. */
static h2o_socket_t *wait_for(int fd, h2o_socket_cb on_readable)
{
    h2o_socket_t *socket = h2o_evloop_socket_create(server.context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);

    h2o_socket_read_start(socket, on_readable);
    return socket;
}

static h2o_socket_t *listen_on(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, SOMAXCONN))
        return NULL;
    return wait_for(fd, on_accept);
}

static void open_server(void)
{
    h2o_hostconf_t *host;

    h2o_config_init(&server.configuration);
    server.configuration.max_request_entity_size = BODY_SIZE_MAX;
    server.configuration.http2.max_concurrent_requests_per_connection = 256;
    host = h2o_config_register_host(&server.configuration, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_create_handler(h2o_config_register_path(host, "/", 0), sizeof(h2o_handler_t))->on_req = handle;
    h2o_context_init(&server.context, h2o_evloop_create(), &server.configuration);
    h2o_multithread_register_receiver(server.context.queue, &server.receiver, on_message);
    h2o_timeout_init(server.context.loop, &server.pause, SERVICE_PAUSE_MS);
    server.resume.cb = accept_again;
    server.accepting = (h2o_accept_ctx_t){.ctx = &server.context, .hosts = server.configuration.hosts};
}

/* Sends GOAWAY and the queued bytes. */
static void say_goodbye(void)
{
    uint64_t end = h2o_now(server.context.loop) + CLOSING_MS;

    h2o_context_request_shutdown(&server.context);
    while (server.connections && h2o_now(server.context.loop) < end)
        h2o_evloop_run(server.context.loop, (int32_t)(end - h2o_now(server.context.loop)));
}

int main(int argc, char **argv)
{
    h2o_socket_t *streams;

    open_server();
    if (sse_loop_new(&server.streams, NULL))
        return 1;
    service_open(&server.service, argc, argv, wake, NULL);
    server.listener = listen_on(server.service.port);
    if (!server.listener) {
        perror("listen");
        return 1;
    }
    /* h2o closes the descriptors that it waits for, so it gets a duplicate. */
    streams = wait_for(dup(sse_loop_fd(server.streams)), on_streams);
    while (!service_is_over(&server.service))
        h2o_evloop_run(server.context.loop, INT32_MAX);
    h2o_timeout_unlink(&server.resume);
    h2o_socket_close(server.listener);
    say_goodbye();
    h2o_socket_close(streams);
    service_close(&server.service);
    sse_loop_free(server.streams);
    return 0;
}
