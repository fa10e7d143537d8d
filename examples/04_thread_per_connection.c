/* SPDX-License-Identifier: MIT */
/*
 * A server without an event loop: each connection has a thread, which waits for bytes from its emitter
 * and writes them.
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

/* A disconnected client is noticed only when a write fails, so write something at least this often. */
#define HEARTBEAT_MS 5000

static struct sse_registry *registry;

/* Writes what the emitter has until the stream has ended. What is not written yet stays in the emitter's
 * queue, so its limits and timers decide how slow a client may be. They need a call of wait about once a
 * second. writev raises SIGPIPE if the client is gone. main ignores it. */
static void pump(struct sse_emitter *emitter, int fd)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    struct iovec pieces[16];

    while (sse_emitter_wait(emitter, -1) == 1) {
        int count = sse_emitter_peek(emitter, pieces, 16);
        ssize_t written = count > 0 ? writev(fd, pieces, count) : 0;

        if (written >= 0)
            sse_emitter_consume(emitter, (size_t)written);
        else if (toy_would_block())
            poll(&room, 1, 1000);
        else
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
        .gap_type = sse_str("gap"),
        .emitters_max = CLIENTS_MAX,
    };
    int port = toy_port(PROGRAM, argument_count, arguments);

    /* A write to a client that is gone returns an error. */
    signal(SIGPIPE, SIG_IGN);
    toy_check(PROGRAM, sse_registry_new(&registry, &options));
    toy_serve(toy_listen(PROGRAM, port), handle);
    toy_check(PROGRAM, shut_down(registry));
    /* Each thread writes what is queued and closes its emitter. */
    sse_registry_wait(registry, -1);
    toy_join();
    sse_registry_unref(registry);
    return 0;
}
