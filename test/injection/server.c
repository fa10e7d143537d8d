/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "fault.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

/* No scenario needs more. */
#define ROUNDS_MAX 1000
#define DESCRIPTORS_MAX 40

struct server server;

static const char *const kinds[LOOP_KINDS] = {"a driven loop", "a loop with poll", "a loop with epoll"};

void expect(bool holds, const char *what)
{
    if (!holds)
        fail_msg("%s, %s, %s: %s", server.scenario, kinds[server.kind], fault_text(), what);
}

bool loop_kind_exists(enum loop_kind kind)
{
    const struct sse_loop_options options = {.size = sizeof(options), .poller = SSE_POLLER_EPOLL};
    struct sse_loop *loop = NULL;
    int error = kind == LOOP_EPOLL ? sse_loop_new(&loop, &options) : 0;

    sse_loop_free(loop);
    return !error;
}

static unsigned long count_descriptors(void)
{
    unsigned long count = 0;

    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static unsigned long descriptors_before;
static bool is_fresh; /* the previous server was closed, and has left nothing */

static void on_wake(struct sse_loop *loop, void *user)
{
    struct served_loop *served = user;

    (void)loop;
    expect(!served->inside, "on_wake from inside the turn");
    expect(!served->woken, "on_wake twice before a turn");
    served->woken = true;
}

int server_open_loop(struct served_loop *served)
{
    const struct sse_loop_options options = {
        .size = sizeof(options),
        .platform = &server.fake.platform,
        .poller = server.kind == LOOP_POLL ? SSE_POLLER_POLL : SSE_POLLER_EPOLL,
        .on_wake = server.kind == LOOP_DRIVEN ? on_wake : NULL,
        .user = served,
    };
    struct sse_loop *loop = NULL;
    int error = sse_loop_new(&loop, &options), fd = -1;

    if (!error && server.kind != LOOP_DRIVEN) {
        fd = sse_loop_fd(loop);
        error = fd == -ENOTSUP || fd >= 0 ? 0 : fd;
    }
    if (error) {
        sse_loop_free(loop);
        return error;
    }
    *served = (struct served_loop){.loop = loop, .fd = fd, .deadline = UINT64_MAX};
    return 0;
}

void server_close_loop(struct served_loop *served)
{
    served->inside = true;
    sse_loop_free(served->loop);
    served->inside = false;
    served->loop = NULL;
}

void server_use_registry(struct sse_registry *registry)
{
    sse_registry_unref(server.registry);
    server.registry = registry;
}

void server_open(const char *scenario, enum loop_kind kind, const struct sse_registry_options *given)
{
    struct sse_registry_options options = *given;

    (void)fault_disarm();
    server.scenario = scenario;
    server.kind = kind;
    server.number = 0;
    server.retained = 0;
    server.progress = 0;
    server.registry = NULL;
    server.tells_gap = options.gap_type.ptr;
    server.has_history = options.history.events;
    server.loses_history = options.history.events && options.history.events < EVENTS_MAX;
    peers_init();
    if (!is_fresh)
        descriptors_before = count_descriptors();
    is_fresh = false;
    fake_platform_init(&server.fake);
    options.size = sizeof(options);
    options.platform = &server.fake.platform;
    expect(!sse_registry_new(&server.registry, &options), "no registry");
    for (size_t i = 0; i < LOOPS; i++)
        expect(!server_open_loop(&server.loops[i]), "no loop");
    for (size_t i = 0; i < CLIENTS; i++)
        server.clients[i].used = false;
}

void server_close(void)
{
    sse_registry_unref(server.registry);
    for (size_t i = 0; i < LOOPS; i++)
        server_close_loop(&server.loops[i]);
    expect(!atomic_load(&server.fake.blocks), "memory leaked");
    expect(count_descriptors() == descriptors_before, "a descriptor leaked");
    is_fresh = true;
}

static void take_turn(struct served_loop *served)
{
    int result;

    served->woken = false;
    served->inside = true;
    result = sse_loop_turn(served->loop);
    served->inside = false;
    expect(result >= -1, "a turn failed");
    served->deadline = result < 0 ? UINT64_MAX : atomic_load(&server.fake.now) + (uint64_t)result * 1000000;
}

static bool is_readable(int fd)
{
    struct pollfd asked = {.fd = fd, .events = POLLIN};
    bool readable;

    faulty_calls_pause(true);
    readable = poll(&asked, 1, 0) > 0;
    faulty_calls_pause(false);
    return readable;
}

/* The errors of a wait that stay. */
static bool may_fail(int error)
{
    const struct fault *fault = fault_last();

    return fault_has_struck() && fault->kind == FAULT_CALL && fault->call == FAULTY_POLL &&
           error == -fault->error && error != -EAGAIN && error != -EINTR;
}

static void dispatch(struct served_loop *served)
{
    int error;

    served->inside = true;
    error = sse_loop_dispatch(served->loop, 0);
    served->inside = false;
    expect(!error || may_fail(error), "a dispatch failed");
}

static bool tells_of_work(const struct served_loop *served)
{
    return server.kind == LOOP_DRIVEN || served->fd >= 0;
}

/* Returns true if the loop has reported work. The test serves it only then, so a lost wake is noticed. */
static bool serve(struct served_loop *served)
{
    if (!served->loop ||
        (server.kind == LOOP_DRIVEN && !served->woken && served->deadline > atomic_load(&server.fake.now)))
        return false;
    if (server.kind == LOOP_DRIVEN)
        take_turn(served);
    else if (served->fd < 0 ? sse_loop_count(served->loop) > 0 : is_readable(served->fd))
        dispatch(served);
    else
        return false;
    return tells_of_work(served);
}

/* Returns true if something happened. */
static bool serve_all(void)
{
    unsigned long before = server.progress;
    bool worked = false;

    for (size_t i = 0; i < LOOPS; i++)
        worked |= serve(&server.loops[i]);
    for (size_t i = 0; i < CLIENTS; i++)
        if (server.clients[i].used && server.clients[i].emitter)
            client_take(&server.clients[i]);
    return worked || server.progress != before;
}

void server_settle(void)
{
    /* Work for two turns need not be visible in the first. */
    int enough = tells_of_work(&server.loops[0]) ? 1 : 2, rounds = 0;

    for (int quiet = 0; quiet < enough; quiet++) {
        if (serve_all())
            quiet = -1;
        expect(++rounds < ROUNDS_MAX, "work is left after the most turns");
    }
}

void server_advance_ms(uint64_t milliseconds)
{
    fake_platform_advance_ms(&server.fake, milliseconds);
    for (size_t i = 0; i < LOOPS && server.kind != LOOP_DRIVEN; i++)
        if (server.loops[i].loop)
            dispatch(&server.loops[i]);
    server_settle();
}

void picture_take(struct picture *picture, const struct client *client)
{
    memset(picture, 0, sizeof(*picture));
    expect(!sse_registry_get_stats(server.registry, &picture->stats, sizeof(picture->stats)),
           "no statistics");
    for (size_t i = 0; i < LOOPS; i++)
        picture->emitters[i] = sse_loop_count(server.loops[i].loop);
    picture->progress = server.progress;
    picture->client = client;
    if (client && client->emitter)
        picture->info = client_info(client);
}

static bool is_same_info(const struct sse_emitter_info *one, const struct sse_emitter_info *other)
{
    return one->state == other->state && one->paused == other->paused && one->events == other->events &&
           one->queued_bytes == other->queued_bytes && one->queued_messages == other->queued_messages &&
           one->bytes == other->bytes && one->dropped == other->dropped;
}

/* Without the padding between the members. */
static bool are_same_stats(const struct sse_registry_stats *one, const struct sse_registry_stats *other)
{
    const size_t flag = offsetof(struct sse_registry_stats, shutting_down);
    const size_t behind = offsetof(struct sse_registry_stats, shutdown_completed);

    return !memcmp(one, other, flag) && one->shutting_down == other->shutting_down &&
           !memcmp((const char *)one + behind, (const char *)other + behind, sizeof(*one) - behind);
}

bool picture_is_unchanged(const struct picture *before)
{
    struct picture after;
    bool same;

    picture_take(&after, before->client);
    same = are_same_stats(&before->stats, &after.stats) && before->progress == after.progress &&
           is_same_info(&before->info, &after.info);
    for (size_t i = 0; i < LOOPS; i++)
        same = same && before->emitters[i] == after.emitters[i];
    return same;
}
