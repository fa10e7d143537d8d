/* SPDX-License-Identifier: MIT */
/* Scenarios about owners and their work, and about ends. */
#include "scenario.h"

#include <errno.h>

void play_loops(void)
{
    for (size_t i = 0; i < 6; i++)
        join(i, i < 4 ? CLIENT_SOCKET : CLIENT_PULL, (int)i % LOOPS, "a");
    publish('a');
    server_settle();
    publish('a');
    for (size_t i = 1; i < 6; i += 2)
        server.clients[i].may_end = 1u << SSE_REASON_CLOSED;
    server_close_loop(&server.loops[1]);
    publish('a');
    for (size_t i = 1; i < 6; i += 2)
        step_close(&server.clients[i]);
    server_settle();
    publish('a');
    server_settle();
}

static void fill(struct client *client)
{
    client_read(client, false);
    for (int i = 0; i < 4; i++)
        step_send(client, &(struct making){.padding = 3000});
    server_settle();
}

/* Clients that read late, close their sending side, send something, or disconnect. */
void play_descriptors(void)
{
    struct client *gone = &server.clients[4];

    join(0, CLIENT_SOCKET, 0, "a");
    join(1, CLIENT_PIPE, 0, "a");
    join(2, CLIENT_FILE, 0, "a");
    join(3, CLIENT_PIPE, NO_LOOP, "");
    join(4, CLIENT_SOCKET, 1, "a");
    join(5, CLIENT_SOCKET, 0, "");
    server_settle();
    for (size_t i = 0; i < 4; i++)
        fill(&server.clients[i]);
    publish('a');
    client_say(&server.clients[0]);
    client_half_close(&server.clients[5]);
    client_leave(gone);
    gone->may_end = 1u << SSE_REASON_DISCONNECTED;
    gone->may_lose_bytes = true;
    server_settle();
    for (size_t i = 0; i < 4; i++)
        client_read(&server.clients[i], true);
    server_settle();
    publish('a');
    send_to(&server.clients[5]);
    server_settle();
}

/* Only a polled loop watches sockets. */
void play_watch(void)
{
    struct client *callback = client_prepare(0, CLIENT_CALLBACK, 0), *shared, *pulling, *alone;
    bool watches = server.kind != LOOP_DRIVEN;

    if (watches)
        client_watch(callback, callback);
    step_join(callback, "a", NULL);
    shared = client_prepare(1, CLIENT_PULL, 0);
    if (watches && callback->used)
        client_watch(shared, callback);
    step_join(shared, "a", NULL);
    alone = client_prepare(2, CLIENT_CALLBACK, 1);
    pulling = client_prepare(3, CLIENT_PULL, 1);
    if (watches)
        client_watch(alone, alone);
    if (watches)
        client_watch(pulling, pulling);
    step_join(alone, "a", NULL);
    step_join(pulling, "a", NULL);
    publish('a');
    server_settle();
    client_read(callback, false);
    publish('a');
    server_settle();
    client_read(callback, true);
    if (watches)
        client_half_close(alone);
    for (size_t i = 0; watches && i < 4; i++)
        server.clients[i].may_end = 1u << SSE_REASON_DISCONNECTED;
    if (watches)
        client_leave(callback);
    server_settle();
    publish('a');
    step_close(pulling);
    server_settle();
}

static void pull_some(struct client *client)
{
    for (size_t size = 1; size < 40; size *= 3)
        step_consume(client, size);
}

void play_pull(void)
{
    for (size_t i = 0; i < 3; i++) {
        struct client *client = client_prepare(i, CLIENT_PULL, i == 2 ? NO_LOOP : (int)i);

        client->options.framing = i ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW;
        step_join(client, "a", NULL);
        client_read(client, false);
    }
    for (int i = 0; i < 6; i++) {
        publish('a');
        pull_some(&server.clients[i % 3]);
        send_to(&server.clients[i % 3]);
        server_settle();
    }
    step_complete(&server.clients[0]);
    step_consume(&server.clients[0], 1);
    for (size_t i = 0; i < 3; i++)
        client_read(&server.clients[i], true);
    server_settle();
    publish('a');
    server_settle();
}

static void wait_interrupted(struct client *client)
{
    int result;

    if (!client_is_open(client))
        return;
    expect(!sse_emitter_interrupt(client->emitter), "interrupt failed");
    result = step_wait(client, 0);
    expect(result == -EINTR || result == -ENOMEM, "not interrupted");
}

/* One wait in each lasting state. Its time is the system's. */
void play_wait(void)
{
    struct client *reader, *socket, *looped;

    join(0, CLIENT_PULL, NO_LOOP, "a");
    join(1, CLIENT_SOCKET, NO_LOOP, "");
    join(2, CLIENT_PULL, 0, "a");
    reader = &server.clients[0];
    socket = &server.clients[1];
    looped = &server.clients[2];
    publish('a');
    (void)step_wait(reader, 0);
    (void)step_wait(looped, 0);
    server_settle();
    (void)step_wait(reader, 1);
    wait_interrupted(reader);
    wait_interrupted(looped);
    client_read(socket, false);
    for (int i = 0; i < 4; i++)
        step_send(socket, &(struct making){.padding = 3000});
    (void)step_wait(socket, 1);
    client_read(socket, true);
    client_take(socket);
    (void)step_wait(socket, 1);
    server_settle();
    expect(sse_registry_wait(server.registry, 0) == (reader->used || looped->used ? -ETIMEDOUT : 0),
           "not as many emitters as remain");
    step_complete(socket);
    step_complete(reader);
    (void)step_wait(reader, 1);
    server_settle();
}

static struct client *prepare_timed(size_t which, enum client_kind kind, int loop)
{
    struct client *client = client_prepare(which, kind, loop);

    client->options.heartbeat_ms = 1000;
    client->options.stall_ms = 3000;
    client->options.drain_ms = 500;
    client->may_end =
        1u << SSE_REASON_STALLED | 1u << SSE_REASON_DRAIN_TIMEOUT | 1u << SSE_REASON_NOT_STARTED;
    return client;
}

void play_timers(void)
{
    struct client *old = prepare_timed(0, CLIENT_SOCKET, 0), *stalled, *draining, *late;

    old->options.lifetime_ms = 2500;
    step_join(old, "a", NULL);
    stalled = prepare_timed(1, CLIENT_SOCKET, 0);
    step_join(stalled, "a", NULL);
    draining = prepare_timed(2, CLIENT_CALLBACK, 1);
    step_join(draining, "a", NULL);
    late = prepare_timed(3, CLIENT_PULL, 1);
    late->options.paused = true;
    late->options.start_ms = 2000;
    step_join(late, "a", NULL);
    server_settle();
    client_read(stalled, false);
    client_read(draining, false);
    for (int i = 0; i < 6; i++) {
        publish_large('a');
        if (i == 1)
            step_complete(draining);
        server_advance_ms(700);
    }
    server_settle();
}

static void join_paused(size_t which, enum client_kind kind, int loop)
{
    struct client *client = client_prepare(which, kind, loop);

    client->options.paused = true;
    step_join(client, "a", NULL);
    send_to(client);
}

/* A registry cannot be used after its shutdown, so each run makes a new one. */
void play_shutdown(void)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &server.fake.platform};
    struct sse_registry *registry = NULL;

    if (step_new_registry(&registry, &options))
        return;
    server_use_registry(registry);
    join(0, CLIENT_SOCKET, 0, "a");
    join(1, CLIENT_PULL, 0, "a");
    join(2, CLIENT_CALLBACK, 1, "a");
    join(3, CLIENT_SOCKET, 1, "a");
    join_paused(4, CLIENT_SOCKET, 0);
    server_settle();
    client_read(&server.clients[2], false);
    publish('a');
    server_settle();
    if (!step_shutdown())
        step_join_refused(client_prepare(5, CLIENT_SOCKET, 0), "a", -ECONNREFUSED);
    client_read(&server.clients[2], true);
    server_settle();
}
