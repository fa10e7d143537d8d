/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* POLLRDHUP */

#include "loop_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "loop stage: %s (%s)\n", what, strerror(errno));
    abort();
}

bool loop_stage_has(enum sse_poller poller)
{
    struct sse_loop *loop = NULL;
    const struct sse_loop_options options = {.size = sizeof(options), .poller = poller};
    int error = sse_loop_new(&loop, &options);

    check(!error || error == -ENOTSUP, "no loop");
    sse_loop_free(loop);
    return !error;
}

bool loop_stage_hears_hangups(enum sse_poller poller)
{
#if defined(POLLRDHUP) && !defined(SSE_BARE_SYSTEM)
    (void)poller;
    return true;
#else
    return poller == SSE_POLLER_EPOLL;
#endif
}

void loop_stage_open(struct loop_stage *stage, enum sse_poller poller, bool real_time)
{
    memset(stage, 0, sizeof(*stage));
    stage->poller = poller;
    stage->descriptors = descriptor_count();
    fake_platform_init(&stage->fake);
    if (real_time)
        stage->fake.platform.now = NULL;
    check(!sse_registry_new(&stage->registry,
                            &(struct sse_registry_options){.size = sizeof(struct sse_registry_options),
                                                           .platform = &stage->fake.platform}),
          "no registry");
}

void loop_stage_open_loop(struct loop_stage *stage)
{
    const struct sse_loop_options options = {
        .size = sizeof(options), .platform = &stage->fake.platform, .poller = stage->poller};

    check(!sse_loop_new(&stage->loop, &options), "no loop");
}

void loop_stage_close(struct loop_stage *stage)
{
    sse_loop_free(stage->loop);
    sse_registry_unref(stage->registry);
    fake_platform_check_no_leak(&stage->fake);
    check(descriptor_count() == stage->descriptors, "descriptors leaked");
}

void loop_client_connect(struct loop_client *client, struct loop_stage *stage, enum loop_client_kind kind)
{
    static const enum pair_kind kinds[] = {PAIR_TCP, PAIR_STREAM, PAIR_PIPE, PAIR_PIPE};
    struct descriptor_pair pair;

    memset(client, 0, sizeof(*client));
    client->stage = stage;
    pair_open(&pair, kinds[kind]);
    if (kind == LOOP_CLIENT_PIPE)
        check(!fcntl(pair.server, F_SETFL, O_NONBLOCK), "no O_NONBLOCK");
    client->fd = pair.client;
    client->server_fd = pair.server;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct loop_client *client = user;

    (void)emitter;
    client->reason = completion->reason;
    client->error = completion->error;
    client->thread = pthread_self();
    if (client->when_ended)
        client->when_ended(client);
    atomic_fetch_add(&client->completions, 1);
}

static void on_release(void *user)
{
    struct loop_client *client = user;

    if (client->when_released)
        client->when_released(client);
    atomic_fetch_add(&client->releases, 1);
}

int loop_client_try_open(struct loop_client *client, const struct sse_emitter_options *options)
{
    struct sse_emitter_options all = {
        .stall_ms = SSE_TIMER_OFF, .drain_ms = SSE_TIMER_OFF, .heartbeat_ms = SSE_TIMER_OFF};

    if (options)
        all = *options;
    all.size = sizeof(all);
    all.platform = &client->stage->fake.platform;
    all.registry = client->stage->registry;
    all.loop = client->stage->loop;
    all.output = SSE_OUTPUT_FD;
    all.fd = client->server_fd;
    all.on_completion = on_completion;
    all.on_release = on_release;
    all.user = client;
    if (!all.queue_bytes)
        all.queue_bytes = (size_t)64 << 20;
    return sse_emitter_new(&client->emitter, &all, NULL);
}

/* Reads once from the client. Waits only for the client's end. */
static size_t receive_at_once(struct loop_client *client, void *buffer, size_t size)
{
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    ssize_t received;

    check(poll(&poll_fd, 1, -1) == 1, "no poll");
    received = read(client->fd, buffer, size);
    check(received > 0, "nothing received");
    return (size_t)received;
}

void loop_client_make_emitter(struct loop_client *client, const struct sse_emitter_options *options)
{
    const char *first = options && options->framing == SSE_FRAMING_CHUNKED ? "2\r\n:\n\r\n" : ":\n";
    char received[16];
    size_t size = 0;

    check(!loop_client_try_open(client, options), "no emitter");
    while (size < strlen(first))
        size += receive_at_once(client, received + size, strlen(first) - size);
    check(!memcmp(received, first, size), "another beginning");
}

void loop_client_open(struct loop_client *client, struct loop_stage *stage, enum loop_client_kind kind,
                      const struct sse_emitter_options *options)
{
    loop_client_connect(client, stage, kind);
    loop_client_make_emitter(client, options);
}

void loop_client_leave(struct loop_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

void loop_client_reset(struct loop_client *client)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    check(!setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), "no SO_LINGER");
    loop_client_leave(client);
}

/* Another thread may run the loop. */
static void dispatch_or_yield(struct loop_client *client)
{
    int error = sse_loop_dispatch(client->stage->loop, 0);

    check(!error || error == -EBUSY, "dispatch failed");
    if (error)
        sched_yield();
}

void loop_client_close(struct loop_client *client)
{
    bool was_open = client->emitter != NULL;

    sse_emitter_close(client->emitter);
    client->emitter = NULL;
    loop_client_leave(client);
    while (was_open && client->stage->loop && !atomic_load(&client->releases))
        dispatch_or_yield(client);
    check(!was_open || atomic_load(&client->releases) == 1, "not released, or twice");
}

int loop_client_send(struct loop_client *client, const char *data)
{
    const struct sse_event event = {.data = sse_str(data)};

    return sse_emitter_send(client->emitter, &event);
}

static size_t queued_bytes(struct sse_emitter *emitter)
{
    struct sse_emitter_info info;

    check(!sse_emitter_get_info(emitter, &info, sizeof(info)), "no info");
    return info.queued_bytes;
}

size_t loop_client_fill(struct loop_client *client)
{
    size_t size = (size_t)64 << 10;
    char *text = malloc(size);
    struct sse_event event = {.data = {.ptr = text, .len = size}};
    size_t total = 0;

    check(text != NULL, "no memory");
    memset(text, 'x', size);
    do {
        check(!sse_emitter_send(client->emitter, &event), "not sent");
        total += size + strlen("data: \n\n");
    } while (!queued_bytes(client->emitter));
    free(text);
    return total;
}

/* Waits neither in the loop nor for the client, because each may need the other to continue. */
static size_t receive(struct loop_client *client, void *buffer, size_t size)
{
    ssize_t received;

    do {
        check(!client->stage->loop || !sse_loop_dispatch(client->stage->loop, 0), "dispatch failed");
        received = read(client->fd, buffer, size);
    } while (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
    check(received > 0, "nothing received");
    return (size_t)received;
}

void loop_client_expect(struct loop_client *client, const char *bytes)
{
    while (*bytes) {
        char received[256];
        size_t left = strlen(bytes);
        size_t size = receive(client, received, left < sizeof(received) ? left : sizeof(received));

        if (memcmp(received, bytes, size))
            fprintf(stderr, "received <%.*s>, not <%s>\n", (int)size, received, bytes);
        check(!memcmp(received, bytes, size), "received something else");
        bytes += size;
    }
}

void loop_client_drain(struct loop_client *client, size_t size)
{
    char buffer[(size_t)64 << 10];

    while (size)
        size -= receive(client, buffer, size < sizeof(buffer) ? size : sizeof(buffer));
}

bool loop_client_is_quiet(struct loop_client *client)
{
    return !descriptor_is_readable(client->fd);
}

size_t loop_client_read_to_end(struct loop_client *client)
{
    char buffer[4096];
    size_t total = 0;
    ssize_t received;

    check(!fcntl(client->fd, F_SETFL, 0), "no blocking");
    while ((received = read(client->fd, buffer, sizeof(buffer))) > 0)
        total += (size_t)received;
    return total;
}

void loop_client_dispatch_to_end(struct loop_client *client)
{
    while (descriptor_is_open(client->server_fd))
        check(!sse_loop_dispatch(client->stage->loop, -1), "dispatch failed");
    while (!atomic_load(&client->completions))
        sched_yield();
}

static int set_up(void **state, bool real_time, bool has_loop)
{
    const enum sse_poller *poller = *state;
    struct loop_stage *stage = malloc(sizeof(*stage));

    check(stage != NULL, "memory");
    loop_stage_open(stage, *poller, real_time);
    if (has_loop)
        loop_stage_open_loop(stage);
    *state = stage;
    return 0;
}

int loop_stage_set_up(void **state)
{
    return set_up(state, false, true);
}

int loop_stage_set_up_real_time(void **state)
{
    return set_up(state, true, true);
}

int loop_stage_set_up_without_loop(void **state)
{
    return set_up(state, false, false);
}

int loop_stage_tear_down(void **state)
{
    loop_stage_close(*state);
    free(*state);
    return 0;
}

void loop_stage_dispatch(struct loop_stage *stage)
{
    check(!sse_loop_dispatch(stage->loop, 0), "dispatch");
}

static void *run_loop(void *argument)
{
    struct loop_runner *runner = argument;

    /* The thread that started this one may still dispatch for a client. */
    while ((runner->result = sse_loop_run(runner->stage->loop)) == -EBUSY)
        sched_yield();
    atomic_store(&runner->done, true);
    return NULL;
}

void loop_runner_start(struct loop_runner *runner, struct loop_stage *stage)
{
    *runner = (struct loop_runner){.stage = stage, .result = 1};
    check(!pthread_create(&runner->thread, NULL, run_loop, runner), "thread");
}

void loop_runner_join(struct loop_runner *runner)
{
    check(!pthread_join(runner->thread, NULL), "join");
}

void loop_runner_stop(struct loop_runner *runner)
{
    check(!sse_loop_stop(runner->stage->loop), "stop");
    loop_runner_join(runner);
    check(!runner->result, "run");
}

void loop_client_depart(struct loop_client *client)
{
    loop_client_leave(client);
    loop_client_dispatch_to_end(client);
    loop_client_close(client);
}

void *loop_client_read_and_leave(void *argument)
{
    struct loop_client *client = argument;
    size_t expected = (size_t)(uintptr_t)client->user;
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    char buffer[65536];
    ssize_t received;

    while (expected && poll(&poll_fd, 1, -1) == 1) {
        received = read(client->fd, buffer, sizeof(buffer));
        if (received > 0)
            expected -= (size_t)received;
    }
    loop_client_leave(client);
    return NULL;
}
