/* SPDX-License-Identifier: MIT */
/*
 * The limit: the same server without any library. A burst is formatted once, and each client gets it with one
 * send(). If a socket is full, the server waits for it, as only a bench can.
 *
 *   limit [state]
 *
 * With "state" it also writes to memory of each client, as much as the library does: once before all sends, and
 * once with each. The difference is what that memory costs.
 */
#include "serving.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SIZE_MAX_OF_DATA 65536

static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                           "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n\r\n";
/* As an emitter has it: where it begins in a cache line, what a publish writes to, and what a turn writes to.
 */
#define STATE_SIZE 304
#define STATE_MAX 65536
#define QUEUED_LINES 3
#define WRITTEN_LINES 4
#define LINE 64

static volatile char *state; /* NULL: no */
static char frames[BURST_MAX * (SIZE_MAX_OF_DATA + 8)];

static void send_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd room = {.fd = fd, .events = POLLOUT};

        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return;
        if (sent < 0)
            (void)poll(&room, 1, -1);
        else
            bytes += sent, size -= (size_t)sent;
    }
}

static int open_stream(struct connection *connection)
{
    send_all(connection->fd, head, sizeof(head) - 1);
    return 0;
}

static void ignore(struct connection *connection)
{
    (void)connection;
}

static size_t format(const struct assignment *assignment, size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        memcpy(frames + size, "data: ", 6);
        serving_stamp(frames + size + 6, assignment->size);
        memcpy(frames + size + 6 + assignment->size, "\n\n", 2);
        size += assignment->size + 8;
    }
    return size;
}

static void touch(size_t client, size_t lines)
{
    for (size_t i = 0; state && i < lines; i++)
        state[client % STATE_MAX * STATE_SIZE + i * LINE]++;
}

static void publish_to_all(const struct assignment *assignment, size_t count)
{
    size_t size = format(assignment, count);
    size_t streams_count;
    struct connection **streams = serving_streams(&streams_count);

    for (size_t i = 0; i < streams_count; i++)
        touch(i, QUEUED_LINES);
    for (size_t i = 0; i < streams_count; i++) {
        touch(i, WRITTEN_LINES);
        send_all(streams[i]->fd, frames, size);
    }
}

static void publish(const struct assignment *assignment, size_t count)
{
    size_t streams_count;
    struct connection **streams = serving_streams(&streams_count);

    if (assignment->size > SIZE_MAX_OF_DATA)
        return;
    if (!assignment->per_client)
        publish_to_all(assignment, count);
    for (size_t i = 0; assignment->per_client && i < count; i++)
        for (size_t at = 0; at < streams_count; at++)
            send_all(streams[at]->fd, frames, format(assignment, 1));
}

int main(int argc, char **argv)
{
    static const struct service service = {open_stream, ignore, ignore, publish};
    static char states[STATE_MAX * STATE_SIZE];

    if (argc > 1 && !strcmp(argv[1], "state"))
        state = states;
    return serve(&service);
}
