/* SPDX-License-Identifier: MIT */
#include "descriptor_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* No test opens more descriptors. */
#define DESCRIPTORS_MAX 2048

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "descriptor pair: %s (%s)\n", what, strerror(errno));
    abort();
}

static void connect_tcp(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(listener >= 0 && !bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 1) &&
              !getsockname(listener, (struct sockaddr *)&address, &size),
          "no listener");
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    check(ends[0] >= 0 && !connect(ends[0], (struct sockaddr *)&address, size), "no connection");
    ends[1] = accept(listener, NULL, NULL);
    check(ends[1] >= 0, "no connection accepted");
    close(listener);
}

void pair_open(struct descriptor_pair *pair, enum pair_kind kind)
{
    int ends[2] = {-1, -1};

    if (kind == PAIR_TCP)
        connect_tcp(ends);
    else if (kind == PAIR_PIPE)
        check(!pipe(ends), "no pipe");
    else
        check(!socketpair(AF_UNIX, kind == PAIR_STREAM ? SOCK_STREAM : SOCK_SEQPACKET, 0, ends),
              "no socket pair");
    check(!fcntl(ends[0], F_SETFL, O_NONBLOCK), "no O_NONBLOCK");
    *pair = (struct descriptor_pair){.server = ends[1], .client = ends[0]};
}

void pair_leave(struct descriptor_pair *pair)
{
    if (pair->client >= 0)
        close(pair->client);
    pair->client = -1;
}

void pair_reset(struct descriptor_pair *pair)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    check(!setsockopt(pair->client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), "no SO_LINGER");
    pair_leave(pair);
}

void pair_close(struct descriptor_pair *pair)
{
    pair_leave(pair);
    if (pair->server >= 0 && descriptor_is_open(pair->server))
        close(pair->server);
    pair->server = -1;
}

size_t pair_receive(struct descriptor_pair *pair, void *buffer, size_t size)
{
    ssize_t received;

    do
        received = read(pair->client, buffer, size);
    while (received < 0 && errno == EINTR);
    return received > 0 ? (size_t)received : 0;
}

void pair_expect(struct descriptor_pair *pair, const char *text)
{
    while (*text) {
        struct pollfd readable = {.fd = pair->client, .events = POLLIN};
        char received[256];
        size_t left = strlen(text);
        size_t size;

        (void)poll(&readable, 1, -1);
        size = pair_receive(pair, received, left < sizeof(received) ? left : sizeof(received));
        if (!size || memcmp(received, text, size))
            fprintf(stderr, "received <%.*s>, not <%s>\n", (int)size, received, text);
        check(size && !memcmp(received, text, size), "received something else");
        text += size;
    }
}

size_t pair_discard(struct descriptor_pair *pair)
{
    static _Thread_local char buffer[1 << 16];
    size_t total = 0;
    size_t size;

    while ((size = pair_receive(pair, buffer, sizeof(buffer))))
        total += size;
    return total;
}

bool pair_is_quiet(const struct descriptor_pair *pair)
{
    return !descriptor_is_readable(pair->client);
}

bool pair_has_ended(const struct descriptor_pair *pair)
{
    char byte;

    return read(pair->client, &byte, 1) == 0;
}

bool descriptor_is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

bool descriptor_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

size_t descriptor_count(void)
{
    size_t count = 0;

    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        count += descriptor_is_open(fd);
    return count;
}
