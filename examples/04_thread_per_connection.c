/* SPDX-License-Identifier: MIT */
/*
 * A server without an event loop: each connection has a thread, which waits for bytes from its emitter
 * and sends them.
 *
 *     04_thread_per_connection 8080
 *     curl -N http://127.0.0.1:8080/events
 *     curl -d hello http://127.0.0.1:8080/publish
 *
 * Publishing only queues the event and wakes the threads, so a client that does not read blocks only
 * its own thread.
 */
#include "toy_http.h"

#define PROGRAM "04_thread_per_connection"
#define CLIENTS_MAX 250

/* A disconnected client is noticed only when a send fails, so send something at least this often. */
#define HEARTBEAT_MS 5000
#define SEND_MS 2000

static struct sse_registry *registry;

/* Sends all bytes. False if the client is gone, or accepts nothing for SEND_MS. */
static bool send_all(int fd, const char *bytes, size_t size)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        } else if (!toy_would_block() || poll(&room, 1, SEND_MS) == 0) {
            return false;
        }
    }
    return true;
}

/* Copies bytes from the emitter to the socket until the stream has ended. */
static void pump(struct sse_emitter *emitter, int fd)
{
    char bytes[16384];

    while (sse_emitter_wait(emitter, -1) == 1) {
        ssize_t size = sse_emitter_read(emitter, bytes, sizeof(bytes));

        if (size > 0 && !send_all(fd, bytes, (size_t)size))
            sse_emitter_abort(emitter, -ECONNRESET);
    }
}

static void stream(int fd, const struct toy_request *request)
{
    const struct sse_http_options http = toy_stream_head(request);
    char id[SSE_ID_SIZE_MAX + 1];
    ssize_t id_size =
        sse_http_last_event_id(toy_header(request, "Last-Event-ID"), request->query, id, sizeof(id));
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = registry,
        .last_event_id = {id, (size_t)id_size},
        .output = SSE_OUTPUT_PULL,
        .http = &http,
        .retry_ms = 2000,
        .heartbeat_ms = HEARTBEAT_MS,
    };
    struct sse_emitter *emitter;
    int error = sse_emitter_new(&emitter, &options, NULL);

    if (error) {
        toy_refuse(fd, error, &http);
        return;
    }
    pump(emitter, fd);
    sse_emitter_close(emitter);
}

static void publish(int fd, struct sse_text text)
{
    const struct sse_event event = {.data = text};
    struct sse_delivery delivery;
    int error = sse_registry_publish(registry, sse_str(NULL), &event, &delivery);

    toy_answer_publish(fd, error, &delivery);
}

/* Runs in the thread of the connection. */
static bool handle(int fd, const struct toy_request *request)
{
    if (toy_is(request, "GET /events"))
        stream(fd, request);
    else if (toy_is(request, "POST /publish"))
        publish(fd, request->body);
    else
        toy_respond(fd, "404 Not Found", "GET /events or POST /publish\n");
    return false;
}

int main(int argument_count, char **arguments)
{
    const struct sse_registry_options options = {
        .size = sizeof(options),
        .history = {.events = 1000},
        .emitters_max = CLIENTS_MAX,
    };
    int port = toy_port(PROGRAM, argument_count, arguments);

    toy_check(PROGRAM, sse_registry_new(&registry, &options));
    toy_serve(toy_listen(PROGRAM, port), handle);
    toy_check(PROGRAM, shut_down(registry));
    /* Each thread sends what is queued and closes its emitter. */
    sse_registry_wait(registry, -1);
    toy_join();
    sse_registry_unref(registry);
    return 0;
}
