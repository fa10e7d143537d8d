/* SPDX-License-Identifier: MIT */
/*
 * libsoup 3: output FD. The stream takes its connection over from libsoup. libsoup answers all other requests.
 * GLib's main loop waits for the descriptor of the polled loop, which becomes readable for events from other
 * threads, timers, writable sockets and disconnects. So no other thread needs to touch a source of GLib.
 *
 * This is for plain HTTP. Over TLS the library must not write to the connection's descriptor. Then use
 * SSE_OUTPUT_CALLBACK as openssl.c does, with g_pollable_output_stream_write_nonblocking.
 */
#include "service.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gio/gfiledescriptorbased.h>
#include <glib-unix.h>
#include <libsoup/soup.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- the adapter ---------------------------------------------------------------------------- */

/* The descriptor stays readable while work is left, so GLib first serves its other sources and then calls again. */
static gboolean on_streams(int fd, GIOCondition what, void *streams)
{
    (void)fd, (void)what;
    (void)sse_loop_dispatch(streams, 0);
    return G_SOURCE_CONTINUE;
}

/* You must destroy the source before you free the loop. */
static GSource *watch_streams(struct sse_loop *streams, GMainContext *context)
{
    GSource *source = g_unix_fd_source_new(sse_loop_fd(streams), G_IO_IN);

    g_source_set_callback(source, G_SOURCE_FUNC(on_streams), streams, NULL);
    g_source_attach(source, context);
    return source;
}

static struct sse_http_options head_for(SoupServerMessage *message)
{
    static const struct sse_http_header close = {{"Connection", 10}, {"close", 5}};
    const bool chunked = soup_server_message_get_http_version(message) != SOUP_HTTP_1_0;

    return (struct sse_http_options){.size = sizeof(struct sse_http_options),
                                     .version = chunked ? SSE_HTTP_1_1 : SSE_HTTP_1_0,
                                     .chunked = chunked,
                                     .headers = &close,
                                     .header_count = 1};
}

/* GLib will close its own descriptor. That sends nothing to the client while this copy is open. Without a free
 * descriptor, the client is told to come back. */
static int copy_descriptor(GIOStream *connection)
{
    GOutputStream *output = g_io_stream_get_output_stream(connection);
    int fd;

    if (!G_IS_FILE_DESCRIPTOR_BASED(output))
        return -ENOTSUP;
    fd = fcntl(g_file_descriptor_based_get_fd(G_FILE_DESCRIPTOR_BASED(output)), F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -EAGAIN : fd;
}

static int open_stream(struct sse_emitter_options options, GIOStream *connection)
{
    int error;

    options.output = SSE_OUTPUT_FD;
    options.fd = copy_descriptor(connection);
    if (options.fd < 0)
        return options.fd;
    error = sse_emitter_new(NULL, &options, NULL);
    if (error)
        close(options.fd);
    return error;
}

/* Nothing was sent before, so the socket has room for a short answer. */
static void refuse(GIOStream *connection, int error, const struct sse_http_options *http)
{
    char response[512];
    ssize_t size = sse_http_refuse(response, sizeof(response), error, http, service_random());

    if (size > 0 && size <= (ssize_t)sizeof(response))
        (void)g_output_stream_write(g_io_stream_get_output_stream(connection), response, (size_t)size, NULL,
                                    NULL);
}

/* The message is freed by this call, unless you hold a reference. */
static void answer_with_stream(SoupServerMessage *message, struct sse_emitter_options options)
{
    const struct sse_http_options http = head_for(message);
    GIOStream *connection = soup_server_message_steal_connection(message);
    int error;

    options.http = &http;
    error = open_stream(options, connection);
    if (error)
        refuse(connection, error, &http);
    g_object_unref(connection);
}

/* -- the server ----------------------------------------------------------------------------- */

/* The connection of a client that has not sent its request by then is closed. */
#define REQUEST_SECONDS 10

struct server {
    struct service service;
    struct sse_loop *streams;
    SoupServer *http;
    int listener;
};

struct request {
    struct service *service;
    struct body body;
};

static void free_request(void *user)
{
    struct request *request = user;

    body_free(&request->body, &request->service->bodies);
    g_free(request);
}

static void answer(SoupServerMessage *message, int status)
{
    soup_server_message_set_status(message, (guint)status, NULL);
}

/* libsoup itself does not limit bodies. After a refusal, the rest of the body is read and dropped. */
static void on_chunk(SoupServerMessage *message, GBytes *chunk, void *user)
{
    struct request *request = user;
    gsize size;
    const void *data = g_bytes_get_data(chunk, &size);
    int status = 0;

    if (!soup_server_message_get_status(message))
        status = body_append(&request->body, &request->service->bodies, data, size);
    if (status) {
        answer(message, status);
        body_free(&request->body, &request->service->bodies);
    }
}

static void on_begin(SoupServer *http, SoupServerMessage *message, void *user)
{
    struct server *server = user;
    struct request *request = g_new0(struct request, 1);

    (void)http;
    request->service = &server->service;
    g_object_set_data_full(G_OBJECT(message), "request", request, free_request);
    soup_message_body_set_accumulate(soup_server_message_get_request_body(message), FALSE);
    g_signal_connect(message, "got-chunk", G_CALLBACK(on_chunk), request);
    /* libsoup closes a connection that it did not accept itself, so the answer must say so. */
    soup_message_headers_replace(soup_server_message_get_response_headers(message), "Connection", "close");
}

/* The values of a repeated field are joined by commas. */
static struct sse_text header(SoupServerMessage *message, const char *name)
{
    return sse_str(soup_message_headers_get_list(soup_server_message_get_request_headers(message), name));
}

static void answer_head(SoupServerMessage *message)
{
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    for (ssize_t i = 0; i < count; i++)
        soup_message_headers_append(soup_server_message_get_response_headers(message), headers[i].name.ptr,
                                    headers[i].value.ptr);
    answer(message, 200);
}

static int publish(SoupServerMessage *message, const struct service_query *query)
{
    struct request *request = g_object_get_data(G_OBJECT(message), "request");
    int status = body_check_framing(header(message, "Content-Length").ptr, 1,
                                    header(message, "Transfer-Encoding").ptr);

    return status ? status : service_publish(request->service, query, &request->body);
}

static void add_allow(SoupServerMessage *message, const char *allow)
{
    if (allow)
        soup_message_headers_replace(soup_server_message_get_response_headers(message), "Allow", allow);
}

/* libsoup calls it when the body is complete. */
static void on_request(SoupServer *http, SoupServerMessage *message, const char *path, GHashTable *parameters,
                       void *user)
{
    struct server *server = user;
    const struct origin_request page = {.host = header(message, "Host"),
                                        .origin = header(message, "Origin"),
                                        .fetch_site = header(message, "Sec-Fetch-Site")};
    int status = service_route(&server->service, sse_str(soup_server_message_get_method(message)),
                               sse_str(path), &page);
    struct service_query query;
    struct sse_emitter_options options;

    (void)http, (void)parameters;
    service_read_query(&query, sse_str(g_uri_get_query(soup_server_message_get_uri(message))),
                       header(message, "Last-Event-ID"));
    if (status == SERVICE_STREAM) {
        options = service_emitter_options(&server->service, &query);
        options.loop = server->streams;
        answer_with_stream(message, options);
    } else if (status == SERVICE_HEAD) {
        answer_head(message);
    } else {
        add_allow(message, service_allow(status, sse_str(path)));
        answer(message, status == SERVICE_PUBLISH ? publish(message, &query) : status);
    }
}

static gboolean cut_off(void *connection)
{
    g_socket_shutdown(g_socket_connection_get_socket(connection), TRUE, TRUE, NULL);
    return G_SOURCE_REMOVE;
}

static void drop_source(void *source)
{
    g_source_destroy(source);
    g_source_unref(source);
}

/* libsoup itself has no time limit for a request. The timer is freed with the connection, which a stream releases
 * at its beginning. */
static void limit_time(GSocketConnection *connection)
{
    GSource *deadline = g_timeout_source_new_seconds(REQUEST_SECONDS);

    g_source_set_callback(deadline, cut_off, connection, NULL);
    g_source_attach(deadline, NULL);
    g_object_set_data_full(G_OBJECT(connection), "deadline", deadline, drop_source);
}

static void serve_connection(struct server *server, GSocket *socket)
{
    GSocketConnection *connection = g_socket_connection_factory_create_connection(socket);
    GSocketAddress *local = g_socket_connection_get_local_address(connection, NULL);
    GSocketAddress *remote = g_socket_connection_get_remote_address(connection, NULL);

    limit_time(connection);
    if (local && remote)
        soup_server_accept_iostream(server->http, G_IO_STREAM(connection), local, remote, NULL);
    g_clear_object(&local);
    g_clear_object(&remote);
    g_object_unref(connection);
}

static gboolean on_connection(int listener, GIOCondition what, void *user);

static gboolean accept_again(void *user)
{
    struct server *server = user;

    g_unix_fd_add(server->listener, G_IO_IN, on_connection, server);
    return G_SOURCE_REMOVE;
}

/* This program accepts itself, because libsoup's listener stops for ever once descriptors have run out. */
static gboolean on_connection(int listener, GIOCondition what, void *user)
{
    struct server *server = user;
    int fd = accept(listener, NULL, NULL);
    GSocket *socket = fd < 0 ? NULL : g_socket_new_from_fd(fd, NULL);

    (void)what;
    if (fd < 0 && service_must_pause(&server->service, errno)) {
        g_timeout_add(SERVICE_PAUSE_MS, accept_again, server);
        return G_SOURCE_REMOVE;
    }
    if (socket) {
        serve_connection(server, socket);
        g_object_unref(socket);
    } else if (fd >= 0) {
        close(fd);
    }
    return G_SOURCE_CONTINUE;
}

static int listen_on(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, SOMAXCONN) ? -1 : fd;
}

static void wake(void *user)
{
    (void)user;
    g_main_context_wakeup(NULL);
}

int main(int argc, char **argv)
{
    static struct server server;
    GSource *streams;

    if (sse_loop_new(&server.streams, NULL))
        return 1;
    service_open(&server.service, argc, argv, wake, NULL);
    server.listener = listen_on(server.service.port);
    if (server.listener < 0) {
        perror("listen");
        return 1;
    }
    server.http = soup_server_new(NULL, NULL);
    soup_server_add_handler(server.http, NULL, on_request, &server, NULL);
    g_signal_connect(server.http, "request-started", G_CALLBACK(on_begin), &server);
    streams = watch_streams(server.streams, NULL);
    accept_again(&server);
    while (!service_is_over(&server.service))
        g_main_context_iteration(NULL, TRUE);
    g_source_destroy(streams);
    g_source_unref(streams);
    soup_server_disconnect(server.http);
    g_object_unref(server.http);
    close(server.listener);
    service_close(&server.service);
    sse_loop_free(server.streams);
    return 0;
}
