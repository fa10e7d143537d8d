/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_CONNECTION_PAIR_H
#define SUPPORT_CONNECTION_PAIR_H

/** Two connected stream sockets: the server's, and its client's. */

#include <stdbool.h>
#include <stddef.h>

struct connection {
    int ours;
    int client;
};

void connection_open_pair(struct connection *connection);
/** Over the loopback interface. */
void connection_open_tcp(struct connection *connection);
void connection_close(const struct connection *connection);

/** Writes `size` zeros. */
void connection_send(int fd, size_t size);

/** Waits for kernel events of a loopback connection, which may come a moment later. */
void connection_await(int fd, short events);

/** Whether there is something to read, or the end. */
bool connection_has_input(int fd);

/** Reads to the end and compares. The end must not be a reset. */
void connection_read_to_the_end(int fd, const char *expected);

#endif
