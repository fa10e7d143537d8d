/* SPDX-License-Identifier: MIT */
/* The bench server: the loop of serving.c with streams of the library, on its public headers alone. */
#include "serving.h"

#include <errno.h>
#include <sse/sse.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE_MAX_OF_DATA 65536

static struct sse_registry *registry;
static char head[512];
static size_t head_size;
static char data[BURST_MAX][SIZE_MAX_OF_DATA];

static void blocked(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    serving_want_room(user, true);
}

static int open_stream(struct connection *connection)
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .drain = SSE_DRAIN_FD,
        .fd = connection->fd,
        .head = {.ptr = head, .len = head_size},
        .on_blocked = blocked,
        .user = connection,
    };
    const struct sse_str topic = sse_str("bench");
    struct sse_emitter *emitter;
    int error = sse_emitter_new(&emitter, &options);

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
    if (!assignment->per_client)
        publish_to_all(assignment, count);
    for (size_t i = 0; assignment->per_client && i < count; i++)
        send_to_each(assignment);
}

int main(void)
{
    static const struct service service = {open_stream, close_stream, writable, publish};
    ssize_t size = sse_http_head(head, sizeof(head), NULL);
    int status;

    check(size < 0 ? (int)size : 0, "head");
    head_size = (size_t)size;
    check(sse_registry_new(&registry, NULL), "registry");
    status = serve(&service);
    sse_registry_unref(registry);
    return status;
}
