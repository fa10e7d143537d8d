/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LOOPS_PEERS_H
#define BENCH_LOOPS_PEERS_H

/** Clients in a process of their own, which read only when they are told to. Without memory, files or sockets
 *  the program ends with a message. */

#include <stddef.h>
#include <sys/types.h>

struct peers {
    pid_t process;
    int listener;
    int control; /* a byte to it: read all; a byte from it: all is read */
};

/** Starts a process that connects so many clients. Before this process has threads. */
void peers_open(struct peers *peers, size_t count);

/** The server's end of the next one. */
int peers_accept(struct peers *peers);

/** Has them read what has come. */
void peers_drain(struct peers *peers);

void peers_close(struct peers *peers);

#endif
