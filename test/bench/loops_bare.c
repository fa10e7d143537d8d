/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "loops_bare.h"
#include "cores.h"
#include "steady.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAMING 8 /* "data: " and two line feeds */
#define EVENT_MAX 2048

static void send_share(const struct bare *bare, size_t lane)
{
    static const char event[EVENT_MAX];

    for (size_t i = lane; i < bare->clients; i += bare->lanes)
        steady_check(
            send(bare->sockets[i], event, bare->size + FRAMING, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0,
            "send");
}

static void *run_second(void *argument)
{
    struct bare *bare = argument;

    stay_on_core(1);
    for (;;) {
        (void)pthread_barrier_wait(&bare->meet);
        if (!bare->size)
            return NULL;
        send_share(bare, 1);
        (void)pthread_barrier_wait(&bare->meet);
    }
}

void bare_open(struct bare *bare, size_t lanes, size_t clients)
{
    *bare = (struct bare){.lanes = lanes, .clients = clients, .sockets = malloc(clients * sizeof(int))};
    steady_check(bare->sockets ? 0 : -ENOMEM, "sockets");
    peers_open(&bare->peers, clients);
    for (size_t i = 0; i < clients; i++)
        bare->sockets[i] = peers_accept(&bare->peers);
    steady_check(-pthread_barrier_init(&bare->meet, NULL, (unsigned)lanes), "barrier");
    if (lanes == 2)
        steady_check(-pthread_create(&bare->thread, NULL, run_second, bare), "thread");
}

void bare_send(struct bare *bare, size_t size)
{
    bare->size = size;
    (void)pthread_barrier_wait(&bare->meet);
    send_share(bare, 0);
    (void)pthread_barrier_wait(&bare->meet);
}

void bare_close(struct bare *bare)
{
    if (bare->lanes == 2) {
        bare->size = 0;
        (void)pthread_barrier_wait(&bare->meet);
        pthread_join(bare->thread, NULL);
    }
    pthread_barrier_destroy(&bare->meet);
    for (size_t i = 0; i < bare->clients; i++)
        close(bare->sockets[i]);
    free(bare->sockets);
    peers_close(&bare->peers);
}
