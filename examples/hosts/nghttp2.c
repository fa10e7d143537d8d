/* SPDX-License-Identifier: MIT */
/*
 * nghttp2 in a poll loop, HTTP/2 over cleartext: PULL. Many streams share a connection, and its one
 * thread; the registry's wake brings the loop to the emitters that are ready, and each resumes its stream.
 */
#include "query.h"
#include "service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* -- the adapter ---------------------------------------------------------------------------- */

struct stream {
    struct sse_emitter *emitter;
    nghttp2_session *session;
    int32_t id;
};

/* Called only while the peer's window and the socket have room: nothing piles up in nghttp2. */
static ssize_t read_stream(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct stream *stream = source->ptr;
    ssize_t result = sse_emitter_read(stream->emitter, buffer, size);

    (void)session, (void)id, (void)user;
    if (!result)
        return NGHTTP2_ERR_DEFERRED;
    if (result == -ESHUTDOWN)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (result < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return result > 0 ? result : 0;
}

/* A stream whose window is closed reads no more, and would not learn that it was cut off. */
static void resume(struct sse_emitter *emitter)
{
    struct stream *stream = sse_emitter_user(emitter);
    int state = sse_emitter_flush(emitter);

    if (state < 0 && state != -ESHUTDOWN)
        nghttp2_submit_rst_stream(stream->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_INTERNAL_ERROR);
    else
        nghttp2_session_resume_data(stream->session, stream->id);
}

static void resume_ready(const struct service *service)
{
    struct sse_emitter *emitter;

    while ((emitter = sse_registry_next_ready(service->registry))) {
        resume(emitter);
        sse_emitter_unref(emitter);
    }
}

/* nghttp2 has closed the stream, or the response never began. */
static void close_stream(struct stream *stream)
{
    (void)sse_emitter_complete_with_error(stream->emitter, -ECONNRESET);
    sse_emitter_detach(stream->emitter);
    sse_emitter_unref(stream->emitter);
}

static struct stream *open_stream(const struct service *service, nghttp2_session *session, int32_t id)
{
    struct sse_emitter_options options = service_emitter_options(service);
    struct stream *stream = malloc(sizeof(*stream));

    if (!stream)
        return NULL;
    *stream = (struct stream){.session = session, .id = id};
    options.drain = SSE_DRAIN_PULL;
    options.on_release = free;
    options.user = stream;
    if (!sse_emitter_new(&stream->emitter, &options))
        return stream;
    free(stream);
    return NULL;
}

/* -- the server ----------------------------------------------------------------------------- */

#define BODY_SIZE_MAX (1024 * 1024)
#define CLOSING_MS 1000

struct request {
    struct request *next;
    struct request **link;
    struct stream *stream;
    char *method;
    char *path;
    char *last_event_id;
    char *body;
    size_t size;
};

struct connection {
    struct connection *next;
    struct service *service;
    nghttp2_session *session;
    struct request *requests;
    int fd;
};

struct server {
    struct service service;
    nghttp2_session_callbacks *callbacks;
    struct connection *connections;
    size_t count;
    struct pollfd *polled;
    int wake[2];
    int listener;
};

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .value = (uint8_t *)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static int answer(nghttp2_session *session, int32_t id, int status)
{
    char text[] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10), 0};
    const nghttp2_nv field = header(":status", text);

    return nghttp2_submit_response(session, id, &field, 1, NULL);
}

static int answer_with_stream(struct connection *connection, struct request *request, int32_t id,
                              const char *topic)
{
    struct stream *stream = open_stream(connection->service, connection->session, id);
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_stream};
    nghttp2_nv fields[SERVICE_HEADERS + 1] = {header(":status", "200")};
    int error;

    if (!stream)
        return answer(connection->session, id, 503);
    request->stream = stream;
    error = service_subscribe(connection->service, stream->emitter, topic, request->last_event_id);
    if (error)
        return answer(connection->session, id, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
    for (ssize_t i = 0; i < count; i++)
        fields[i + 1] = header(headers[i].name.ptr, headers[i].value.ptr);
    return nghttp2_submit_response(connection->session, id, fields, (size_t)count + 1, &provider);
}

static int handle(struct connection *connection, struct request *request, int32_t id)
{
    const char *query = request->path ? strchr(request->path, '?') : NULL;
    size_t size = query ? (size_t)(query - request->path) : request->path ? strlen(request->path) : 0;
    char buffer[SSE_TOPIC_SIZE_MAX + 1];
    const char *topic = query_topic(query ? query + 1 : NULL, buffer);

    if (!request->path || !request->method)
        return answer(connection->session, id, 400);
    if (size == 7 && !memcmp(request->path, "/events", size) && !strcmp(request->method, "GET"))
        return answer_with_stream(connection, request, id, topic);
    if (size != 8 || memcmp(request->path, "/publish", size) || strcmp(request->method, "POST"))
        return answer(connection->session, id, 404);
    return answer(connection->session, id,
                  service_publish(connection->service, topic, request->body, request->size));
}

static void forget(struct request *request)
{
    *request->link = request->next;
    if (request->next)
        request->next->link = request->link;
    if (request->stream)
        close_stream(request->stream);
    free(request->method);
    free(request->path);
    free(request->last_event_id);
    free(request->body);
    free(request);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct connection *connection = user;
    struct request *request;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    request = calloc(1, sizeof(*request));
    if (!request)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    request->link = &connection->requests;
    request->next = connection->requests;
    if (request->next)
        request->next->link = &request->next;
    connection->requests = request;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, request);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t size, uint8_t flags, void *user)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    char **text = NULL;

    (void)name_size, (void)flags, (void)user;
    if (!request)
        return 0;
    if (!strcmp((const char *)name, ":method"))
        text = &request->method;
    else if (!strcmp((const char *)name, ":path"))
        text = &request->path;
    else if (!strcmp((const char *)name, "last-event-id"))
        text = &request->last_event_id;
    if (!text || *text)
        return 0;
    *text = strndup((const char *)value, size);
    return *text ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *user)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, id);
    char *grown = NULL;

    (void)flags, (void)user;
    if (!request)
        return 0;
    if (request->size + size <= BODY_SIZE_MAX)
        grown = realloc(request->body, request->size + size + 1);
    if (!grown)
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_ENHANCE_YOUR_CALM);
    memcpy(grown + request->size, data, size);
    request->body = grown;
    request->size += size;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    const bool whole = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;

    if (!request || !whole || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    return handle(user, request, frame->hd.stream_id);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct request *request = nghttp2_session_get_stream_user_data(session, id);

    (void)error, (void)user;
    if (request)
        forget(request);
    return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags, void *user)
{
    struct connection *connection = user;
    ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL);

    (void)session, (void)flags;
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? NGHTTP2_ERR_WOULDBLOCK
                                                                     : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void open_connection(struct server *server)
{
    const nghttp2_settings_entry settings = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000};
    int fd = accept(server->listener, NULL, NULL);
    struct connection *connection = fd < 0 ? NULL : calloc(1, sizeof(*connection));
    struct pollfd *grown = realloc(server->polled, (server->count + 3) * sizeof(*grown));

    if (grown)
        server->polled = grown;
    if (!connection || !grown ||
        nghttp2_session_server_new(&connection->session, server->callbacks, connection)) {
        free(connection);
        if (fd >= 0)
            close(fd);
        return;
    }
    set_nonblocking(fd);
    connection->fd = fd;
    connection->service = &server->service;
    connection->next = server->connections;
    server->connections = connection;
    server->count++;
    nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, &settings, 1);
}

/* nghttp2_session_del tells of no stream that it closes. */
static void close_connection(struct server *server, struct connection **link)
{
    struct connection *connection = *link;

    *link = connection->next;
    server->count--;
    while (connection->requests)
        forget(connection->requests);
    nghttp2_session_del(connection->session);
    close(connection->fd);
    free(connection);
}

/* Whether the connection goes on. */
static bool receive(struct connection *connection)
{
    uint8_t buffer[16384];
    ssize_t size = recv(connection->fd, buffer, sizeof(buffer), 0);

    if (size < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return size && nghttp2_session_mem_recv(connection->session, buffer, (size_t)size) >= 0;
}

/* Sends what can be sent, closes what is done with, and says what to wait for. */
static nfds_t prepare(struct server *server)
{
    struct connection **link = &server->connections;
    nfds_t count = 2;

    server->polled[0] = (struct pollfd){.fd = server->wake[0], .events = POLLIN};
    server->polled[1] = (struct pollfd){.fd = server->listener, .events = POLLIN};
    while (*link) {
        struct connection *connection = *link;
        bool failed = nghttp2_session_send(connection->session);
        int writing = nghttp2_session_want_write(connection->session);

        if (failed || (!writing && !nghttp2_session_want_read(connection->session))) {
            close_connection(server, link);
            continue;
        }
        server->polled[count++] =
            (struct pollfd){.fd = connection->fd, .events = (short)(POLLIN | (writing ? POLLOUT : 0))};
        link = &connection->next;
    }
    return count;
}

static void turn(struct server *server, int timeout_ms)
{
    struct connection **link = &server->connections;
    nfds_t count = prepare(server);
    char bytes[64];

    if (poll(server->polled, count, timeout_ms) <= 0)
        return;
    if (server->polled[0].revents)
        while (read(server->wake[0], bytes, sizeof(bytes)) > 0)
            continue;
    for (nfds_t i = 2; i < count; i++) {
        if (server->polled[i].revents & ~POLLOUT && !receive(*link))
            close_connection(server, link);
        else
            link = &(*link)->next;
    }
    if (server->polled[1].revents)
        open_connection(server);
}

/* A pipe that is full wakes as well. */
static void wake(void *user)
{
    const struct server *server = user;
    ssize_t written = write(server->wake[1], "", 1);

    (void)written;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The last frames, as far as the clients take them, and then GOAWAY. */
static void say_goodbye(struct server *server)
{
    const int64_t end = now_ms() + CLOSING_MS;

    for (struct connection *connection = server->connections; connection; connection = connection->next)
        nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(connection->session), NGHTTP2_NO_ERROR,
                              NULL, 0);
    for (int64_t now = now_ms(); server->connections && now < end; now = now_ms())
        turn(server, (int)(end - now));
    while (server->connections)
        close_connection(server, &server->connections);
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks))
        return NULL;
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    return callbacks;
}

static int listen_on(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, SOMAXCONN))
        return -1;
    set_nonblocking(fd);
    return fd;
}

int main(int argc, char **argv)
{
    struct server server = {.polled = calloc(2, sizeof(struct pollfd)), .callbacks = make_callbacks()};

    if (!server.polled || !server.callbacks || pipe(server.wake))
        return 1;
    set_nonblocking(server.wake[0]);
    set_nonblocking(server.wake[1]);
    service_open(&server.service, argc, argv, wake, &server);
    server.listener = listen_on(server.service.port);
    if (server.listener < 0) {
        perror("listen");
        return 1;
    }
    while (service_turn(&server.service)) {
        resume_ready(&server.service);
        turn(&server, service_timeout(&server.service));
    }
    resume_ready(&server.service);
    say_goodbye(&server);
    service_close(&server.service);
    close(server.listener);
    close(server.wake[0]);
    close(server.wake[1]);
    nghttp2_session_callbacks_del(server.callbacks);
    free(server.polled);
    return 0;
}
