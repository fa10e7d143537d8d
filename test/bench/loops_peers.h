/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LOOPS_PEERS_H
#define BENCH_LOOPS_PEERS_H

/** Clients in their own process, which read only when they are told to. Without memory, files or sockets the
 *  program ends with a message. */

#include <stddef.h>
#include <sys/types.h>

struct peers {
    pid_t process;
    int listener;
    int control; /* a byte to it: read everything; a byte from it: everything is read */
};

/** Starts a process that connects this many clients. Call it before this process has threads. */
void peers_open(struct peers *peers, size_t count);

/** Returns the server's end of the next client. */
int peers_accept(struct peers *peers);

/** Makes them read everything. */
void peers_drain(struct peers *peers);

void peers_close(struct peers *peers);

#endif
