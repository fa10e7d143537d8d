/* SPDX-License-Identifier: MIT */
/*
 * libwebsockets, its HTTP side: PULL. Its service thread reads when the socket takes more; the one
 * call that other threads may make, lws_cancel_service, has it look for the streams that are ready.
 */
#include "service.h"

#include <errno.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* -- the adapter ---------------------------------------------------------------------------- */

#define WRITE_SIZE 16384
#define VAIN_TURNS 100

struct stream {
    struct sse_emitter *emitter;
    struct lws *wsi;
    struct service *service;
    bool chunked;
};

static bool is_http2(struct lws *wsi)
{
    return lws_get_network_wsi(wsi) != wsi;
}

/* Version 4.1 does not read from a client of HTTP/1 that it answers. */
static bool has_left(struct lws *wsi)
{
    char bytes[4096];
    ssize_t size;

    if (is_http2(wsi))
        return false;
    size = recv(lws_get_socket_fd(wsi), bytes, sizeof(bytes), MSG_DONTWAIT);
    return !size || (size < 0 && errno == ECONNRESET);
}

/* LWS_CALLBACK_HTTP_WRITEABLE: what was written before has left. What it returns, the callback does. */
static int write_stream(struct stream *stream)
{
    unsigned char buffer[LWS_PRE + WRITE_SIZE];
    ssize_t size = sse_emitter_read(stream->emitter, buffer + LWS_PRE, WRITE_SIZE);

    if (has_left(stream->wsi))
        return -1;
    if (size > 0 && lws_write(stream->wsi, buffer + LWS_PRE, (size_t)size, LWS_WRITE_HTTP) < size)
        return -1;
    if (size > 0)
        lws_callback_on_writable(stream->wsi);
    if (size >= 0)
        return 0;
    /* HTTP/2 has the end of a stream; HTTP/1 closes the connection. */
    if (size == -ESHUTDOWN && is_http2(stream->wsi))
        (void)lws_write(stream->wsi, buffer + LWS_PRE, 0, LWS_WRITE_HTTP_FINAL);
    return -1;
}

/* In the service thread, after on_wake has called lws_cancel_service. */
static void ask_for_ready(struct sse_registry *registry)
{
    struct sse_emitter *emitter;
    struct stream *stream;
    int result;

    while ((emitter = sse_registry_next_ready(registry))) {
        stream = sse_emitter_user(emitter);
        result = sse_emitter_flush(emitter);
        /* A stalled client is never writable again. */
        if (result < 0 && result != -ESHUTDOWN)
            lws_set_timeout(stream->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        else
            lws_callback_on_writable(stream->wsi);
        sse_emitter_unref(emitter);
    }
}

static int ask_for(struct sse_emitter *emitter, void *user)
{
    const struct stream *stream = sse_emitter_user(emitter);

    (void)user;
    lws_callback_on_writable(stream->wsi);
    return 0;
}

/* After each turn of the service. What such a client sends, be it its end, makes the poll return at once,
 * over and over, with nothing for any callback: then all streams look for it. */
static void look_for_input(struct sse_registry *registry, unsigned *vain_turns)
{
    if (++*vain_turns < VAIN_TURNS)
        return;
    *vain_turns = 0;
    (void)sse_registry_each(registry, sse_str(NULL), ask_for, NULL);
}

static void close_stream(struct stream *stream)
{
    (void)sse_emitter_complete_with_error(stream->emitter, -ECONNRESET);
    (void)sse_emitter_detach(stream->emitter);
    service_end_stream(stream->service);
    sse_emitter_unref(stream->emitter);
}

/* libwebsockets does not chunk: HTTP/1.1 leaves that to the emitter, and HTTP/2 needs none. */
static struct stream *open_stream(struct service *service, struct lws *wsi)
{
    struct sse_emitter_options options = service_emitter_options(service);
    struct stream *stream = calloc(1, sizeof(*stream));
    char version[16] = "";

    if (!stream)
        return NULL;
    (void)lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_HTTP);
    *stream = (struct stream){.wsi = wsi, .service = service, .chunked = !strcmp(version, "HTTP/1.1")};
    options.drain = SSE_DRAIN_PULL;
    options.framing = stream->chunked ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW;
    options.on_release = free;
    options.user = stream;
    if (sse_emitter_new(&stream->emitter, &options)) {
        free(stream);
        return NULL;
    }
    service_begin_stream(service);
    return stream;
}

static int add_header(struct lws *wsi, const char *name, const char *value, unsigned char **at,
                      unsigned char *end)
{
    char with_colon[64];

    snprintf(with_colon, sizeof(with_colon), "%s:", name);
    return lws_add_http_header_by_name(wsi, (const unsigned char *)with_colon, (const unsigned char *)value,
                                       (int)strlen(value), at, end);
}

static int start_stream(struct stream *stream)
{
    unsigned char buffer[LWS_PRE + 1024];
    unsigned char *at = buffer + LWS_PRE;
    unsigned char *end = buffer + sizeof(buffer);
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    if (lws_add_http_header_status(stream->wsi, HTTP_STATUS_OK, &at, end))
        return -1;
    for (ssize_t i = 0; i < count; i++)
        if (add_header(stream->wsi, headers[i].name.ptr, headers[i].value.ptr, &at, end))
            return -1;
    if (stream->chunked && add_header(stream->wsi, "transfer-encoding", "chunked", &at, end))
        return -1;
    if (!is_http2(stream->wsi) && add_header(stream->wsi, "connection", "close", &at, end))
        return -1;
    if (lws_finalize_write_http_header(stream->wsi, buffer + LWS_PRE, &at, end))
        return -1;
    if (is_http2(stream->wsi))
        lws_http_mark_sse(stream->wsi);
    lws_http_headers_detach(stream->wsi);
    lws_set_timeout(stream->wsi, NO_PENDING_TIMEOUT, 0);
    lws_callback_on_writable(stream->wsi);
    return 0;
}

/* -- the server ----------------------------------------------------------------------------- */

struct server {
    struct service service;
    struct lws_context *context;
    lws_sorted_usec_list_t timer;
    unsigned vain_turns;
    bool left;
};

/* Of one request. */
struct session {
    struct stream *stream;
    char *body;
    size_t size;
    char topic[SSE_TOPIC_SIZE_MAX + 1];
};

static void wake(void *user)
{
    struct server *server = user;

    lws_cancel_service(server->context);
}

static void turn(struct server *server);

static void on_timer(lws_sorted_usec_list_t *timer)
{
    turn(lws_container_of(timer, struct server, timer));
}

static void turn(struct server *server)
{
    bool serving = service_turn(&server->service);
    int timeout;

    ask_for_ready(server->service.registry);
    timeout = service_timeout(&server->service);
    if (timeout >= 0)
        lws_sul_schedule(server->context, 0, &server->timer, on_timer, (lws_usec_t)timeout * 1000);
    /* lws_service looks for itself when it has been woken. */
    server->left = !serving;
    if (server->left)
        lws_cancel_service(server->context);
}

static int answer(struct lws *wsi, int status)
{
    if (lws_return_http_status(wsi, (unsigned)status, NULL))
        return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static void find_topic(struct lws *wsi, struct session *session)
{
    char argument[sizeof("topic=") + SSE_TOPIC_SIZE_MAX];
    const char *topic = lws_get_urlarg_by_name(wsi, "topic=", argument, sizeof(argument));

    snprintf(session->topic, sizeof(session->topic), "%s", topic ? topic : "");
}

static int answer_with_stream(struct service *service, struct session *session, struct lws *wsi)
{
    static const char name[] = "last-event-id:";
    struct stream *stream = open_stream(service, wsi);
    char id[1024];
    int error;

    if (!stream)
        return answer(wsi, 503);
    /* This version of the library tells of such a field on HTTP/1 only. */
    error =
        service_subscribe(service, stream->emitter, session->topic,
                          lws_hdr_custom_copy(wsi, id, sizeof(id), name, sizeof(name) - 1) < 0 ? NULL : id);
    if (!error) {
        session->stream = stream;
        return start_stream(stream);
    }
    close_stream(stream);
    return answer(wsi, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
}

static int on_request(struct service *service, struct session *session, struct lws *wsi, const char *path)
{
    char *uri;
    int size;
    int method = lws_http_get_uri_and_method(wsi, &uri, &size);

    find_topic(wsi, session);
    if (!strcmp(path, "/events"))
        return method == LWSHUMETH_GET ? answer_with_stream(service, session, wsi) : answer(wsi, 405);
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

    server->vain_turns = 0;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_request(&server->service, session, wsi, in);
    case LWS_CALLBACK_HTTP_BODY:
        return append(session, in, size);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return answer(wsi, service_publish(&server->service, session->topic, session->body, session->size));
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return session && session->stream ? write_stream(session->stream) : 0;
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (session)
            forget(session);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        if (server->service.registry && !server->left)
            turn(server);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, size);
    }
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "http", .callback = handle, .per_session_data_size = sizeof(struct session)},
        {.name = NULL}};
    struct lws_context_creation_info info = {.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS};
    struct server server = {0};

    lws_set_log_level(LLL_ERR, NULL);
    info.user = &server;
    server.context = lws_create_context(&info);
    if (!server.context)
        return 1;
    service_open(&server.service, argc, argv, wake, &server);
    info.port = server.service.port;
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    if (!lws_create_vhost(server.context, &info))
        return 1;
    while (!server.left && lws_service(server.context, 0) >= 0)
        look_for_input(server.service.registry, &server.vain_turns);
    /* From here on no thread wakes the context. */
    service_close(&server.service);
    lws_context_destroy(server.context);
    return 0;
}
