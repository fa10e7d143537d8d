/* SPDX-License-Identifier: MIT */
#include "server.h"

#include "clock.h"
#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that are no connections: the standard three, listener, signals, and some to spare. */
#define DESCRIPTORS_RESERVED 16
#define CONNECTIONS_MAX 65536
/* Connections kept free to send clients away politely; a part of all, up to this. */
#define SHED_MAX 64

#define ACCEPTS_PER_TURN 64
#define ACCEPT_REST_MS 250

enum poll_index { POLL_SIGNALS, POLL_LISTENER, POLL_INPUT, POLL_CONNECTIONS };

/* What a system grants a program that does not ask is often less than the streams that are wanted. */
static void raise_limit(struct rlimit *limit)
{
    const rlim_t wanted = CONNECTIONS_MAX + DESCRIPTORS_RESERVED;
    struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit->rlim_max};

    if (limit->rlim_cur >= wanted)
        return;
    if (raised.rlim_cur > raised.rlim_max)
        raised.rlim_cur = raised.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        *limit = raised;
}

static int set_limits(struct server *server)
{
    struct rlimit limit;
    size_t connections = CONNECTIONS_MAX;
    size_t shed;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    raise_limit(&limit);
    if (limit.rlim_cur < 2 * DESCRIPTORS_RESERVED)
        return -EMFILE;
    if (limit.rlim_cur - DESCRIPTORS_RESERVED < connections)
        connections = (size_t)limit.rlim_cur - DESCRIPTORS_RESERVED;
    shed = connections / 8 < SHED_MAX ? connections / 8 : SHED_MAX;
    server->connections_max = connections;
    server->served_max = connections - shed;
    return 0;
}

static int make_room(struct server *server)
{
    size_t capacity = server->capacity > 0 ? 2 * server->capacity : 16;
    struct connection **connections;
    struct pollfd *polls;

    if (server->count < server->capacity)
        return 0;
    polls = realloc(server->polls, (POLL_CONNECTIONS + capacity) * sizeof(*polls));
    if (!polls)
        return -ENOMEM;
    server->polls = polls;
    connections = realloc(server->connections, capacity * sizeof(struct connection *));
    if (!connections)
        return -ENOMEM;
    server->connections = connections;
    server->capacity = capacity;
    return 0;
}

int server_begin(struct server *server, struct hub *hub, int listener)
{
    int error;

    *server = (struct server){.hub = hub, .listener = listener};
    error = set_limits(server);
    if (error == 0)
        error = make_room(server);
    if (error == 0)
        error = signals_begin(&server->signals);
    if (error < 0) {
        close(listener);
        free(server->polls);
        free(server->connections);
        return error;
    }
    input_begin(&server->input, hub, hub->options.read_stdin ? STDIN_FILENO : -1);
    return 0;
}

static int min_timeout(int timeout, int64_t deadline_ms, int64_t now_ms)
{
    int64_t left = deadline_ms > now_ms ? deadline_ms - now_ms : 0;

    if (deadline_ms == CLOCK_NEVER || (timeout >= 0 && timeout <= left))
        return timeout;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

static int next_timeout(const struct server *server, int64_t now_ms)
{
    int timeout = sse_registry_next_timeout(server->hub->registry);

    if (now_ms < server->accept_again_ms)
        timeout = min_timeout(timeout, server->accept_again_ms, now_ms);
    if (server->stopping)
        timeout = min_timeout(timeout, server->stop_deadline_ms, now_ms);
    for (size_t i = 0; i < server->count; ++i)
        timeout = min_timeout(timeout, server->connections[i]->deadline_ms, now_ms);
    return timeout;
}

static void fill_polls(struct server *server, int64_t now_ms)
{
    struct pollfd *polls = server->polls;
    bool accepts = server->count < server->connections_max && now_ms >= server->accept_again_ms;

    polls[POLL_SIGNALS] = (struct pollfd){.fd = server->signals.fd, .events = POLLIN};
    polls[POLL_LISTENER] = (struct pollfd){.fd = accepts ? server->listener : -1, .events = POLLIN};
    polls[POLL_INPUT] = (struct pollfd){.fd = server->input.fd, .events = POLLIN};
    for (size_t i = 0; i < server->count; ++i) {
        struct connection *connection = server->connections[i];

        polls[POLL_CONNECTIONS + i] = (struct pollfd){
            .fd = connection->fd,
            .events = connection_events(connection),
        };
    }
}

static void accept_one(struct server *server, int fd)
{
    struct connection *connection;

    ++server->hub->statistics.accepted;
    if (server->count < server->served_max)
        connection = connection_new(server->hub, fd);
    else
        connection = connection_new_shed(server->hub, fd);
    if (connection)
        server->connections[server->count++] = connection;
}

static void accept_all(struct server *server, int64_t now_ms)
{
    for (int i = 0; i < ACCEPTS_PER_TURN && server->count < server->connections_max; ++i) {
        int fd = make_room(server);

        if (fd == 0)
            fd = listener_accept(server->listener);
        if (fd >= 0) {
            accept_one(server, fd);
        } else if (fd == -EAGAIN) {
            return;
        } else if (fd != -ECONNABORTED) {
            server->accept_again_ms = now_ms + ACCEPT_REST_MS;
            return;
        }
    }
}

static void stop(struct server *server, int64_t now_ms)
{
    int error = ending_begin(&server->ending, server->hub->registry, &server->hub->options);

    server->stopping = true;
    server->stop_deadline_ms = now_ms + server->hub->options.grace_ms;
    close(server->listener);
    server->listener = -1;
    server->input.fd = -1;
    if (error < 0) {
        fprintf(stderr, "hub: the streams are broken off: %s\n", strerror(-error));
        server->stop_deadline_ms = now_ms;
    }
    for (size_t i = 0; i < server->count; ++i)
        connection_stop(server->connections[i]);
}

static void take_signals(struct server *server, int64_t now_ms)
{
    int signals = signals_take(&server->signals);

    if (signals > 0 && !server->stopping) {
        stop(server, now_ms);
        --signals;
    }
    /* Whoever asks again does not want to wait. */
    if (signals > 0)
        server->stop_deadline_ms = now_ms;
}

static void settle_all(struct server *server, int64_t now_ms)
{
    for (size_t i = 0; i < server->count;) {
        struct connection *connection = server->connections[i];

        connection_settle(connection, now_ms);
        if (connection->state != CONNECTION_CLOSED) {
            ++i;
            continue;
        }
        connection_free(connection);
        server->connections[i] = server->connections[--server->count];
    }
}

static void turn(struct server *server)
{
    const struct pollfd *polls = server->polls;
    size_t polled = server->count;
    int64_t now_ms = clock_now_ms();

    for (size_t i = 0; i < polled; ++i) {
        if (polls[POLL_CONNECTIONS + i].revents != 0)
            connection_on_events(server->connections[i], polls[POLL_CONNECTIONS + i].revents);
    }
    if (polls[POLL_INPUT].revents != 0)
        input_read(&server->input);
    if (polls[POLL_SIGNALS].revents != 0)
        take_signals(server, now_ms);
    sse_registry_tick(server->hub->registry);
    ending_check(&server->ending);
    settle_all(server, now_ms);
    if (polls[POLL_LISTENER].revents != 0 && !server->stopping)
        accept_all(server, now_ms);
}

static bool is_done(const struct server *server)
{
    return server->stopping && (server->count == 0 || clock_now_ms() >= server->stop_deadline_ms);
}

int server_run(struct server *server)
{
    while (!is_done(server)) {
        int64_t now_ms = clock_now_ms();
        int ready;

        fill_polls(server, now_ms);
        ready = poll(server->polls, (nfds_t)(POLL_CONNECTIONS + server->count), next_timeout(server, now_ms));
        if (ready < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (ready < 0)
            continue;
        turn(server);
    }
    return 0;
}

void server_end(struct server *server)
{
    for (size_t i = 0; i < server->count; ++i)
        connection_free(server->connections[i]);
    free(server->connections);
    free(server->polls);
    input_end(&server->input);
    signals_end(&server->signals);
    if (server->listener >= 0)
        close(server->listener);
}
