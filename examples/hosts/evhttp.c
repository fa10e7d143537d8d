/* SPDX-License-Identifier: MIT */
/*
 * libevent's evhttp: PULL, without copying. The loop's thread hands over a chunk and takes the next
 * when that one has been written; other threads make an event of the loop active.
 */
#include "service.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/thread.h>
#include <stdio.h>
#include <stdlib.h>

/* -- the adapter ---------------------------------------------------------------------------- */

#define CHUNK_PIECES 16
/* A slow client has stall_ms for each chunk. */
#define CHUNK_SIZE ((size_t)64 << 10)

struct stream {
    struct sse_emitter *emitter;
    struct evhttp_request *request;
    struct service *service;
    size_t writing; /* bytes that evhttp has and the socket has not */
    bool ended;     /* the request is evhttp's again */
};

static void pump(struct stream *stream);

/* Advanced only now: so a stalled client is seen by the emitter's timers. */
static void on_written(struct evhttp_connection *connection, void *user)
{
    struct stream *stream = user;

    (void)connection;
    (void)sse_emitter_advance(stream->emitter, stream->writing);
    stream->writing = 0;
    pump(stream);
}

static void write_chunk(struct stream *stream, const struct iovec *iov, int count)
{
    struct evbuffer *chunk = evbuffer_new();

    for (int i = 0; chunk && i < count && stream->writing < CHUNK_SIZE; i++) {
        size_t room = CHUNK_SIZE - stream->writing;
        size_t size = iov[i].iov_len < room ? iov[i].iov_len : room;

        if (evbuffer_add_reference(chunk, iov[i].iov_base, size, NULL, NULL))
            break;
        stream->writing += size;
    }
    if (stream->writing)
        evhttp_send_reply_chunk_with_cb(stream->request, chunk, on_written, stream);
    else
        (void)sse_emitter_complete_with_error(stream->emitter, -ENOMEM);
    if (chunk)
        evbuffer_free(chunk);
}

/* The stream may be gone when this returns. */
static void pump(struct stream *stream)
{
    struct iovec iov[CHUNK_PIECES];
    int result;

    if (stream->ended)
        return;
    /* What was peeked at stays where it is until it is written; flush only tells of a failure. */
    result = stream->writing ? sse_emitter_flush(stream->emitter)
                             : sse_emitter_peek(stream->emitter, iov, CHUNK_PIECES);
    if (result == -ESHUTDOWN) {
        stream->ended = true;
        /* For the last chunk. */
        evhttp_connection_set_timeout(evhttp_request_get_connection(stream->request), 2);
        evhttp_send_reply_end(stream->request);
    } else if (result < 0) {
        evhttp_connection_free(evhttp_request_get_connection(stream->request));
    } else if (result > 0 && !stream->writing) {
        write_chunk(stream, iov, result);
    }
}

/* The one way out: the response says Connection: close, so that its end comes here as well. */
static void close_stream(struct evhttp_connection *connection, void *user)
{
    struct stream *stream = user;

    (void)connection;
    /* A connection that failed has let go of its request. */
    if (!stream->ended && !evhttp_request_get_connection(stream->request))
        evhttp_request_free(stream->request);
    service_end_stream(stream->service);
    (void)sse_emitter_complete_with_error(stream->emitter, -ECONNRESET);
    (void)sse_emitter_detach(stream->emitter);
    sse_emitter_unref(stream->emitter);
}

static void start_stream(struct stream *stream)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(stream->request);
    struct bufferevent *socket = evhttp_connection_get_bufferevent(connection);
    struct evkeyvalq *head = evhttp_request_get_output_headers(stream->request);
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    for (ssize_t i = 0; i < count; i++)
        evhttp_add_header(head, headers[i].name.ptr, headers[i].value.ptr);
    evhttp_add_header(head, "Connection", "close");
    evhttp_connection_set_closecb(connection, close_stream, stream);
    service_begin_stream(stream->service);
    /* Nobody reads what such a client sends, and it may well send nothing for ever. */
    bufferevent_setwatermark(socket, EV_READ, 0, 4096);
    bufferevent_set_timeouts(socket, NULL, NULL);
    evhttp_send_reply_start(stream->request, 200, "OK");
    pump(stream);
}

/* In the loop's thread, after on_wake has made an event active. */
static void pump_ready(struct sse_registry *registry)
{
    struct sse_emitter *emitter;

    while ((emitter = sse_registry_next_ready(registry))) {
        pump(sse_emitter_user(emitter));
        sse_emitter_unref(emitter);
    }
}

/* -- the server ----------------------------------------------------------------------------- */

struct server {
    struct service service;
    struct event_base *base;
    struct event *wake;
    struct event *timer;
};

static void wake(void *user)
{
    struct server *server = user;

    event_active(server->wake, EV_READ, 0);
}

static void turn(evutil_socket_t fd, short what, void *user)
{
    struct server *server = user;
    bool serving = service_turn(&server->service);
    int timeout;

    (void)fd, (void)what;
    pump_ready(server->service.registry);
    timeout = service_timeout(&server->service);
    if (timeout >= 0)
        event_add(server->timer, &(struct timeval){timeout / 1000, timeout % 1000 * 1000});
    if (!serving)
        event_base_loopbreak(server->base);
}

static void answer(struct evhttp_request *request, int status)
{
    evhttp_send_reply(request, status, NULL, NULL);
}

/* The text belongs to `query`. */
static const char *find_topic(struct evhttp_request *request, struct evkeyvalq *query)
{
    const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));

    (void)evhttp_parse_query_str(text ? text : "", query);
    return evhttp_find_header(query, "topic");
}

static void on_events(struct evhttp_request *request, void *user)
{
    struct server *server = user;
    struct sse_emitter_options options = service_emitter_options(&server->service);
    struct stream *stream = calloc(1, sizeof(*stream));
    struct evkeyvalq query;
    int error;

    if (evhttp_request_get_command(request) != EVHTTP_REQ_GET || !stream) {
        answer(request, stream ? 405 : 503);
        free(stream);
        return;
    }
    *stream = (struct stream){.request = request, .service = &server->service};
    options.drain = SSE_DRAIN_PULL;
    options.on_release = free;
    options.user = stream;
    error = sse_emitter_new(&stream->emitter, &options);
    if (error) {
        answer(request, 503);
        free(stream);
        return;
    }
    error = service_subscribe(&server->service, stream->emitter, find_topic(request, &query),
                              evhttp_find_header(evhttp_request_get_input_headers(request), "Last-Event-ID"));
    evhttp_clear_headers(&query);
    if (!error) {
        start_stream(stream);
        return;
    }
    answer(request, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
    sse_emitter_unref(stream->emitter);
}

static void on_publish(struct evhttp_request *request, void *user)
{
    struct server *server = user;
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    struct evkeyvalq query;
    const char *topic;

    if (evhttp_request_get_command(request) != EVHTTP_REQ_POST) {
        answer(request, 405);
        return;
    }
    topic = find_topic(request, &query);
    answer(request, service_publish(&server->service, topic, (const char *)evbuffer_pullup(body, -1),
                                    evbuffer_get_length(body)));
    evhttp_clear_headers(&query);
}

int main(int argc, char **argv)
{
    struct server server = {0};
    struct evhttp *http;

    if (evthread_use_pthreads() || !(server.base = event_base_new()))
        return 1;
    server.wake = event_new(server.base, -1, 0, turn, &server);
    server.timer = event_new(server.base, -1, 0, turn, &server);
    http = evhttp_new(server.base);
    if (!server.wake || !server.timer || !http)
        return 1;
    service_open(&server.service, argc, argv, wake, &server);
    evhttp_set_max_headers_size(http, 16384);
    evhttp_set_max_body_size(http, (ev_ssize_t)SSE_EVENT_SIZE_MAX);
    evhttp_set_cb(http, "/events", on_events, &server);
    evhttp_set_cb(http, "/publish", on_publish, &server);
    if (evhttp_bind_socket(http, "127.0.0.1", (uint16_t)server.service.port)) {
        perror("listen");
        return 1;
    }
    event_base_loop(server.base, EVLOOP_NO_EXIT_ON_EMPTY);
    evhttp_free(http);
    service_close(&server.service);
    event_free(server.timer);
    event_free(server.wake);
    event_base_free(server.base);
    libevent_global_shutdown();
    return 0;
}
