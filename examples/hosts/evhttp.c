/* SPDX-License-Identifier: MIT */
/*
 * libevent's evhttp: output PULL without copying, in a driven loop. evhttp calls back when it has written a chunk,
 * and then gets the next one.
 */
#include "evhttp_limit.h"
#include "service.h"
#include "socket.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <event2/thread.h>
#include <stdio.h>
#include <stdlib.h>

/* -- the adapter ---------------------------------------------------------------------------- */

#define CHUNK_PIECES 16
/* A slow client must accept each chunk within stall_ms. */
#define CHUNK_SIZE ((size_t)64 << 10)

struct stream {
    struct sse_emitter *emitter;
    struct evhttp_request *request; /* NULL once the response has ended or the connection is closed */
    size_t writing;
};

static void write_more(struct stream *stream);

/* Consumes the bytes only now, so that the emitter's timers notice a stalled client. */
static void on_written(struct evhttp_connection *connection, void *user)
{
    struct stream *stream = user;

    (void)connection;
    (void)sse_emitter_consume(stream->emitter, stream->writing);
    write_more(stream);
}

/* service.c ignores SIGPIPE, which a write to a client that is gone raises. Your program must ignore it too. */
static void write_more(struct stream *stream)
{
    struct iovec shown[CHUNK_PIECES];
    int count = sse_emitter_peek(stream->emitter, shown, CHUNK_PIECES);
    struct evbuffer *chunk = count > 0 ? evbuffer_new() : NULL;

    stream->writing = 0;
    for (int i = 0; chunk && i < count && stream->writing < CHUNK_SIZE; i++) {
        size_t room = CHUNK_SIZE - stream->writing;
        size_t size = shown[i].iov_len < room ? shown[i].iov_len : room;

        if (evbuffer_add_reference(chunk, shown[i].iov_base, size, NULL, NULL))
            break;
        stream->writing += size;
    }
    if (stream->writing)
        evhttp_send_reply_chunk_with_cb(stream->request, chunk, on_written, stream);
    else if (count > 0)
        (void)sse_emitter_abort(stream->emitter, -ENOMEM);
    if (chunk)
        evbuffer_free(chunk);
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    (void)emitter, (void)what;
    write_more(user);
}

/* Every byte was written, or the rest never will be. */
static void end_stream(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct stream *stream = user;
    struct evhttp_request *request = stream->request;
    struct evhttp_connection *connection = request ? evhttp_request_get_connection(request) : NULL;

    (void)emitter;
    service_report(completion);
    if (connection && completion->error) {
        evhttp_connection_free(connection);
    } else if (connection) {
        stream->request = NULL;
        /* For the last chunk. */
        evhttp_connection_set_timeout(connection, 2);
        evhttp_send_reply_end(request);
    }
}

/* The only place where a stream is freed. The response says Connection: close, so its end is reported here as
 * well. */
static void close_stream(struct evhttp_connection *connection, void *user)
{
    struct stream *stream = user;

    (void)connection;
    /* evhttp has already freed the request of a connection that failed. */
    if (stream->request && !evhttp_request_get_connection(stream->request))
        evhttp_request_free(stream->request);
    stream->request = NULL;
    (void)sse_emitter_abort(stream->emitter, -ECONNRESET);
    sse_emitter_close(stream->emitter);
}

static void add_headers(struct evhttp_request *request)
{
    struct evkeyvalq *head = evhttp_request_get_output_headers(request);
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    for (ssize_t i = 0; i < count; i++)
        evhttp_add_header(head, headers[i].name.ptr, headers[i].value.ptr);
}

/* If a client of HTTP/1.0 asks to keep the connection open, evhttp would promise it, and a length of 0. */
static void end_connection(struct evhttp_request *request)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
    while (!evhttp_remove_header(evhttp_request_get_input_headers(request), "Connection"))
        continue;
}

static void send_head(struct stream *stream)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(stream->request);
    struct bufferevent *socket = evhttp_connection_get_bufferevent(connection);

    add_headers(stream->request);
    end_connection(stream->request);
    evhttp_connection_set_closecb(connection, close_stream, stream);
    /* Nobody needs the bytes that the client sends, so evhttp reads few of them. The client has no time-out,
     * because it may never send any. */
    bufferevent_setwatermark(socket, EV_READ, 0, 4096);
    bufferevent_set_timeouts(socket, NULL, NULL);
    socket_set_options(bufferevent_getfd(socket));
    evhttp_send_reply_start(stream->request, 200, "OK");
}

/* on_ready sends the first bytes in the loop's next turn. */
static int open_stream(struct sse_emitter_options options, struct evhttp_request *request)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    int error;

    if (!stream)
        return -ENOMEM;
    stream->request = request;
    options.output = SSE_OUTPUT_PULL;
    options.on_ready = on_ready;
    options.on_completion = end_stream;
    options.on_release = free;
    options.user = stream;
    error = sse_emitter_new(&stream->emitter, &options, NULL);
    if (error)
        free(stream);
    else
        send_head(stream);
    return error;
}

/* -- the server ----------------------------------------------------------------------------- */

/* For a client that sends nothing. evhttp counts from the last byte. */
#define IDLE_SECONDS 10
/* For a whole request. */
#define REQUEST_SECONDS 10

struct server {
    struct service service;
    struct sse_loop *streams;
    struct event_base *base;
    struct event *turn;
    struct event *resume; /* accepting */
    struct request_limit limit;
};

/* Static, because evhttp's listener passes no pointer of ours to its error callback. */
static struct server server;

static void wake(void *user)
{
    (void)user;
    event_active(server.turn, EV_READ, 0);
}

static void on_wake(struct sse_loop *streams, void *user)
{
    (void)streams;
    wake(user);
}

static void turn(evutil_socket_t fd, short what, void *user)
{
    int timeout = sse_loop_turn(server.streams);

    (void)fd, (void)what, (void)user;
    if (timeout >= 0)
        event_add(server.turn, &(struct timeval){timeout / 1000, timeout % 1000 * 1000});
    if (service_is_over(&server.service))
        event_base_loopbreak(server.base);
}

static void answer(struct evhttp_request *request, int status)
{
    end_connection(request);
    evhttp_send_reply(request, status, NULL, NULL);
}

static void refuse(struct evhttp_request *request, int error)
{
    const struct sse_http_refusal refusal = service_refusal(error);
    struct evbuffer *body = evbuffer_new();

    if (body)
        evbuffer_add(body, refusal.body, refusal.body_size);
    if (refusal.event_stream)
        evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/event-stream");
    end_connection(request);
    evhttp_send_reply(request, refusal.status, refusal.reason, body);
    if (body)
        evbuffer_free(body);
}

static struct sse_text header(struct evhttp_request *request, const char *name)
{
    return sse_str(evhttp_find_header(evhttp_request_get_input_headers(request), name));
}

static const char *method_of(struct evhttp_request *request)
{
    switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_POST:
        return "POST";
    default:
        return "";
    }
}

static void answer_with_stream(struct evhttp_request *request, const struct service_query *query)
{
    struct sse_emitter_options options = service_emitter_options(&server.service, query);
    int error;

    options.loop = server.streams;
    error = open_stream(options, request);
    if (error)
        refuse(request, error);
}

static int publish_body(struct evhttp_request *request, const struct service_query *query)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    size_t size = evbuffer_get_length(input);
    struct body body = {0};
    int status = body_append(&body, &server.service.bodies, evbuffer_pullup(input, -1), size);

    if (!status)
        status = service_publish(&server.service, query, &body);
    body_free(&body, &server.service.bodies);
    return status;
}

static unsigned count_lengths(struct evhttp_request *request)
{
    const struct evkeyval *field = evhttp_request_get_input_headers(request)->tqh_first;
    unsigned count = 0;

    for (; field; field = field->next.tqe_next)
        if (!evutil_ascii_strcasecmp(field->key, "Content-Length"))
            count++;
    return count;
}

static int publish(struct evhttp_request *request, const struct service_query *query)
{
    int status = body_check_framing(header(request, "Content-Length").ptr, count_lengths(request),
                                    header(request, "Transfer-Encoding").ptr);

    return status ? status : publish_body(request, query);
}

static void add_allow(struct evhttp_request *request, int status)
{
    const char *allow = service_allow(status, sse_str(evhttp_request_get_uri(request)));

    if (allow)
        evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", allow);
}

/* evhttp calls it when the body is complete. */
static void on_request(struct evhttp_request *request, void *user)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const struct origin_request page = {.host = header(request, "Host"),
                                        .origin = header(request, "Origin"),
                                        .fetch_site = header(request, "Sec-Fetch-Site")};
    struct service_query query;
    int status =
        service_route(&server.service, sse_str(method_of(request)), sse_str(evhttp_uri_get_path(uri)), &page);

    (void)user;
    request_limit_lift(&server.limit,
                       evhttp_connection_get_bufferevent(evhttp_request_get_connection(request)));
    service_read_query(&query, sse_str(evhttp_uri_get_query(uri)), header(request, "Last-Event-ID"));
    if (status == SERVICE_STREAM) {
        answer_with_stream(request, &query);
    } else if (status == SERVICE_HEAD) {
        add_headers(request);
        answer(request, 200);
    } else {
        add_allow(request, status);
        answer(request, status == SERVICE_PUBLISH ? publish(request, &query) : status);
    }
}

/* Runs when no descriptor is free. */
static void on_accept_error(struct evconnlistener *listener, void *user)
{
    (void)user;
    if (!service_must_pause(&server.service, EVUTIL_SOCKET_ERROR()))
        return;
    evconnlistener_disable(listener);
    event_add(server.resume, &(struct timeval){.tv_usec = SERVICE_PAUSE_MS * 1000});
}

static void accept_again(evutil_socket_t fd, short what, void *user)
{
    (void)fd, (void)what;
    evconnlistener_enable(user);
}

static bool listen_on(struct evhttp *http, int port)
{
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", (uint16_t)port);
    struct evconnlistener *listener = bound ? evhttp_bound_socket_get_listener(bound) : NULL;

    if (!listener)
        return false;
    server.resume = event_new(server.base, -1, 0, accept_again, listener);
    evconnlistener_set_error_cb(listener, on_accept_error);
    return server.resume;
}

int main(int argc, char **argv)
{
    const struct sse_loop_options options = {.size = sizeof(options), .on_wake = on_wake};
    struct evhttp *http;

    if (evthread_use_pthreads() || !(server.base = event_base_new()) ||
        sse_loop_new(&server.streams, &options))
        return 1;
    server.turn = event_new(server.base, -1, 0, turn, NULL);
    http = evhttp_new(server.base);
    if (!server.turn || !http)
        return 1;
    service_open(&server.service, argc, argv, wake, NULL);
    evhttp_set_max_headers_size(http, 16384);
    evhttp_set_max_body_size(http, (ev_ssize_t)BODY_SIZE_MAX);
    evhttp_set_timeout(http, IDLE_SECONDS);
    server.limit = (struct request_limit){.base = server.base, .seconds = REQUEST_SECONDS};
    request_limit_open(&server.limit, http);
    evhttp_set_gencb(http, on_request, NULL);
    if (!listen_on(http, server.service.port)) {
        perror("listen");
        return 1;
    }
    event_base_loop(server.base, EVLOOP_NO_EXIT_ON_EMPTY);
    service_close(&server.service);
    evhttp_free(http);
    request_limit_close(&server.limit);
    sse_loop_free(server.streams);
    event_free(server.resume);
    event_free(server.turn);
    event_base_free(server.base);
    libevent_global_shutdown();
    return 0;
}
