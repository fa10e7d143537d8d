/* SPDX-License-Identifier: MIT */
#include "loops_peers.h"
#include "steady.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int listen_on_loopback(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    steady_check(fd < 0 || bind(fd, (struct sockaddr *)address, size) || listen(fd, 4096) ||
                         getsockname(fd, (struct sockaddr *)address, &size)
                     ? -errno
                     : 0,
                 "listen");
    return fd;
}

/* So that accept is never far behind. The kernel drops connections that do not fit into its queue. */
static void connect_one(int *socket_of_client, const struct sockaddr_in *address)
{
    *socket_of_client = socket(AF_INET, SOCK_STREAM, 0);
    steady_check(*socket_of_client < 0 ||
                         connect(*socket_of_client, (const struct sockaddr *)address, sizeof(*address))
                     ? -errno
                     : 0,
                 "connect");
}

static void read_all(int fd)
{
    static char bytes[1 << 16];

    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

/* Runs until the other process closes its end. */
static void run_clients(int control, const struct sockaddr_in *address, size_t count)
{
    int *clients = malloc(count * sizeof(*clients));
    char byte;

    steady_check(clients ? 0 : -ENOMEM, "clients");
    for (size_t i = 0; i < count; i++)
        connect_one(&clients[i], address);
    while (read(control, &byte, 1) == 1) {
        for (size_t i = 0; i < count; i++)
            read_all(clients[i]);
        steady_check(write(control, &byte, 1) == 1 ? 0 : -errno, "answer");
    }
    free(clients);
}

void peers_open(struct peers *peers, size_t count)
{
    struct sockaddr_in address;
    int ends[2];

    peers->listener = listen_on_loopback(&address);
    steady_check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) ? -errno : 0, "socketpair");
    peers->process = fork();
    steady_check(peers->process < 0 ? -errno : 0, "fork");
    if (!peers->process) {
        close(peers->listener);
        close(ends[0]);
        run_clients(ends[1], &address, count);
        _exit(0);
    }
    close(ends[1]);
    peers->control = ends[0];
}

int peers_accept(struct peers *peers)
{
    int fd = accept(peers->listener, NULL, NULL);

    steady_check(fd < 0 ? -errno : 0, "accept");
    return fd;
}

void peers_drain(struct peers *peers)
{
    char byte = 0;

    steady_check(write(peers->control, &byte, 1) == 1 && read(peers->control, &byte, 1) == 1 ? 0 : -EPIPE,
                 "drain");
}

void peers_close(struct peers *peers)
{
    /* A process that was forked later has this descriptor too, so that closing it is not enough. */
    shutdown(peers->control, SHUT_RDWR);
    close(peers->control);
    close(peers->listener);
    (void)waitpid(peers->process, NULL, 0);
}
