/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include "descriptor.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_address(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
    const int on = 1;
    int error;

    if (fd < 0)
        return -errno;
    error = descriptor_prepare(fd);
    if (error == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        error = -errno;
    if (error == 0 && bind(fd, address->ai_addr, address->ai_addrlen) < 0)
        error = -errno;
    if (error == 0 && listen(fd, SOMAXCONN) < 0)
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

int listener_open(const struct options *options)
{
    const struct addrinfo hints = {
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *addresses;
    const char *message;
    int result = getaddrinfo(options->host, options->port, &hints, &addresses);

    if (result == 0) {
        int fd = -EADDRNOTAVAIL;

        for (struct addrinfo *address = addresses; address && fd < 0; address = address->ai_next)
            fd = open_address(address);
        freeaddrinfo(addresses);
        if (fd >= 0)
            return fd;
        message = strerror(-fd);
    } else {
        message = result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result);
    }
    fprintf(stderr, "hub: cannot listen on %s port %s: %s\n", options->host, options->port, message);
    return -1;
}

int listener_url(int fd, char *url)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    char host[320];
    char port[8];
    const char *format = "http://%s:%s/";

    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return -errno;
    if (getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return -EAFNOSUPPORT;
    if (address.ss_family == AF_INET6)
        format = "http://[%s]:%s/";
    snprintf(url, LISTENER_URL_SIZE, format, host, port);
    return 0;
}

static int accept_error(int number)
{
    switch (number) {
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EBADF:
    case EINVAL:
        return -number;
    default:
        /* accept(2) also returns network errors of the new connection. They do not concern the listener. */
        return -ECONNABORTED;
    }
}

int listener_accept(int fd)
{
    int client = accept(fd, NULL, NULL);
    int error;

    if (client < 0)
        return accept_error(errno);
    error = descriptor_prepare(client);
    if (error == 0)
        return client;
    close(client);
    return -ECONNABORTED;
}
