/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_SOCKET_H
#define HOSTS_SOCKET_H

/** Options of a client's socket. With SSE_OUTPUT_FD the library sets them itself. */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/** `stall_ms` of an emitter. */
#define SOCKET_STALL_MS 30000

/** Call it for PULL and CALLBACK. Otherwise an event may wait for the acknowledgement of the one before, and a client
 *  whose network has vanished keeps its stream for about 15 minutes. */
static inline void socket_set_options(int fd)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
#ifdef TCP_USER_TIMEOUT
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(unsigned){SOCKET_STALL_MS}, sizeof(unsigned));
#endif
}

#endif
