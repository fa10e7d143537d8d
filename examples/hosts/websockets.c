/* SPDX-License-Identifier: MIT */
/*
 * libwebsockets, its HTTP/1 side: PULL. Its service thread reads from an emitter when the socket has room.
 * The loop of the streams is polled, and libwebsockets waits for its descriptor, because only a polled loop
 * watches sockets: libwebsockets reads no more from a client that it answers.
 */
#include "service.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* -- the adapter ---------------------------------------------------------------------------- */

#define WRITE_SIZE 16384

struct stream {
    struct sse_emitter *emitter;
    struct lws *wsi; /* NULL once it is closed */
    bool is_idle;
};

/* What the client sends while nothing is written would make the poll return over and over. */
static void set_idle(struct stream *stream, bool is_idle)
{
    if (stream->is_idle != is_idle)
        lws_rx_flow_control(stream->wsi, !is_idle);
    stream->is_idle = is_idle;
}

/* LWS_CALLBACK_HTTP_WRITEABLE: what was written before has left the process. The callback returns the
 * result; -1 closes the connection. */
static int write_stream(struct stream *stream)
{
    unsigned char buffer[LWS_PRE + WRITE_SIZE];
    ssize_t size = sse_emitter_read(stream->emitter, buffer + LWS_PRE, WRITE_SIZE);

    if (size < 0 ||
        (size > 0 && lws_write(stream->wsi, buffer + LWS_PRE, (size_t)size, LWS_WRITE_HTTP) < size))
        return -1;
    if (size)
        lws_callback_on_writable(stream->wsi);
    set_idle(stream, !size);
    return 0;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct stream *stream = user;

    (void)emitter, (void)what;
    set_idle(stream, false);
    lws_callback_on_writable(stream->wsi);
}

/* A client that reads nothing is never writable again. */
static void end_stream(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    const struct stream *stream = user;

    (void)emitter;
    service_report(completion);
    if (stream->wsi && completion->error)
        lws_set_timeout(stream->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

/* libwebsockets closes the connection. */
static void close_stream(struct stream *stream)
{
    stream->wsi = NULL;
    (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
    sse_emitter_close(stream->emitter);
}

/* libwebsockets does not chunk: the emitter does, and writes the head as well. */
static int open_stream(struct stream **opened, struct sse_emitter_options options, struct lws *wsi)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    int error;

    if (!stream)
        return -ENOMEM;
    stream->wsi = wsi;
    options.output = SSE_OUTPUT_PULL;
    options.watch_fd = lws_get_socket_fd(wsi);
    options.on_ready = on_ready;
    options.on_completion = end_stream;
    options.on_release = free;
    options.user = stream;
    error = sse_emitter_new(&stream->emitter, &options, NULL);
    if (error) {
        free(stream);
        return error;
    }
    lws_http_headers_detach(wsi);
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    *opened = stream;
    return 0;
}

/* -- the server ----------------------------------------------------------------------------- */

struct server {
    struct service service;
    struct sse_loop *streams;
    struct lws_context *context;
};

/* Of one request. */
struct session {
    struct service_query query;
    struct stream *stream;
    char *body;
    size_t size;
};

static void wake(void *user)
{
    const struct server *server = user;

    lws_cancel_service(server->context);
}

static int answer(struct lws *wsi, int status)
{
    if (lws_return_http_status(wsi, (unsigned)status, NULL))
        return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* libwebsockets has decoded the query. It must not be decoded again, or "%2541" would become "A". */
static void read_query(struct service_query *query, struct lws *wsi)
{
    static const char name[] = "last-event-id:";
    char argument[sizeof("topic=") + SSE_TOPIC_SIZE_MAX];
    char id[4096];
    int size = lws_hdr_custom_copy(wsi, id, sizeof(id), name, sizeof(name) - 1);
    const char *topic = lws_get_urlarg_by_name(wsi, "topic=", argument, sizeof(argument));

    service_read_query(query, sse_str(NULL),
                       (struct sse_text){size < 0 ? NULL : id, size < 0 ? 0 : (size_t)size});
    query->topic.len = topic ? strlen(topic) : 0;
    memcpy(query->topic_bytes, topic ? topic : "", query->topic.len);
}

static bool has_version_1_1(struct lws *wsi)
{
    char version[16] = "";

    return lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_HTTP) > 0 && !strcmp(version, "HTTP/1.1");
}

/* The whole response at once: the first bytes on this socket, so there is room. */
static int refuse(struct lws *wsi, int error, const struct sse_http_options *http)
{
    unsigned char buffer[LWS_PRE + 512];
    ssize_t size = sse_http_refuse(buffer + LWS_PRE, 512, error, http, service_random());

    if (size > 0 && size <= 512)
        (void)lws_write(wsi, buffer + LWS_PRE, (size_t)size, LWS_WRITE_HTTP);
    return -1;
}

static int answer_with_stream(struct server *server, struct session *session, struct lws *wsi)
{
    static const struct sse_http_header close = {{"Connection", 10}, {"close", 5}};
    const bool chunked = has_version_1_1(wsi);
    const struct sse_http_options http = {.size = sizeof(http),
                                          .version = chunked ? SSE_HTTP_1_1 : SSE_HTTP_1_0,
                                          .chunked = chunked,
                                          .headers = &close,
                                          .header_count = 1};
    struct sse_emitter_options options = service_emitter_options(&server->service, &session->query);
    int error;

    options.loop = server->streams;
    options.http = &http;
    error = open_stream(&session->stream, options, wsi);
    return error ? refuse(wsi, error, &http) : 0;
}

static int on_request(struct server *server, struct session *session, struct lws *wsi, const char *path)
{
    char *uri;
    int size;
    int method = lws_http_get_uri_and_method(wsi, &uri, &size);

    read_query(&session->query, wsi);
    if (!strcmp(path, "/events"))
        return method == LWSHUMETH_GET ? answer_with_stream(server, session, wsi) : answer(wsi, 405);
    if (!strcmp(path, "/publish"))
        return method == LWSHUMETH_POST ? 0 : answer(wsi, 405);
    return answer(wsi, 404);
}

static int append(struct session *session, const char *data, size_t size)
{
    char *grown;

    /* An empty body comes as one piece of nothing. */
    if (!size)
        return 0;
    grown = session->size + size <= SSE_EVENT_SIZE_MAX ? realloc(session->body, session->size + size) : NULL;
    if (!grown)
        return -1;
    memcpy(grown + session->size, data, size);
    session->body = grown;
    session->size += size;
    return 0;
}

static int publish(struct service *service, const struct session *session, struct lws *wsi)
{
    return answer(wsi, service_publish(service, &session->query, session->body, session->size));
}

static void forget(struct session *session)
{
    if (session->stream)
        close_stream(session->stream);
    free(session->body);
    *session = (struct session){0};
}

static int handle(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
    struct server *server = lws_context_user(lws_get_context(wsi));
    struct session *session = user;

    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_request(server, session, wsi, in);
    case LWS_CALLBACK_HTTP_BODY:
        return session->stream ? 0 : append(session, in, size);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return session->stream ? 0 : publish(&server->service, session, wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return session && session->stream ? write_stream(session->stream) : 0;
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (session)
            forget(session);
        return 0;
    case LWS_CALLBACK_RAW_RX_FILE:
        (void)sse_loop_dispatch(server->streams, 0);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, size);
    }
}

/* libwebsockets closes the descriptors that it waits for, so it gets one of its own. */
static bool wait_for(struct sse_loop *streams, struct lws_vhost *vhost)
{
    const lws_sock_file_fd_type descriptor = {.filefd = dup(sse_loop_fd(streams))};

    return lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, descriptor, "http", NULL);
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "http", .callback = handle, .per_session_data_size = sizeof(struct session)},
        {.name = NULL}};
    struct lws_context_creation_info info = {.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS};
    struct server server = {0};
    struct lws_vhost *vhost;

    lws_set_log_level(LLL_ERR, NULL);
    info.user = &server;
    server.context = lws_create_context(&info);
    if (!server.context || sse_loop_new(&server.streams, NULL))
        return 1;
    service_open(&server.service, argc, argv, wake, &server);
    info.port = server.service.port;
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    vhost = lws_create_vhost(server.context, &info);
    if (!vhost || !wait_for(server.streams, vhost))
        return 1;
    while (!service_is_over(&server.service) && lws_service(server.context, 0) >= 0)
        continue;
    /* From here on no thread wakes the context. */
    service_close(&server.service);
    lws_context_destroy(server.context);
    sse_loop_free(server.streams);
    return 0;
}
