/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include "ascii.h"
#include "clock.h"
#include "publish.h"
#include "routes.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MS 10000
#define RESPONSE_MS 5000
#define LINGER_MS 2000

/* A client above the limit of connections has less time for its request. */
#define SHED_REQUEST_MS 2000

/* The most that is read from one connection in one turn of the server. */
#define READ_SIZE 16384

static void release_body(struct connection *connection)
{
    connection->hub->body_bytes -= connection->body.bytes.capacity;
    body_release(&connection->body);
}

static void close_now(struct connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    connection->state = CONNECTION_CLOSED;
}

/* Closing while the client still sends would reset the connection, and the client could lose the response. */
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

static void respond(struct connection *connection, struct response *response)
{
    response_write(response, &connection->hub->options, &connection->output);
    response_release(response);
    release_body(connection);
    if (connection->output.failed) {
        close_now(connection);
        return;
    }
    connection->state = CONNECTION_RESPONDING;
    connection->deadline_ms = clock_now_ms() + RESPONSE_MS;
    write_output(connection);
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

    if (!stream_begin(connection->hub, connection->fd, &connection->request, &response)) {
        respond(connection, &response);
        return;
    }
    /* The library owns the descriptor now. */
    connection->fd = -1;
    connection->state = CONNECTION_CLOSED;
}

static void refuse_body(struct connection *connection, int status)
{
    struct response response = {.status = 0};

    if (status == 413)
        publish_refuse_size(&response);
    else if (status == 503)
        response_error(&response, status, "no memory is free for the body; try again later", NULL);
    else
        response_error(&response, status, "the body is not correctly chunked: see RFC 9112 section 7.1", NULL);
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
    publish_event(hub, &connection->request, (struct sse_text){.ptr = body->bytes, .len = body->length},
                  &response);
    respond(connection, &response);
}

/** The client may wait for this response before it sends its body: RFC 9110 section 10.1.1. */
static void invite_body(struct connection *connection)
{
    const struct request *request = &connection->request;
    bool empty = request->framing == REQUEST_FRAMING_LENGTH && request->content_length == 0;

    if (empty || request->version != SSE_HTTP_1_1 || request_header_count(request, "Expect") == 0)
        return;
    buffer_text(&connection->output, "HTTP/1.1 100 Continue\r\n\r\n");
    write_output(connection);
}

static void begin_body(struct connection *connection, const char *bytes, size_t size)
{
    int status = body_begin(&connection->body, &connection->request, hub_message_max(connection->hub));

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

/* Only an EventSource understands this answer. For any other client it would look like success. */
static void refuse(struct connection *connection)
{
    const struct request *request = &connection->request;
    struct response response = {.status = 0};

    if (ascii_equals(request->method, "GET") && routes_has_stream(request->path))
        stream_refuse(connection->hub, request, -EAGAIN, &response);
    else
        response_error(&response, 503, "too many connections; try again later", NULL);
    respond(connection, &response);
}

static void take_head(struct connection *connection, const char *bytes, size_t size)
{
    struct response response = {.status = 0};
    size_t used;
    int status = request_feed(&connection->request, bytes, size, &used);

    if (status == 0)
        return;
    if (status != 1) {
        respond_error(connection, status, connection->request.error);
        return;
    }
    if (connection->shed) {
        refuse(connection);
        return;
    }
    switch (routes_take_head(connection->hub, &connection->request, &response)) {
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
    connection->has_begun = true;
    if (connection->reading_body)
        take_body(connection, bytes, size);
    else
        take_head(connection, bytes, size);
}

static void on_input_end(struct connection *connection)
{
    connection->input_ended = true;
    if (connection->state == CONNECTION_READING && connection->has_begun)
        respond_error(connection, 400, "the connection was closed before the request was complete");
    else if (connection->state != CONNECTION_RESPONDING)
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
        close_now(connection);
}

struct connection *connection_new(struct hub *hub, int fd, bool shed)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection) {
        close(fd);
        return NULL;
    }
    connection->hub = hub;
    connection->fd = fd;
    connection->shed = shed;
    connection->deadline_ms = clock_now_ms() + (shed ? SHED_REQUEST_MS : REQUEST_MS);
    ++hub->statistics.requests;
    return connection;
}

void connection_free(struct connection *connection)
{
    close_now(connection);
    release_body(connection);
    buffer_release(&connection->output);
    --connection->hub->statistics.requests;
    free(connection);
}

short connection_events(const struct connection *connection)
{
    bool reads = connection->state == CONNECTION_READING || connection->state == CONNECTION_LINGERING;
    bool writes = connection->output.length > 0;

    return (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
}

void connection_on_events(struct connection *connection, short events)
{
    bool broken = (events & (POLLERR | POLLHUP | POLLNVAL)) != 0;

    if ((events & POLLOUT) != 0)
        write_output(connection);
    if (connection->state == CONNECTION_RESPONDING && broken)
        close_now(connection);
    else if (connection->state != CONNECTION_CLOSED && (events & (POLLIN | POLLERR | POLLHUP)) != 0)
        read_input(connection);
}

void connection_check_deadline(struct connection *connection, int64_t now_ms)
{
    if (connection->state == CONNECTION_CLOSED || now_ms < connection->deadline_ms)
        return;
    if (connection->state == CONNECTION_READING && connection->has_begun)
        respond_error(connection, 408, "the request was not complete in time; send it again");
    else
        close_now(connection);
}

void connection_stop(struct connection *connection)
{
    if (connection->state == CONNECTION_READING)
        close_now(connection);
}
