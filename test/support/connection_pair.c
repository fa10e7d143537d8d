/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connection_pair.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void connection_open_pair(struct connection *connection)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    *connection = (struct connection){.ours = ends[0], .client = ends[1]};
}

void connection_open_tcp(struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    connection->client = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(connection->client >= 0);
    assert_int_equal(connect(connection->client, (struct sockaddr *)&address, size), 0);
    connection->ours = accept(listener, NULL, NULL);
    assert_true(connection->ours >= 0);
    close(listener);
}

void connection_close(const struct connection *connection)
{
    close(connection->ours);
    close(connection->client);
}

void connection_send(int fd, size_t size)
{
    static const char bytes[4096];

    while (size) {
        size_t part = size < sizeof(bytes) ? size : sizeof(bytes);

        assert_int_equal(write(fd, bytes, part), part);
        size -= part;
    }
}

void connection_await(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};

    assert_int_equal(poll(&poll_fd, 1, -1), 1);
}

bool connection_has_input(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

void connection_read_to_the_end(int fd, const char *expected)
{
    char bytes[100] = "";
    size_t size = 0;
    ssize_t count;

    while ((count = read(fd, bytes + size, sizeof(bytes) - 1 - size)) > 0)
        size += (size_t)count;
    assert_int_equal(count, 0);
    assert_string_equal(bytes, expected);
}
