/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include "fault.h"
#include "server.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void peer_make_nonblocking(int fd)
{
    faulty_calls_pause(true);
    expect(!fcntl(fd, F_SETFL, O_NONBLOCK), "no O_NONBLOCK");
    faulty_calls_pause(false);
}

static void open_socket(struct client *client)
{
    const int small = 4096;
    int ends[2];

    expect(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "no sockets");
    expect(!setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), "no SO_SNDBUF");
    client->server_fd = ends[0];
    client->fd = ends[1];
    peer_make_nonblocking(client->fd);
}

static void open_pipe(struct client *client)
{
    int ends[2];

    expect(!pipe(ends), "no pipe");
    client->server_fd = ends[1];
    client->fd = ends[0];
    peer_make_nonblocking(client->fd);
}

static FILE *file;

void peers_init(void)
{
    if (!file)
        file = tmpfile();
    expect(file != NULL, "no file");
}

static void open_file(struct client *client)
{
    expect(!ftruncate(fileno(file), 0) && !lseek(fileno(file), 0, SEEK_SET), "the file is not empty");
    client->server_fd = dup(fileno(file));
    client->fd = dup(fileno(file));
    expect(client->server_fd >= 0 && client->fd >= 0, "no descriptors");
}

void peer_open(struct client *client)
{
    struct stat status;

    faulty_calls_pause(true);
    if (client->kind == CLIENT_SOCKET)
        open_socket(client);
    else if (client->kind == CLIENT_PIPE)
        open_pipe(client);
    else if (client->kind == CLIENT_FILE)
        open_file(client);
    if (client->server_fd >= 0 && !fstat(client->server_fd, &status))
        client->server_inode = status.st_ino;
    faulty_calls_pause(false);
}

static void take_from_descriptor(struct client *client)
{
    ssize_t size;

    faulty_calls_pause(true);
    while ((size = read(client->fd, client->received + client->size, RECEIVED_MAX - client->size)) > 0) {
        client->size += (size_t)size;
        server.progress++;
    }
    faulty_calls_pause(false);
}

static void take_from_file(struct client *client)
{
    ssize_t size = pread(client->fd, client->received, RECEIVED_MAX, 0);

    expect(size >= 0, "no pread");
    if ((size_t)size != client->size)
        server.progress++;
    client->size = (size_t)size;
}

void peer_take(struct client *client)
{
    if (client->kind == CLIENT_FILE)
        take_from_file(client);
    else if (client->fd >= 0)
        take_from_descriptor(client);
}

bool peer_has_room(const struct client *client)
{
    struct pollfd room = {.fd = client->server_fd, .events = POLLOUT};
    bool ready;

    faulty_calls_pause(true);
    ready = poll(&room, 1, 0) > 0;
    faulty_calls_pause(false);
    return ready;
}

void peer_close_fd(int *fd)
{
    faulty_calls_pause(true);
    if (*fd >= 0)
        (void)close(*fd);
    faulty_calls_pause(false);
    *fd = -1;
}

void client_watch(struct client *client, struct client *owner)
{
    struct stat status;

    faulty_calls_pause(true);
    if (owner->server_fd < 0)
        open_socket(owner);
    expect(!fstat(owner->server_fd, &status), "no fstat");
    owner->server_inode = status.st_ino;
    faulty_calls_pause(false);
    client->options.watch_fd = owner->server_fd;
}

void client_say(struct client *client)
{
    faulty_calls_pause(true);
    if (client->fd >= 0)
        (void)send(client->fd, "hello", 5, MSG_NOSIGNAL);
    faulty_calls_pause(false);
}

void client_half_close(struct client *client)
{
    faulty_calls_pause(true);
    if (client->fd >= 0)
        (void)shutdown(client->fd, SHUT_WR);
    faulty_calls_pause(false);
}

void client_leave(struct client *client)
{
    peer_close_fd(&client->fd);
}

/* Its number may have been closed and may belong to another client now. */
bool peer_is_open(const struct client *client)
{
    struct stat status;
    bool open;

    faulty_calls_pause(true);
    open = !fstat(client->server_fd, &status) && status.st_ino == client->server_inode;
    faulty_calls_pause(false);
    return open;
}
