/* SPDX-License-Identifier: MIT */
#include "steady.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void steady_check(int error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(error < 0 ? -error : error));
    exit(1);
}

void steady_ignore_wake(struct sse_registry *registry, void *user)
{
    (void)registry;
    (void)user;
}

static ssize_t take_all(void *user, const struct iovec *iov, int count)
{
    struct steady *steady = user;
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    steady->taken += size;
    return (ssize_t)size;
}

struct sse_str steady_topic(size_t index, char *text)
{
    int size = snprintf(text, 32, "topic-%zu", index);

    return (struct sse_str){.ptr = text, .len = (size_t)size};
}

static void open_pairs(struct steady *steady)
{
    for (size_t i = 0; i < STEADY_PAIRS; i++)
        steady_check(socketpair(AF_UNIX, SOCK_STREAM, 0, steady->pairs[i]), "socketpair");
}

static void open_emitter(struct steady *steady, size_t index, const struct steady_options *wanted)
{
    struct sse_emitter_options options = {.size = sizeof(options), .host = wanted->host, .user = steady};
    char text[32];
    struct sse_str topic = steady_topic(index, text);

    options.drain = wanted->sockets ? SSE_DRAIN_FD : SSE_DRAIN_CALLBACK;
    options.fd = wanted->sockets ? steady->pairs[index % STEADY_PAIRS][0] : 0;
    options.write = take_all;
    steady_check(sse_emitter_new(&steady->emitters[index], &options), "sse_emitter_new");
    steady_check(sse_registry_subscribe(steady->registry, steady->emitters[index], &topic,
                                        wanted->topics ? 1 : 0, (struct sse_str){.ptr = NULL}, NULL),
                 "sse_registry_subscribe");
}

void steady_open(struct steady *steady, const struct steady_options *wanted)
{
    const struct sse_registry_options options = {
        .size = sizeof(options),
        .host = wanted->host,
        .history = wanted->history,
        .on_wake = steady_ignore_wake,
    };

    *steady = (struct steady){.count = wanted->count, .sockets = wanted->sockets};
    steady->emitters = calloc(wanted->count, sizeof(struct sse_emitter *));
    steady_check(steady->emitters ? 0 : -1, "calloc");
    if (wanted->sockets)
        open_pairs(steady);
    steady_check(sse_registry_new(&steady->registry, &options), "sse_registry_new");
    for (size_t i = 0; i < wanted->count; i++)
        open_emitter(steady, i, wanted);
}

void steady_close(struct steady *steady)
{
    for (size_t i = 0; i < steady->count; i++)
        sse_emitter_unref(steady->emitters[i]);
    sse_registry_unref(steady->registry);
    for (size_t i = 0; steady->sockets && i < STEADY_PAIRS; i++) {
        close(steady->pairs[i][0]);
        close(steady->pairs[i][1]);
    }
    free(steady->emitters);
}

void steady_drain(struct steady *steady)
{
    static char buffer[1 << 18];

    for (size_t i = 0; steady->sockets && i < STEADY_PAIRS; i++) {
        ssize_t size = recv(steady->pairs[i][1], buffer, sizeof(buffer), MSG_DONTWAIT);

        steady->taken += size > 0 ? (uint64_t)size : 0;
    }
}
