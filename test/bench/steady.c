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

/* The bench runs the loop when it has published. */
static void ignore_wake(struct sse_loop *loop, void *user)
{
    (void)loop;
    (void)user;
}

void steady_turn(struct steady *steady)
{
    int next = 1;

    if (steady->polled) {
        steady_check(sse_loop_dispatch(steady->loop, 0), "sse_loop_dispatch");
        return;
    }
    do
        next = sse_loop_turn(steady->loop);
    while (!next);
    steady_check(next < -1 ? next : 0, "sse_loop_turn");
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

struct sse_text steady_topic(size_t index, char *text)
{
    int size = snprintf(text, 32, "topic-%zu", index);

    return (struct sse_text){.ptr = text, .len = (size_t)size};
}

static void open_pairs(struct steady *steady)
{
    for (size_t i = 0; i < STEADY_PAIRS; i++)
        steady_check(socketpair(AF_UNIX, SOCK_STREAM, 0, steady->pairs[i]), "socketpair");
}

static void open_emitter(struct steady *steady, size_t index, const struct steady_options *wanted)
{
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = wanted->platform,
                                          .registry = steady->registry,
                                          .loop = steady->loop,
                                          .user = steady};
    char text[32];
    struct sse_text topic = steady_topic(index, text);

    options.topics = &topic;
    options.topic_count = wanted->topics ? 1 : 0;
    if (wanted->sockets) {
        options.output = SSE_OUTPUT_FD;
        options.fd = steady->pairs[index % STEADY_PAIRS][0];
        options.keep_fd = true;
    } else {
        options.output = SSE_OUTPUT_CALLBACK;
        options.write = take_all;
    }
    steady_check(sse_emitter_new(&steady->emitters[index], &options, NULL), "sse_emitter_new");
}

void steady_open(struct steady *steady, const struct steady_options *wanted)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .platform = wanted->platform, .history = wanted->history};
    const struct sse_loop_options driven = {
        .size = sizeof(driven), .platform = wanted->platform, .on_wake = wanted->polled ? NULL : ignore_wake};

    *steady = (struct steady){.count = wanted->count, .sockets = wanted->sockets, .polled = wanted->polled};
    steady->emitters = calloc(wanted->count, sizeof(struct sse_emitter *));
    steady_check(steady->emitters ? 0 : -1, "calloc");
    if (wanted->sockets)
        open_pairs(steady);
    steady_check(sse_registry_new(&steady->registry, &options), "sse_registry_new");
    steady_check(sse_loop_new(&steady->loop, &driven), "sse_loop_new");
    for (size_t i = 0; i < wanted->count; i++)
        open_emitter(steady, i, wanted);
    steady_turn(steady);
    steady_drain(steady);
}

void steady_close(struct steady *steady)
{
    for (size_t i = 0; i < steady->count; i++)
        sse_emitter_close(steady->emitters[i]);
    sse_loop_free(steady->loop);
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
