/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include "ascii.h"
#include "clock.h"
#include "publish.h"
#include "routes.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MS 10000
#define RESPONSE_MS 5000
#define LINGER_MS 2000

/* A client that is one too many has less time for its request. */
#define SHED_REQUEST_MS 2000

/* At most so much is read from one connection in one turn of the loop. */
#define READ_SIZE 16384

static void release_request(struct connection *connection)
{
    connection->hub->body_bytes -= connection->body.bytes.capacity;
    body_release(&connection->body);
    free(connection->request);
    connection->request = NULL;
}

static void close_now(struct connection *connection)
{
    stream_end(&connection->stream);
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    connection->state = CONNECTION_CLOSED;
}

/* Closing while the client still sends would answer with a reset, which may overtake the response. */
static void begin_linger(struct connection *connection)
{
    if (connection->input_ended || shutdown(connection->fd, SHUT_WR) < 0) {
        close_now(connection);
        return;
    }
    connection->state = CONNECTION_LINGERING;
    connection->deadline_ms = clock_now_ms() + LINGER_MS;
}

static void write_output(struct connection *connection)
{
    struct buffer *output = &connection->output;

    while (connection->output_sent < output->length) {
        ssize_t size = send(connection->fd, output->bytes + connection->output_sent,
                            output->length - connection->output_sent, MSG_NOSIGNAL);

        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (size < 0) {
            close_now(connection);
            return;
        }
        connection->output_sent += (size_t)size;
    }
    buffer_release(output);
    connection->output_sent = 0;
    if (connection->state == CONNECTION_RESPONDING)
        begin_linger(connection);
}

static void begin_response(struct connection *connection)
{
    release_request(connection);
    if (connection->output.failed) {
        close_now(connection);
        return;
    }
    connection->state = CONNECTION_RESPONDING;
    connection->deadline_ms = clock_now_ms() + RESPONSE_MS;
    write_output(connection);
}

static void respond(struct connection *connection, struct response *response)
{
    response_write(response, &connection->hub->options, &connection->output);
    response_release(response);
    begin_response(connection);
}

static void respond_error(struct connection *connection, int status, const char *error)
{
    struct response response = {.status = 0};

    response_error(&response, status, error, NULL);
    respond(connection, &response);
}

static void begin_stream(struct connection *connection)
{
    struct response response = {.status = 0};
    int result =
        stream_begin(&connection->stream, connection->hub, connection->fd, connection->request, &response);

    if (result == 0) {
        respond(connection, &response);
        return;
    }
    release_request(connection);
    if (result < 0) {
        close_now(connection);
        return;
    }
    connection->state = CONNECTION_STREAMING;
    connection->deadline_ms = CLOCK_NEVER;
}

static void refuse_body(struct connection *connection, int status)
{
    struct response response = {.status = 0};

    if (status == 413)
        publish_refuse_size(&response);
    else if (status == 503)
        response_error(&response, status, "there is no memory for the body now", NULL);
    else
        response_error(&response, status, "the chunks of the body are malformed", NULL);
    respond(connection, &response);
}

static void take_body(struct connection *connection, const char *bytes, size_t size)
{
    struct hub *hub = connection->hub;
    struct buffer *body = &connection->body.bytes;
    struct response response = {.status = 0};
    size_t capacity = body->capacity;
    int status = body_feed(&connection->body, bytes, size);

    hub->body_bytes += body->capacity - capacity;
    if (status == 0 && hub->body_bytes > hub_body_bytes_max(hub))
        status = 503;
    if (status == 0)
        return;
    if (status != 1) {
        refuse_body(connection, status);
        return;
    }
    routes_take_body(hub, connection->request, (struct sse_str){.ptr = body->bytes, .len = body->length},
                     &response);
    respond(connection, &response);
}

/** The client may be waiting for leave to send its body: RFC 9110 section 10.1.1. */
static void invite_body(struct connection *connection)
{
    const struct request *request = connection->request;
    bool empty = request->framing == REQUEST_FRAMING_LENGTH && request->content_length == 0;

    if (empty || request->version != SSE_HTTP_1_1 || request_header_count(request, "Expect") == 0)
        return;
    buffer_text(&connection->output, "HTTP/1.1 100 Continue\r\n\r\n");
    write_output(connection);
}

static void begin_body(struct connection *connection, const char *bytes, size_t size)
{
    int status = body_begin(&connection->body, connection->request, hub_message_max(connection->hub));

    if (status != 0) {
        refuse_body(connection, status);
        return;
    }
    connection->reading_body = true;
    if (size == 0)
        invite_body(connection);
    if (connection->state == CONNECTION_READING)
        take_body(connection, bytes, size);
}

/* An EventSource is told when to come back; an error would close it for good. Anybody else must
 * not take that answer for success. */
static void send_away(struct connection *connection)
{
    const struct request *request = connection->request;
    bool stream = ascii_equals(request->method, "GET") && ascii_equals(request->path, "/events");

    if (!stream)
        respond_error(connection, 503, "there are too many connections");
    else if (stream_send_away(connection->hub, request->version, &connection->output) == 0)
        begin_response(connection);
    else
        close_now(connection);
}

static void take_head(struct connection *connection, const char *bytes, size_t size)
{
    struct response response = {.status = 0};
    size_t used;
    int status = request_feed(connection->request, bytes, size, &used);

    if (status == 0)
        return;
    if (status != 1) {
        respond_error(connection, status, connection->request->error);
        return;
    }
    if (connection->shed) {
        send_away(connection);
        return;
    }
    switch (routes_take_head(connection->hub, connection->request, &response)) {
    case ROUTE_STREAM:
        begin_stream(connection);
        break;
    case ROUTE_BODY:
        begin_body(connection, bytes + used, size - used);
        break;
    case ROUTE_RESPOND:
        respond(connection, &response);
        break;
    }
}

static void take_request(struct connection *connection, const char *bytes, size_t size)
{
    if (connection->reading_body) {
        take_body(connection, bytes, size);
        return;
    }
    if (!connection->request)
        connection->request = calloc(1, sizeof(*connection->request));
    if (connection->request)
        take_head(connection, bytes, size);
    else
        respond_error(connection, 503, "out of memory");
}

static void on_input_end(struct connection *connection)
{
    connection->input_ended = true;
    if (connection->state == CONNECTION_STREAMING)
        stream_probe(&connection->stream);
    else if (connection->state == CONNECTION_READING && connection->request)
        respond_error(connection, 400, "the request ends too early");
    else if (connection->state != CONNECTION_RESPONDING)
        close_now(connection);
}

static void on_input_error(struct connection *connection, int error)
{
    if (connection->state == CONNECTION_STREAMING)
        stream_break(&connection->stream, -error);
    else
        close_now(connection);
}

static void read_input(struct connection *connection)
{
    char bytes[READ_SIZE];
    ssize_t size = recv(connection->fd, bytes, sizeof(bytes), 0);

    if (size > 0 && connection->state == CONNECTION_READING)
        take_request(connection, bytes, (size_t)size);
    else if (size == 0)
        on_input_end(connection);
    else if (size < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
        on_input_error(connection, errno);
}

static struct connection *allocate(struct hub *hub, int fd)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection) {
        close(fd);
        return NULL;
    }
    connection->hub = hub;
    connection->fd = fd;
    ++hub->statistics.connections;
    return connection;
}

struct connection *connection_new(struct hub *hub, int fd)
{
    struct connection *connection = allocate(hub, fd);

    if (connection)
        connection->deadline_ms = clock_now_ms() + REQUEST_MS;
    return connection;
}

struct connection *connection_new_shed(struct hub *hub, int fd)
{
    struct connection *connection = allocate(hub, fd);

    if (connection) {
        connection->shed = true;
        connection->deadline_ms = clock_now_ms() + SHED_REQUEST_MS;
    }
    return connection;
}

void connection_free(struct connection *connection)
{
    close_now(connection);
    release_request(connection);
    buffer_release(&connection->output);
    --connection->hub->statistics.connections;
    free(connection);
}

short connection_events(const struct connection *connection)
{
    bool reads = connection->state == CONNECTION_READING || connection->state == CONNECTION_LINGERING ||
                 connection->state == CONNECTION_STREAMING;
    bool writes = connection->stream.blocked || connection->output.length > 0;

    return (short)((reads && !connection->input_ended ? POLLIN : 0) | (writes ? POLLOUT : 0));
}

void connection_on_events(struct connection *connection, short events)
{
    bool broken = (events & (POLLERR | POLLHUP | POLLNVAL)) != 0;

    if (connection->state == CONNECTION_STREAMING && broken) {
        stream_break(&connection->stream, -ECONNRESET);
        return;
    }
    if ((events & POLLOUT) != 0 && connection->state == CONNECTION_STREAMING)
        stream_flush(&connection->stream);
    else if ((events & POLLOUT) != 0)
        write_output(connection);
    if (connection->state == CONNECTION_RESPONDING && broken)
        close_now(connection);
    else if (connection->state != CONNECTION_CLOSED && (events & (POLLIN | POLLERR | POLLHUP)) != 0)
        read_input(connection);
}

static void on_deadline(struct connection *connection)
{
    if (connection->state == CONNECTION_READING && connection->request)
        respond_error(connection, 408, "the request took too long");
    else
        close_now(connection);
}

static void on_stream_end(struct connection *connection)
{
    bool graceful = connection->stream.graceful;

    stream_end(&connection->stream);
    if (graceful)
        begin_linger(connection);
    else
        close_now(connection);
}

void connection_settle(struct connection *connection, int64_t now_ms)
{
    if (connection->state == CONNECTION_STREAMING && connection->stream.ended)
        on_stream_end(connection);
    if (connection->state != CONNECTION_CLOSED && now_ms >= connection->deadline_ms)
        on_deadline(connection);
}

void connection_stop(struct connection *connection)
{
    if (connection->state == CONNECTION_READING)
        close_now(connection);
}
