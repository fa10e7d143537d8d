/* SPDX-License-Identifier: MIT */
#include "server.h"

#include "clock.h"
#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that are no connections: the standard three, listener, signals, the loop's, some to spare. */
#define DESCRIPTORS_RESERVED 16
#define CONNECTIONS_MAX 65536
/* Connections that are kept free to refuse clients politely; a part of all, up to this. */
#define SHED_MAX 64

#define ACCEPTS_PER_TURN 64
#define ACCEPT_REST_MS 250

/* Where the loop of the streams has no descriptor to wait for. */
#define DISPATCH_INTERVAL_MS 20

enum poll_index { POLL_SIGNALS, POLL_LISTENER, POLL_INPUT, POLL_STREAMS, POLL_CONNECTIONS };

/* The system often grants less than the streams that are wanted, unless a program asks. */
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

static int allocate(struct server *server)
{
    server->connections = calloc(server->connections_max, sizeof(struct connection *));
    server->polls = calloc(POLL_CONNECTIONS + server->connections_max, sizeof(*server->polls));
    return server->connections && server->polls ? 0 : -ENOMEM;
}

int server_begin(struct server *server, struct hub *hub, int listener)
{
    int error;

    *server = (struct server){.hub = hub, .listener = listener, .streams = sse_loop_fd(hub->loop)};
    error = set_limits(server);
    if (error == 0)
        error = allocate(server);
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

/** Connections of all kinds: requests and streams. */
static size_t count_all(const struct server *server)
{
    return server->count + sse_loop_count(server->hub->loop);
}

static int min_timeout(int timeout, int64_t deadline_ms, int64_t now_ms)
{
    int64_t left = deadline_ms > now_ms ? deadline_ms - now_ms : 0;

    if (timeout >= 0 && timeout <= left)
        return timeout;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

static int next_timeout(const struct server *server, int64_t now_ms)
{
    int timeout = server->streams >= 0 ? -1 : DISPATCH_INTERVAL_MS;

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
    bool accepts = count_all(server) < server->connections_max && now_ms >= server->accept_again_ms;

    polls[POLL_SIGNALS] = (struct pollfd){.fd = server->signals.fd, .events = POLLIN};
    polls[POLL_LISTENER] = (struct pollfd){.fd = accepts ? server->listener : -1, .events = POLLIN};
    polls[POLL_INPUT] = (struct pollfd){.fd = server->input.fd, .events = POLLIN};
    polls[POLL_STREAMS] = (struct pollfd){.fd = server->streams, .events = POLLIN};
    for (size_t i = 0; i < server->count; ++i) {
        struct connection *connection = server->connections[i];

        polls[POLL_CONNECTIONS + i] = (struct pollfd){
            .fd = connection->fd,
            .events = connection_events(connection),
        };
    }
}

static void accept_all(struct server *server, int64_t now_ms)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; ++i) {
        size_t count = count_all(server);
        struct connection *connection;
        int fd = count < server->connections_max ? listener_accept(server->listener) : -EAGAIN;

        if (fd == -EAGAIN)
            return;
        if (fd == -ECONNABORTED)
            continue;
        if (fd < 0) {
            server->accept_again_ms = now_ms + ACCEPT_REST_MS;
            return;
        }
        ++server->hub->statistics.accepted;
        connection = connection_new(server->hub, fd, count >= server->served_max);
        if (connection)
            server->connections[server->count++] = connection;
    }
}

static void stop(struct server *server, int64_t now_ms)
{
    int error = hub_shut_down(server->hub);

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
    /* A second signal asks not to wait. */
    if (signals > 0)
        server->stop_deadline_ms = now_ms;
}

static void settle_all(struct server *server, int64_t now_ms)
{
    for (size_t i = 0; i < server->count;) {
        struct connection *connection = server->connections[i];

        connection_check_deadline(connection, now_ms);
        if (connection->state != CONNECTION_CLOSED) {
            ++i;
            continue;
        }
        connection_free(connection);
        server->connections[i] = server->connections[--server->count];
    }
}

static int turn(struct server *server)
{
    const struct pollfd *polls = server->polls;
    size_t polled = server->count;
    int64_t now_ms = clock_now_ms();
    int error;

    for (size_t i = 0; i < polled; ++i) {
        if (polls[POLL_CONNECTIONS + i].revents != 0)
            connection_on_events(server->connections[i], polls[POLL_CONNECTIONS + i].revents);
    }
    if (polls[POLL_INPUT].revents != 0)
        input_read(&server->input);
    if (polls[POLL_SIGNALS].revents != 0)
        take_signals(server, now_ms);
    error = sse_loop_dispatch(server->hub->loop, 0);
    settle_all(server, now_ms);
    if (polls[POLL_LISTENER].revents != 0 && !server->stopping)
        accept_all(server, now_ms);
    return error;
}

static bool is_done(const struct server *server)
{
    return server->stopping && (count_all(server) == 0 || clock_now_ms() >= server->stop_deadline_ms);
}

int server_run(struct server *server)
{
    int error = 0;

    while (error == 0 && !is_done(server)) {
        int64_t now_ms = clock_now_ms();
        int ready;

        fill_polls(server, now_ms);
        ready = poll(server->polls, (nfds_t)(POLL_CONNECTIONS + server->count), next_timeout(server, now_ms));
        if (ready >= 0)
            error = turn(server);
        else if (errno != EINTR && errno != EAGAIN)
            error = -errno;
    }
    return error;
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
