/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LOOPS_BARE_H
#define BENCH_LOOPS_BARE_H

/** The limit for loops.c: one or two threads without the library, each of which calls send() for its share of the
 *  clients. How much sooner two are done is how far the kernel allows it. */

#include "loops_peers.h"

#include <pthread.h>

struct bare {
    struct peers peers;
    int *sockets;
    size_t clients;
    size_t lanes;           /* 1 or 2 */
    pthread_t thread;       /* of the second lane, on the second core */
    pthread_barrier_t meet; /* before and after each event */
    size_t size;            /* of the event; 0: the thread ends */
};

/** Call it before this process has threads. Errors end the program with a message. */
void bare_open(struct bare *bare, size_t lanes, size_t clients);

/** Sends an event of this size, with its framing, to all clients. */
void bare_send(struct bare *bare, size_t size);

void bare_close(struct bare *bare);

#endif
