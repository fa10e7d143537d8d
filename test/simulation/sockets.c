/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Emitters that write to a descriptor: one end of a pair of sockets with a small buffer, whose other end the client
 * has. Publishing and sending may also write, so writes are noticed afterwards: the unread bytes are peeked at and
 * compared with the queue.
 */

#define UNREAD_MAX ((size_t)1 << 19)

bool connection_is_socket(const struct connection *connection)
{
    return connection->options.output == SSE_OUTPUT_FD;
}

void socket_open(struct connection *connection)
{
    struct world *world = connection->world;
    int size = 2048 + (int)chance_below(world, 8192), ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        abort();
    (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (chance_percent(world, 50))
        (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    connection->options.fd = ends[0];
    connection->options.keep_fd = chance_percent(world, 30);
    connection->peer = ends[1];
}

/* Nothing was written, and the server still owns the descriptor. */
void socket_refused(struct connection *connection)
{
    unsigned char byte;

    expect(connection->world, recv(connection->peer, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN,
           "connection %zu: was refused, and written to", connection->number);
    close(connection->peer);
    close(connection->options.fd);
}

void socket_break(struct connection *connection)
{
    sync_connection(connection);
    if (connection->peer < 0)
        return;
    narrate(connection->world, "the client of connection %zu is gone", connection->number);
    close(connection->peer);
    connection->peer = -1;
    connection->causes |= CAUSE_OUTPUT;
}

/* Up to the end of the model's queue. Heartbeats were queued when they were written. */
static size_t follow_queued(struct connection *connection, unsigned char *bytes, size_t size)
{
    size_t queued = connection_queued(connection);
    struct iovec iov = {.iov_base = bytes, .iov_len = queued < size ? queued : size};

    if (!queued) {
        follow_written(connection, bytes[0]);
        return follow_queued(connection, bytes, size);
    }
    (void)queue_shows(connection, &iov, 1);
    connection->front.pinned = 0;
    connection_took(connection, bytes, iov.iov_len);
    return iov.iov_len;
}

/* The bytes that were written since the last check. */
void socket_follow(struct connection *connection, uint64_t written)
{
    static unsigned char bytes[UNREAD_MAX];
    struct world *world = connection->world;
    size_t more = (size_t)(written - connection->received_size);
    unsigned char *next = bytes + connection->unread;
    ssize_t unread;

    if (!more)
        return;
    expect(world, written > connection->received_size, "connection %zu: %llu bytes written after %zu",
           connection->number, (unsigned long long)written, connection->received_size);
    unread = recv(connection->peer, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    expect_equal(world, connection->unread + more, (uint64_t)unread, "bytes that the client has not read");
    connection->unread += more;
    while (more) {
        size_t size = follow_queued(connection, next, more);

        next += size;
        more -= size;
    }
}

/* The client reads. */
void socket_read(struct connection *connection, size_t size)
{
    unsigned char bytes[4096];
    ssize_t count;

    sync_connection(connection);
    if (connection->peer < 0 || !connection->unread)
        return;
    size = size < sizeof(bytes) ? size : sizeof(bytes);
    count = recv(connection->peer, bytes, size, MSG_DONTWAIT);
    expect(connection->world, count > 0 && (size_t)count <= connection->unread,
           "connection %zu: its client reads %zd of %zu", connection->number, count, connection->unread);
    connection->unread -= (size_t)count;
    narrate(connection->world, "the client of connection %zu reads %zd", connection->number, count);
}

/* The library has closed its own descriptors, after the last byte, and no others. */
void socket_finish(struct connection *connection)
{
    unsigned char byte;
    ssize_t count;

    while (connection->peer >= 0 && connection->unread)
        socket_read(connection, SIZE_MAX);
    if (connection->peer >= 0) {
        count = recv(connection->peer, &byte, 1, MSG_DONTWAIT);
        if (connection->options.keep_fd)
            expect(connection->world, count == -1 && errno == EAGAIN,
                   "connection %zu: its descriptor is closed", connection->number);
        else
            expect(connection->world, !count, "connection %zu: its descriptor is open", connection->number);
        close(connection->peer);
        connection->peer = -1;
    }
    if (connection->options.keep_fd)
        close(connection->options.fd);
}
