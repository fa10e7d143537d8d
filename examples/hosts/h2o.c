/* SPDX-License-Identifier: MIT */
/*
 * libh2o with its own event loop, HTTP/1.1 and HTTP/2: PULL without a copy. What peek shows is h2o's until
 * it calls proceed; the registry's wake brings the loop to the streams that wait for nothing but bytes.
 */
#define H2O_USE_LIBUV 0

#include "query.h"
#include "service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <h2o.h>
#include <string.h>

/* -- the adapter ---------------------------------------------------------------------------- */

#define PIECES 8

struct stream {
    h2o_generator_t generator; /* the first member: h2o hands it back */
    struct sse_emitter *emitter;
    h2o_req_t *request;
    size_t sending;
    bool busy;
};

/* h2o has closed the request, or has been told of its end. */
static void close_stream(struct stream *stream)
{
    (void)sse_emitter_complete_with_error(stream->emitter, -ECONNRESET);
    sse_emitter_detach(stream->emitter);
    sse_emitter_unref(stream->emitter);
}

/* One send at a time, and none that is empty: h2o would never call proceed. */
static void send_more(struct stream *stream)
{
    struct iovec shown[PIECES];
    h2o_iovec_t pieces[PIECES];
    h2o_req_t *request = stream->request;
    int count = sse_emitter_peek(stream->emitter, shown, PIECES);

    stream->busy = count > 0;
    if (count < 0) {
        close_stream(stream);
        h2o_send(request, NULL, 0, count == -ESHUTDOWN ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_ERROR);
        return;
    }
    stream->sending = 0;
    for (int i = 0; i < count; i++) {
        pieces[i] = h2o_iovec_init(shown[i].iov_base, shown[i].iov_len);
        stream->sending += shown[i].iov_len;
    }
    if (count)
        h2o_send(request, pieces, (size_t)count, H2O_SEND_STATE_IN_PROGRESS);
}

static void proceed(h2o_generator_t *generator, h2o_req_t *request)
{
    struct stream *stream = (struct stream *)generator;

    (void)request;
    (void)sse_emitter_advance(stream->emitter, stream->sending);
    send_more(stream);
}

static void stop(h2o_generator_t *generator, h2o_req_t *request)
{
    (void)request;
    close_stream((struct stream *)generator);
}

/* h2o has no call to break off a send that nobody takes. Over HTTP/2 the socket is others' as well. */
static void cut_off(const struct stream *stream)
{
    h2o_conn_t *connection = stream->request->conn;

    if (stream->request->version < 0x200)
        shutdown(h2o_socket_get_fd(connection->callbacks->get_socket(connection)), SHUT_RDWR);
}

/* Whether there were any: what is sent outside of h2o's callbacks is finished by its next turn, which then
 * must not sleep first. */
static bool resume_ready(const struct service *service)
{
    struct sse_emitter *emitter;
    bool any = false;

    while ((emitter = sse_registry_next_ready(service->registry))) {
        struct stream *stream = sse_emitter_user(emitter);

        if (!stream->busy)
            send_more(stream);
        else if (sse_emitter_flush(emitter) < 0)
            cut_off(stream);
        sse_emitter_unref(emitter);
        any = true;
    }
    return any;
}

/* While it answers, h2o reads no more from an HTTP/1.1 connection: a client that leaves is found out by
 * writing, and the first write after that succeeds. */
static struct stream *open_stream(const struct service *service, h2o_req_t *request)
{
    struct sse_emitter_options options = service_emitter_options(service);
    struct stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    *stream = (struct stream){.generator = {proceed, stop}, .request = request, .busy = true};
    options.drain = SSE_DRAIN_PULL;
    options.heartbeat_ms = (options.heartbeat_ms + 1) / 2;
    options.on_release = free;
    options.user = stream;
    if (sse_emitter_new(&stream->emitter, &options)) {
        free(stream);
        return NULL;
    }
    /* Over HTTP/1.1 h2o sends no head before a byte of what follows it: a comment. */
    (void)sse_emitter_send(stream->emitter, &(struct sse_event){.comment = sse_str("")});
    return stream;
}

/* -- the server ----------------------------------------------------------------------------- */

#define BODY_SIZE_MAX (1024 * 1024)
#define CLOSING_MS 1200

/* It lasts as long as the process: h2o cannot close the connections that are left at the end. */
static struct server {
    struct service service;
    h2o_globalconf_t configuration;
    h2o_context_t context;
    h2o_accept_ctx_t accepting;
    h2o_multithread_receiver_t receiver;
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

static int answer_with_stream(h2o_req_t *request, const char *topic)
{
    ssize_t at = h2o_find_header_by_str(&request->headers, H2O_STRLIT("last-event-id"), -1);
    const h2o_iovec_t none = {NULL, 0};
    h2o_iovec_t id = at < 0 ? none : request->headers.entries[at].value;
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);
    struct stream *stream = open_stream(&server.service, request);
    int error;

    if (!stream)
        return answer(request, 503);
    if (at >= 0)
        id = h2o_strdup(&request->pool, id.base, id.len);
    error = service_subscribe(&server.service, stream->emitter, topic, id.base);
    if (error) {
        close_stream(stream);
        return answer(request, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
    }
    request->res.status = 200;
    request->res.reason = "OK";
    request->http1_is_persistent = 0;
    for (ssize_t i = 0; i < count; i++)
        h2o_add_header_by_str(&request->pool, &request->res.headers, headers[i].name.ptr, headers[i].name.len,
                              1, NULL, headers[i].value.ptr, headers[i].value.len);
    h2o_start_response(request, &stream->generator);
    send_more(stream);
    return 0;
}

static int handle(h2o_handler_t *handler, h2o_req_t *request)
{
    const h2o_iovec_t path = request->path_normalized;
    const h2o_iovec_t method = request->method;
    h2o_iovec_t query = {NULL, 0};
    char buffer[SSE_TOPIC_SIZE_MAX + 1];
    const char *topic;

    (void)handler;
    if (request->query_at != SIZE_MAX)
        query = h2o_strdup(&request->pool, request->path.base + request->query_at + 1,
                           request->path.len - request->query_at - 1);
    topic = query_topic(query.base, buffer);
    if (h2o_memis(path.base, path.len, H2O_STRLIT("/events")) &&
        h2o_memis(method.base, method.len, H2O_STRLIT("GET")))
        return answer_with_stream(request, topic);
    if (!h2o_memis(path.base, path.len, H2O_STRLIT("/publish")) ||
        !h2o_memis(method.base, method.len, H2O_STRLIT("POST")))
        return answer(request, 404);
    return answer(request,
                  service_publish(&server.service, topic, request->entity.base, request->entity.len));
}

/* Wakes the loop from any thread; nothing need be said. */
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

    if (!connection)
        return;
    server.connections++;
    connection->on_close.cb = on_close;
    h2o_accept(&server.accepting, connection);
}

static h2o_socket_t *listen_on(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    h2o_socket_t *listener;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, SOMAXCONN))
        return NULL;
    listener = h2o_evloop_socket_create(server.context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    h2o_socket_read_start(listener, on_accept);
    return listener;
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
    server.accepting = (h2o_accept_ctx_t){.ctx = &server.context, .hosts = server.configuration.hosts};
}

static void turn(int timeout_ms)
{
    h2o_evloop_run(server.context.loop, timeout_ms < 0 ? INT32_MAX : timeout_ms);
}

/* GOAWAY, and what is left to send. */
static void say_goodbye(void)
{
    uint64_t end = h2o_now(server.context.loop) + CLOSING_MS;

    h2o_context_request_shutdown(&server.context);
    while (server.connections && h2o_now(server.context.loop) < end)
        turn((int)(end - h2o_now(server.context.loop)));
}

int main(int argc, char **argv)
{
    h2o_socket_t *listener;

    open_server();
    service_open(&server.service, argc, argv, wake, NULL);
    listener = listen_on(server.service.port);
    if (!listener) {
        perror("listen");
        return 1;
    }
    while (service_turn(&server.service))
        turn(resume_ready(&server.service) ? 0 : service_timeout(&server.service));
    resume_ready(&server.service);
    turn(0);
    h2o_socket_close(listener);
    say_goodbye();
    service_close(&server.service);
    return 0;
}
