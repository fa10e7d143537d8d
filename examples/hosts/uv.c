/* SPDX-License-Identifier: MIT */
/*
 * libuv: output PULL without copying, in a driven loop. The callback of a write consumes the written bytes and
 * writes the next ones. libuv has no HTTP, so http-parser reads the requests, and the emitter writes the head.
 */
#include "request.h"
#include "socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

/* -- the adapter ---------------------------------------------------------------------------- */

#define WRITE_PIECES 16
/* A slow client must accept this many bytes within stall_ms. */
#define WRITE_SIZE ((size_t)64 << 10)

struct stream {
    struct sse_emitter *emitter;
    uv_stream_t *socket; /* NULL once it is closed */
    uv_close_cb on_close;
    uv_write_t write;
    size_t writing;
};

static void write_more(struct stream *stream);

/* Consumes the bytes only now, so that the emitter's timers notice a stalled client. */
static void on_written(uv_write_t *write, int status)
{
    struct stream *stream = write->data;

    if (status) {
        (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
        return;
    }
    (void)sse_emitter_consume(stream->emitter, stream->writing);
    write_more(stream);
}

/* service.c ignores SIGPIPE, which a write to a client that is gone raises. Your program must ignore it too. */
static void write_more(struct stream *stream)
{
    struct iovec shown[WRITE_PIECES];
    uv_buf_t pieces[WRITE_PIECES];
    int count = sse_emitter_peek(stream->emitter, shown, WRITE_PIECES);
    unsigned n;

    stream->writing = 0;
    for (n = 0; (int)n < count && stream->writing < WRITE_SIZE; n++) {
        size_t room = WRITE_SIZE - stream->writing;

        pieces[n].base = shown[n].iov_base;
        pieces[n].len = shown[n].iov_len < room ? shown[n].iov_len : room;
        stream->writing += pieces[n].len;
    }
    if (n && uv_write(&stream->write, stream->socket, pieces, n, on_written))
        (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    (void)emitter, (void)what;
    write_more(user);
}

/* Every byte was written, or the rest never will be. libuv reads the client's input all the time, so closing does
 * not reset the connection. */
static void end_stream(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct stream *stream = user;

    (void)emitter;
    service_report(completion);
    if (stream->socket && !uv_is_closing((uv_handle_t *)stream->socket))
        uv_close((uv_handle_t *)stream->socket, stream->on_close);
}

/* The socket is closed, by either side. */
static void close_stream(struct stream *stream)
{
    stream->socket = NULL;
    (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
    sse_emitter_close(stream->emitter);
}

/* `on_close` is the callback of the socket. It must call close_stream. */
static int open_stream(struct stream **opened, struct sse_emitter_options options, uv_stream_t *socket,
                       uv_close_cb on_close)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    uv_os_fd_t fd;
    int error;

    if (!stream)
        return -ENOMEM;
    *stream = (struct stream){.socket = socket, .on_close = on_close, .write.data = stream};
    options.output = SSE_OUTPUT_PULL;
    options.on_ready = on_ready;
    options.on_completion = end_stream;
    options.on_release = free;
    options.user = stream;
    error = sse_emitter_new(&stream->emitter, &options, NULL);
    if (error) {
        free(stream);
        return error;
    }
    if (!uv_fileno((uv_handle_t *)socket, &fd))
        socket_set_options(fd);
    *opened = stream;
    return 0;
}

/* -- the server ----------------------------------------------------------------------------- */

/* The time limit for a request, and for the client to read its answer. */
#define REQUEST_MS 10000

struct server {
    struct service service;
    struct sse_loop *streams;
    struct connection *first; /* connections that are not streams, the oldest first */
    struct connection **last;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t wake;
    uv_timer_t timer;
    uv_timer_t request_timer;
    uv_timer_t pause_timer;
    char input[65536];
};

struct connection {
    uv_tcp_t socket;
    struct connection *next;
    struct connection **link; /* NULL: it is a stream, or is being closed */
    uint64_t end;
    struct request request;
    struct stream *stream;
    uv_write_t write;
    uv_write_t write_continue;
    uv_shutdown_t shutdown;
    char answer[REQUEST_ANSWER_SIZE];
    bool answered;
};

static void on_deadline(uv_timer_t *timer);

/* All connections have the same time limit, so the first one in the list is the next to expire. */
static void limit_time(struct server *server, struct connection *connection)
{
    connection->end = uv_now(&server->loop) + REQUEST_MS;
    connection->link = server->last;
    *server->last = connection;
    server->last = &connection->next;
    if (server->first == connection)
        uv_timer_start(&server->request_timer, on_deadline, REQUEST_MS, 0);
}

static void lift_limit(struct server *server, struct connection *connection)
{
    if (!connection->link)
        return;
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    else
        server->last = connection->link;
    connection->link = NULL;
}

static void on_closed(uv_handle_t *socket)
{
    struct connection *connection = socket->data;

    lift_limit(socket->loop->data, connection);
    if (connection->stream)
        close_stream(connection->stream);
    request_free(&connection->request);
    free(connection);
}

static void close_connection(struct connection *connection)
{
    uv_handle_t *socket = (uv_handle_t *)&connection->socket;

    lift_limit(socket->loop->data, connection);
    if (!uv_is_closing(socket))
        uv_close(socket, on_closed);
}

static void on_deadline(uv_timer_t *timer)
{
    struct server *server = timer->loop->data;
    const uint64_t now = uv_now(timer->loop);

    while (server->first && server->first->end <= now)
        close_connection(server->first);
    if (server->first)
        uv_timer_start(timer, on_deadline, server->first->end - now, 0);
}

/* The client must close first, because closing a socket with unread input resets the connection, and the client
 * would lose the answer. */
static void on_answered(uv_write_t *write, int status)
{
    struct connection *connection = write->handle->data;

    if (status || uv_shutdown(&connection->shutdown, write->handle, NULL))
        close_connection(connection);
}

static void send_answer(struct connection *connection, size_t size)
{
    const uv_buf_t text = uv_buf_init(connection->answer, (unsigned)size);

    connection->answered = true;
    if (uv_write(&connection->write, (uv_stream_t *)&connection->socket, &text, 1, on_answered))
        close_connection(connection);
}

static void send_continue(struct connection *connection)
{
    const uv_buf_t text = uv_buf_init((char *)request_continue, (unsigned)strlen(request_continue));

    if (uv_write(&connection->write_continue, (uv_stream_t *)&connection->socket, &text, 1, NULL))
        close_connection(connection);
}

static void answer_with_stream(struct connection *connection, struct server *server)
{
    struct request *request = &connection->request;
    const struct sse_http_options http = request_http_options(request);
    struct sse_emitter_options options = service_emitter_options(&server->service, &request->query);
    int error;

    options.loop = server->streams;
    options.http = &http;
    error = open_stream(&connection->stream, options, (uv_stream_t *)&connection->socket, on_closed);
    if (error)
        send_answer(connection, request_refuse(request, connection->answer, error));
    else
        lift_limit(server, connection);
}

static void answer(struct connection *connection, struct server *server)
{
    int status = request_serve(&connection->request);

    if (status == SERVICE_STREAM)
        answer_with_stream(connection, server);
    else
        send_answer(connection, request_answer(&connection->request, connection->answer, status));
}

static void on_read(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    struct connection *connection = socket->data;
    enum request_progress progress;

    if (size < 0)
        close_connection(connection);
    if (size <= 0 || connection->stream || connection->answered)
        return;
    progress = request_read(&connection->request, buffer->base, (size_t)size);
    if (progress == REQUEST_CONTINUE)
        send_continue(connection);
    else if (progress == REQUEST_DECIDED)
        answer(connection, socket->loop->data);
}

/* One buffer is enough, because each piece is handled before the next one is read. */
static void give_buffer(uv_handle_t *socket, size_t size, uv_buf_t *buffer)
{
    struct server *server = socket->loop->data;

    (void)size;
    *buffer = uv_buf_init(server->input, sizeof(server->input));
}

static void on_pause_end(uv_timer_t *timer);

/* Until this connection is accepted, libuv reports no other one. */
static void accept_connection(struct server *server)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection || uv_tcp_init(&server->loop, &connection->socket)) {
        free(connection);
        (void)service_must_pause(&server->service, ENOMEM);
        uv_timer_start(&server->pause_timer, on_pause_end, SERVICE_PAUSE_MS, 0);
        return;
    }
    request_init(&connection->request, &server->service);
    connection->socket.data = connection;
    limit_time(server, connection);
    if (uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&connection->socket) ||
        uv_read_start((uv_stream_t *)&connection->socket, give_buffer, on_read))
        close_connection(connection);
}

static void on_pause_end(uv_timer_t *timer)
{
    accept_connection(timer->loop->data);
}

/* Without free descriptors, libuv accepts with a spare descriptor and closes the connection. */
static void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->loop->data;

    if (status)
        (void)service_must_pause(&server->service, -status);
    else
        accept_connection(server);
}

static void close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, handle->data ? on_closed : NULL);
}

static void wake(void *user)
{
    struct server *server = user;

    uv_async_send(&server->wake);
}

static void on_loop_wake(struct sse_loop *streams, void *user)
{
    (void)streams;
    wake(user);
}

static void on_timer(uv_timer_t *timer)
{
    wake(timer->loop->data);
}

static void turn(uv_async_t *async)
{
    struct server *server = async->loop->data;
    int timeout = sse_loop_turn(server->streams);

    /* A timer of 0 would run again before libuv checks its sockets. */
    if (!timeout)
        wake(server);
    uv_update_time(&server->loop);
    if (timeout > 0)
        uv_timer_start(&server->timer, on_timer, (uint64_t)timeout, 0);
    if (service_is_over(&server->service))
        uv_walk(&server->loop, close_handle, NULL);
}

static int listen_on(struct server *server, int port)
{
    struct sockaddr_in address;
    int error = uv_tcp_init(&server->loop, &server->listener);

    if (!error)
        error = uv_ip4_addr("127.0.0.1", port, &address);
    if (!error)
        error = uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0);
    if (!error)
        error = uv_listen((uv_stream_t *)&server->listener, SOMAXCONN, on_connection);
    if (error)
        fprintf(stderr, "listen: %s\n", uv_strerror(error));
    return error;
}

int main(int argc, char **argv)
{
    static struct server server;
    const struct sse_loop_options options = {
        .size = sizeof(options), .on_wake = on_loop_wake, .user = &server};

    if (uv_loop_init(&server.loop) || sse_loop_new(&server.streams, &options))
        return 1;
    server.loop.data = &server;
    if (uv_async_init(&server.loop, &server.wake, turn) || uv_timer_init(&server.loop, &server.timer) ||
        uv_timer_init(&server.loop, &server.request_timer) ||
        uv_timer_init(&server.loop, &server.pause_timer))
        return 1;
    server.last = &server.first;
    service_open(&server.service, argc, argv, wake, &server);
    if (listen_on(&server, server.service.port))
        return 1;
    uv_run(&server.loop, UV_RUN_DEFAULT);
    service_close(&server.service);
    sse_loop_free(server.streams);
    return uv_loop_close(&server.loop) ? 1 : 0;
}
