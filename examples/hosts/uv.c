/* SPDX-License-Identifier: MIT */
/*
 * libuv: PULL, without copying. The loop's thread writes, and advances when that has been written;
 * other threads wake it with uv_async_send. libuv has no HTTP: http-parser reads the requests.
 */
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

/* -- the adapter ---------------------------------------------------------------------------- */

#define WRITE_PIECES 16
/* A slow client has stall_ms for so much. */
#define WRITE_SIZE ((size_t)64 << 10)

struct stream {
    struct sse_emitter *emitter;
    uv_stream_t *socket;
    uv_close_cb on_close;
    uv_write_t write;
    size_t writing;
};

static void pump(struct stream *stream);

/* Advanced only now: so a stalled client is seen by the emitter's timers. */
static void on_written(uv_write_t *write, int status)
{
    struct stream *stream = write->data;

    if (status)
        (void)sse_emitter_complete_with_error(stream->emitter, -ECONNRESET);
    else
        (void)sse_emitter_advance(stream->emitter, stream->writing);
    stream->writing = 0;
    pump(stream);
}

static int write_pieces(struct stream *stream, const struct iovec *iov, int count)
{
    uv_buf_t pieces[WRITE_PIECES];
    unsigned n;

    for (n = 0; n < (unsigned)count && stream->writing < WRITE_SIZE; n++) {
        size_t room = WRITE_SIZE - stream->writing;

        pieces[n].base = iov[n].iov_base;
        pieces[n].len = iov[n].iov_len < room ? iov[n].iov_len : room;
        stream->writing += pieces[n].len;
    }
    return uv_write(&stream->write, stream->socket, pieces, n, on_written);
}

/* What the client sends is read all the while, so that closing does not cut off what was written. */
static void pump(struct stream *stream)
{
    struct iovec iov[WRITE_PIECES];
    int result;

    if (uv_is_closing((uv_handle_t *)stream->socket))
        return;
    /* What was peeked at stays where it is until it is written; flush only tells of a failure. */
    result = stream->writing ? sse_emitter_flush(stream->emitter)
                             : sse_emitter_peek(stream->emitter, iov, WRITE_PIECES);
    if (result > 0 && !stream->writing)
        result = write_pieces(stream, iov, result);
    if (result < 0)
        uv_close((uv_handle_t *)stream->socket, stream->on_close);
}

/* The loop's thread, after on_wake has called uv_async_send. */
static void pump_ready(struct sse_registry *registry)
{
    struct sse_emitter *emitter;

    while ((emitter = sse_registry_next_ready(registry))) {
        pump(sse_emitter_user(emitter));
        sse_emitter_unref(emitter);
    }
}

static void close_stream(struct stream *stream)
{
    (void)sse_emitter_complete_with_error(stream->emitter, -ECONNRESET);
    (void)sse_emitter_detach(stream->emitter);
    sse_emitter_unref(stream->emitter);
}

/* `on_close` is for the socket, and calls close_stream. */
static struct stream *open_stream(struct sse_emitter_options options, uv_stream_t *socket,
                                  uv_close_cb on_close)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    stream->socket = socket;
    stream->on_close = on_close;
    stream->write.data = stream;
    options.drain = SSE_DRAIN_PULL;
    options.on_release = free;
    options.user = stream;
    if (!sse_emitter_new(&stream->emitter, &options))
        return stream;
    free(stream);
    return NULL;
}

/* -- the server ----------------------------------------------------------------------------- */

struct server {
    struct service service;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t wake;
    uv_timer_t timer;
    char input[65536];
};

struct connection {
    uv_tcp_t socket;
    struct request request;
    struct stream *stream;
    uv_write_t write;
    char answer[256];
    bool answered;
};

static void on_closed(uv_handle_t *socket)
{
    struct connection *connection = socket->data;

    if (connection->stream)
        close_stream(connection->stream);
    request_free(&connection->request);
    free(connection);
}

static void on_answered(uv_write_t *write, int status)
{
    uv_handle_t *socket = (uv_handle_t *)write->handle;

    (void)status;
    if (!uv_is_closing(socket))
        uv_close(socket, on_closed);
}

static void answer(struct connection *connection, int status)
{
    size_t size = request_answer(connection->answer, sizeof(connection->answer), status);
    const uv_buf_t text = uv_buf_init(connection->answer, (unsigned)size);

    connection->answered = true;
    if (uv_write(&connection->write, (uv_stream_t *)&connection->socket, &text, 1, on_answered))
        uv_close((uv_handle_t *)&connection->socket, on_closed);
}

static void answer_with_stream(struct connection *connection, struct service *service)
{
    struct sse_emitter_options options = service_emitter_options(service);
    struct request *request = &connection->request;
    char head[REQUEST_HEAD_SIZE];
    struct stream *stream;
    int error;

    request_frame(request, &options, head);
    stream = open_stream(options, (uv_stream_t *)&connection->socket, on_closed);
    if (!stream) {
        answer(connection, 503);
        return;
    }
    error = service_subscribe(service, stream->emitter, request->topic, request->last_event_id.data);
    if (error) {
        close_stream(stream);
        answer(connection, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
        return;
    }
    connection->stream = stream;
    pump(stream);
}

static void on_read(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    struct server *server = socket->loop->data;
    struct connection *connection = socket->data;
    int result;

    if (size < 0 && !uv_is_closing((uv_handle_t *)socket))
        uv_close((uv_handle_t *)socket, on_closed);
    if (size <= 0 || connection->stream || connection->answered)
        return;
    result = request_read(&connection->request, buffer->base, (size_t)size);
    if (!result)
        return;
    result = result < 0 ? 400 : request_serve(&connection->request, &server->service);
    if (result)
        answer(connection, result);
    else
        answer_with_stream(connection, &server->service);
}

/* Each piece has been looked at before the next one is read. */
static void give_buffer(uv_handle_t *socket, size_t size, uv_buf_t *buffer)
{
    struct server *server = socket->loop->data;

    (void)size;
    *buffer = uv_buf_init(server->input, sizeof(server->input));
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct connection *connection = status ? NULL : calloc(1, sizeof(*connection));

    if (!connection)
        return;
    request_init(&connection->request);
    if (uv_tcp_init(listener->loop, &connection->socket)) {
        free(connection);
        return;
    }
    connection->socket.data = connection;
    if (uv_accept(listener, (uv_stream_t *)&connection->socket) || uv_tcp_nodelay(&connection->socket, 1) ||
        uv_read_start((uv_stream_t *)&connection->socket, give_buffer, on_read))
        uv_close((uv_handle_t *)&connection->socket, on_closed);
}

static void close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, handle->data ? on_closed : NULL);
}

static void on_timer(uv_timer_t *timer);

static void turn(struct server *server)
{
    bool serving = service_turn(&server->service);
    int timeout;

    pump_ready(server->service.registry);
    timeout = service_timeout(&server->service);
    uv_update_time(&server->loop);
    if (timeout >= 0)
        uv_timer_start(&server->timer, on_timer, (uint64_t)timeout, 0);
    if (!serving)
        uv_walk(&server->loop, close_handle, NULL);
}

static void on_timer(uv_timer_t *timer)
{
    turn(timer->loop->data);
}

static void on_wake(uv_async_t *async)
{
    turn(async->loop->data);
}

static void wake(void *user)
{
    struct server *server = user;

    uv_async_send(&server->wake);
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

    if (uv_loop_init(&server.loop))
        return 1;
    server.loop.data = &server;
    if (uv_async_init(&server.loop, &server.wake, on_wake) || uv_timer_init(&server.loop, &server.timer))
        return 1;
    service_open(&server.service, argc, argv, wake, &server);
    if (listen_on(&server, server.service.port))
        return 1;
    uv_run(&server.loop, UV_RUN_DEFAULT);
    service_close(&server.service);
    return uv_loop_close(&server.loop) ? 1 : 0;
}
