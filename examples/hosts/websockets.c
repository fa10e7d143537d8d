/* SPDX-License-Identifier: MIT */
/*
 * libwebsockets over HTTP/1: output PULL. Its service thread reads from an emitter when the socket has room. The
 * loop of the streams is polled, because only a polled loop watches sockets, and libwebsockets itself reads nothing
 * from a client while it answers. libwebsockets waits for the loop's descriptor.
 */
#include "service.h"
#include "socket.h"

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

/* While nothing is written, libwebsockets must not poll for input: unread input would make poll return over and
 * over. */
static void set_idle(struct stream *stream, bool is_idle)
{
    if (stream->is_idle != is_idle)
        lws_rx_flow_control(stream->wsi, !is_idle);
    stream->is_idle = is_idle;
}

/* Called for LWS_CALLBACK_HTTP_WRITEABLE: the kernel has accepted all earlier bytes. The callback returns the
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

/* A client that reads nothing never becomes writable again, so its socket is shut down. */
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

/* libwebsockets does not chunk, so the emitter does. The emitter writes the head as well. */
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
    socket_set_options(options.watch_fd);
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

/* A request with a larger head is dropped. */
#define HEAD_SIZE_MAX 16384

/* The state of one request. */
struct session {
    struct service_query query;
    struct stream *stream;
    struct body body;
    bool is_complete;
    int status;     /* the result of service_route, or the status to refuse it with */
    int64_t end_ms; /* when its body must be complete */
};

static void wake(void *user)
{
    const struct server *server = user;

    lws_cancel_service(server->context);
}

/* Ends the connection once the body of the request has been read: libwebsockets spins for ever over a request with
 * a body that has come behind another one. It closes because it is told no length; the client is told one.
 * lws_return_http_status would overwrite what has come behind. */
static int answer(struct lws *wsi, int status)
{
    unsigned char buffer[LWS_PRE + 512], *at = buffer + LWS_PRE, *const end = buffer + sizeof(buffer);

    if (lws_add_http_common_headers(wsi, (unsigned)status, "text/plain", LWS_ILLEGAL_HTTP_CONTENT_LEN, &at,
                                    end) ||
        lws_add_http_header_content_length(wsi, 0, &at, end) || lws_finalize_http_header(wsi, &at, end) ||
        lws_write(wsi, buffer + LWS_PRE, (size_t)(at - buffer - LWS_PRE), LWS_WRITE_HTTP_HEADERS) < 0)
        return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* A value that does not fit is replaced by one that is never valid. */
static struct sse_text copied(int length, char *bytes, size_t size)
{
    if (length >= 0)
        return (struct sse_text){bytes, (size_t)length};
    snprintf(bytes, size, "?");
    return sse_str(bytes);
}

static struct sse_text copy_custom(struct lws *wsi, const char *name, char *bytes, size_t size)
{
    const int name_size = (int)strlen(name);

    if (lws_hdr_custom_length(wsi, name, name_size) < 0)
        return sse_str(NULL);
    return copied(lws_hdr_custom_copy(wsi, bytes, (int)size, name, name_size), bytes, size);
}

static struct sse_text copy(struct lws *wsi, enum lws_token_indexes token, char *bytes, size_t size)
{
    if (lws_hdr_total_length(wsi, token) <= 0)
        return sse_str(NULL);
    return copied(lws_hdr_copy(wsi, bytes, (int)size, token), bytes, size);
}

/* libwebsockets has decoded the query already. Decoding it again would turn "%2541" into "A". */
static void read_query(struct service_query *query, struct lws *wsi)
{
    char argument[sizeof("topic=") + SSE_TOPIC_SIZE_MAX];
    char id[4096];
    const char *topic = lws_get_urlarg_by_name(wsi, "topic=", argument, sizeof(argument));

    service_read_query(query, sse_str(NULL), copy_custom(wsi, "last-event-id:", id, sizeof(id)));
    query->topic.len = topic ? strlen(topic) : 0;
    memcpy(query->topic_bytes, topic ? topic : "", query->topic.len);
}

static bool has_version_1_1(struct lws *wsi)
{
    char version[16] = "";

    return lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_HTTP) > 0 && !strcmp(version, "HTTP/1.1");
}

static struct sse_http_options http_options(struct lws *wsi)
{
    static const struct sse_http_header close = {{"Connection", 10}, {"close", 5}};
    const bool chunked = has_version_1_1(wsi);

    return (struct sse_http_options){.size = sizeof(struct sse_http_options),
                                     .version = chunked ? SSE_HTTP_1_1 : SSE_HTTP_1_0,
                                     .chunked = chunked,
                                     .headers = &close,
                                     .header_count = 1};
}

/* Writes a whole response, and ends the connection. These are the first bytes on this socket, so it has room. */
static int refuse(struct lws *wsi, int status, const char *allow_line)
{
    unsigned char buffer[LWS_PRE + 512];
    int size = snprintf((char *)buffer + LWS_PRE, 512,
                        "HTTP/1.1 %d Refused\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", status,
                        allow_line);

    (void)lws_write(wsi, buffer + LWS_PRE, (size_t)size, LWS_WRITE_HTTP);
    return -1;
}

/* The same. `error` 0: writes the head of a stream. */
static int answer_at_once(struct lws *wsi, int error)
{
    const struct sse_http_options http = http_options(wsi);
    unsigned char buffer[LWS_PRE + 512];
    ssize_t size = error ? sse_http_refuse(buffer + LWS_PRE, 512, error, &http, service_random())
                         : sse_http_head(buffer + LWS_PRE, 512, &http);

    if (size > 0 && size <= 512)
        (void)lws_write(wsi, buffer + LWS_PRE, (size_t)size, LWS_WRITE_HTTP);
    return -1;
}

static int answer_with_stream(struct server *server, struct session *session, struct lws *wsi)
{
    const struct sse_http_options http = http_options(wsi);
    struct sse_emitter_options options = service_emitter_options(&server->service, &session->query);
    int error;

    options.loop = server->streams;
    options.http = &http;
    error = open_stream(&session->stream, options, wsi);
    return error ? answer_at_once(wsi, error) : 0;
}

static const char *method_of(struct lws *wsi)
{
    char *uri;
    int size;

    switch (lws_http_get_uri_and_method(wsi, &uri, &size)) {
    case LWSHUMETH_GET:
        return "GET";
    case LWSHUMETH_HEAD:
        return "HEAD";
    case LWSHUMETH_POST:
        return "POST";
    default:
        return "";
    }
}

static int route(const struct service *service, struct lws *wsi, const char *path)
{
    char host[512], origin[512], fetch_site[64], length[32];
    const struct origin_request page = {
        .host = copy(wsi, WSI_TOKEN_HOST, host, sizeof(host)),
        .origin = copy(wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin)),
        .fetch_site = copy_custom(wsi, "sec-fetch-site:", fetch_site, sizeof(fetch_site))};
    int status = service_route(service, sse_str(method_of(wsi)), sse_str(path), &page), refused = 411;

    /* The values of a repeated field are joined by commas. libwebsockets does not read chunks. */
    if (copy(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof(length)).ptr &&
        lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) <= 0)
        refused = body_check_framing(length, 1, NULL);
    return status == SERVICE_PUBLISH && refused ? refused : status;
}

/* libwebsockets does not send this itself. */
static int let_continue(struct lws *wsi)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    unsigned char buffer[LWS_PRE + sizeof(text)];
    char expect[32];

    if (!copy(wsi, WSI_TOKEN_HTTP_EXPECT, expect, sizeof(expect)).len)
        return 0;
    memcpy(buffer + LWS_PRE, text, sizeof(text));
    return lws_write(wsi, buffer + LWS_PRE, sizeof(text) - 1, LWS_WRITE_HTTP) < 0 ? -1 : 0;
}

static int on_request(struct server *server, struct session *session, struct lws *wsi, const char *path)
{
    session->status = route(&server->service, wsi, path);
    session->end_ms = service_now_ms() + SERVICE_BODY_MS;
    read_query(&session->query, wsi);
    switch (session->status) {
    case SERVICE_STREAM:
        return answer_with_stream(server, session, wsi);
    case SERVICE_HEAD:
        return answer_at_once(wsi, 0);
    case SERVICE_PUBLISH:
        return let_continue(wsi);
    case 405:
    case 411:
        return refuse(wsi, session->status, service_allow_line(session->status, sse_str(path)));
    default:
        return answer(wsi, session->status);
    }
}

/* A body that becomes too large is read to its end. Returns -1 when its time is up. */
static int append(struct service *service, struct session *session, const char *data, size_t size)
{
    if (service_now_ms() >= session->end_ms)
        return -1;
    if (session->status == SERVICE_PUBLISH) {
        int status = body_append(&session->body, &service->bodies, data, size);

        session->status = status ? status : SERVICE_PUBLISH;
    }
    return 0;
}

/* The body of a request for a stream. If bytes follow it, libwebsockets calls this over and over, and the stream
 * gets no turn. */
static int end_unused_body(struct session *session)
{
    const bool is_again = session->is_complete;

    session->is_complete = true;
    return is_again ? -1 : 0;
}

static int end_body(struct service *service, struct session *session, struct lws *wsi)
{
    if (session->stream)
        return end_unused_body(session);
    if (session->status == SERVICE_PUBLISH)
        session->status = service_publish(service, &session->query, &session->body);
    return answer(wsi, session->status);
}

static void forget(struct service *service, struct session *session)
{
    if (session->stream)
        close_stream(session->stream);
    body_free(&session->body, &service->bodies);
    *session = (struct session){0};
}

/* A client offers another protocol. libwebsockets knows none with the new name, and goes on in HTTP/1. If it does
 * not know the client's protocol, it has already answered with 403, and may have freed the header, with `name`. */
static int ignore_offer(struct lws *wsi, char *name)
{
    if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0)
        return -1;
    memset(name, '-', strlen(name));
    return 0;
}

static int handle(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
    struct server *server = lws_context_user(lws_get_context(wsi));
    struct session *session = user;

    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_request(server, session, wsi, in);
    case LWS_CALLBACK_HTTP_BODY:
        return session->stream ? 0 : append(&server->service, session, in, size);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return end_body(&server->service, session, wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return session && session->stream ? write_stream(session->stream) : 0;
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (session)
            forget(&server->service, session);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return ignore_offer(wsi, in);
    case LWS_CALLBACK_RAW_ADOPT:
        /* After CONNECT libwebsockets passes the bytes through, without a time limit. */
        return refuse(wsi, 400, "");
    case LWS_CALLBACK_RAW_RX_FILE:
        (void)sse_loop_dispatch(server->streams, 0);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, size);
    }
}

/* libwebsockets closes the descriptors that it waits for, so it gets a duplicate. */
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
    const size_t descriptors = service_descriptors();
    struct server server = {0};
    struct lws_vhost *vhost;

    lws_set_log_level(LLL_ERR, NULL);
    info.user = &server;
    info.max_http_header_data = HEAD_SIZE_MAX;
    /* At this number libwebsockets stops accepting. It does not count every descriptor, so some must stay free, or
     * accepting would fail over and over. */
    info.fd_limit_per_thread = (unsigned)(descriptors > 2 * SERVICE_SPARE ? descriptors - SERVICE_SPARE : 1);
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
    /* No thread wakes the context any more. */
    service_close(&server.service);
    lws_context_destroy(server.context);
    sse_loop_free(server.streams);
    return 0;
}
