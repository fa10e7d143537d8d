/* SPDX-License-Identifier: MIT */
/*
 * The bench server: the loop of serving.c with streams of the library, on its public headers alone.
 *
 *   server [queue_bytes=N] [overflow=close|drop-oldest] [send_buffer=N] [bursts=batch|held]
 *
 * queue_bytes and overflow are the options of each emitter, send_buffer is what the kernel may hold for each
 * socket (SO_SNDBUF). What is not given is the default of the library and of the kernel. A burst is one
 * message, or as many publishes while the registry is held.
 */
#include "serving.h"

#include <errno.h>
#include <sse/sse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SIZE_MAX_OF_DATA 65536

static struct {
    size_t queue_bytes;
    int send_buffer;
    enum sse_overflow overflow;
    bool held;
} settings;

static struct sse_registry *registry;
static char head[512];
static size_t head_size;
static char data[BURST_MAX][SIZE_MAX_OF_DATA];

static void blocked(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    serving_want_room(user, true);
}

static void completed(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    (void)completion;
    serving_close_later(user);
}

static int open_stream(struct connection *connection)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .drain = SSE_DRAIN_FD,
        .fd = connection->fd,
        .head = {.ptr = head, .len = head_size},
        .queue_bytes = settings.queue_bytes,
        .overflow = settings.overflow,
        .on_blocked = blocked,
        .on_completion = completed,
        .user = connection,
    };
    const struct sse_str topic = sse_str("bench");
    const int send_buffer = settings.send_buffer;
    struct sse_emitter *emitter;
    int error;

    if (send_buffer && setsockopt(connection->fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer)))
        return -errno;
    error = sse_emitter_new(&emitter, &options);
    if (error)
        return error;
    connection->stream = emitter;
    return sse_registry_subscribe(registry, emitter, &topic, 1, (struct sse_str){.ptr = NULL}, NULL);
}

static void close_stream(struct connection *connection)
{
    if (!connection->stream)
        return;
    (void)sse_emitter_complete_with_error(connection->stream, -ECONNRESET);
    (void)sse_emitter_detach(connection->stream);
    sse_emitter_unref(connection->stream);
}

static void writable(struct connection *connection)
{
    if (sse_emitter_flush(connection->stream) != 1)
        serving_want_room(connection, false);
}

static void check(int error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(-error));
    exit(1);
}

static struct sse_event stamped_event(size_t index, size_t size)
{
    serving_stamp(data[index], size);
    return (struct sse_event){.data = {.ptr = data[index], .len = size}};
}

static void publish_held(const struct assignment *assignment, size_t count)
{
    check(sse_registry_hold(registry), "hold");
    for (size_t i = 0; i < count; i++) {
        const struct sse_event event = stamped_event(0, assignment->size);

        check(sse_registry_publish(registry, sse_str("bench"), &event, NULL), "publish");
    }
    check(sse_registry_release(registry), "release");
}

static void publish_to_all(const struct assignment *assignment, size_t count)
{
    const struct sse_str topic = sse_str("bench");
    struct sse_event events[BURST_MAX];
    struct sse_message *message;

    for (size_t i = 0; i < count; i++)
        events[i] = stamped_event(i, assignment->size);
    if (count == 1) {
        check(sse_registry_publish(registry, topic, events, NULL), "publish");
        return;
    }
    check(sse_message_new(&message, events, count, NULL), "message");
    check(sse_registry_publish_message(registry, topic, message, NULL), "publish");
    sse_message_unref(message);
}

static void send_to_each(const struct assignment *assignment)
{
    size_t count;
    struct connection **streams = serving_streams(&count);

    for (size_t i = 0; i < count; i++) {
        const struct sse_event event = stamped_event(0, assignment->size);

        (void)sse_emitter_send(streams[i]->stream, &event);
    }
}

static void publish(const struct assignment *assignment, size_t count)
{
    if (assignment->size > SIZE_MAX_OF_DATA)
        return;
    if (!assignment->per_client && settings.held)
        publish_held(assignment, count);
    else if (!assignment->per_client)
        publish_to_all(assignment, count);
    for (size_t i = 0; assignment->per_client && i < count; i++)
        send_to_each(assignment);
}

static bool set(const char *word)
{
    if (!strncmp(word, "queue_bytes=", 12))
        settings.queue_bytes = strtoul(word + 12, NULL, 10);
    else if (!strncmp(word, "send_buffer=", 12))
        settings.send_buffer = (int)strtol(word + 12, NULL, 10);
    else if (!strcmp(word, "overflow=drop-oldest"))
        settings.overflow = SSE_OVERFLOW_DROP_OLDEST;
    else if (!strcmp(word, "bursts=held"))
        settings.held = true;
    else
        return !strcmp(word, "overflow=close") || !strcmp(word, "bursts=batch");
    return true;
}

int main(int argc, char **argv)
{
    static const struct service service = {open_stream, close_stream, writable, publish};
    ssize_t size = sse_http_head(head, sizeof(head), NULL);
    int status;

    for (int i = 1; i < argc; i++)
        check(set(argv[i]) ? 0 : -EINVAL, argv[i]);
    check(size < 0 ? (int)size : 0, "head");
    head_size = (size_t)size;
    check(sse_registry_new(&registry, NULL), "registry");
    status = serve(&service);
    sse_registry_unref(registry);
    return status;
}
