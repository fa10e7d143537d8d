/* SPDX-License-Identifier: MIT */
#include "server.h"

#include "clock.h"
#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that are not connections: the standard three, listener, signals, the loop's, and some spare ones. */
#define DESCRIPTORS_RESERVED 16
#define CONNECTIONS_MAX 65536
/* Connections that stay free to refuse clients politely: a share of all, but at most this many. */
#define SHED_MAX 64

#define ACCEPTS_PER_TURN 64
#define ACCEPT_REST_MS 250

/* How often the loop of the streams is called if it has no descriptor to wait for. */
#define DISPATCH_INTERVAL_MS 20

/* Deadlines are checked only this often, because checking them all in every turn is expensive with many
 * requests. */
#define CHECK_MS 100

/* Listener, signals, standard input, the loop. */
#define DESCRIPTORS_WAITED_FOR 4

/* Raises the limit of descriptors, because the system often grants fewer than the hub's streams need. */
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

static int wait_for(struct server *server, int fd, void *user)
{
    return fd < 0 ? 0 : waiter_set(&server->waiter, fd, POLLIN, user, false);
}

static int wait_for_all(struct server *server)
{
    int error = wait_for(server, server->signals.fd, &server->signals);

    if (error == 0)
        error = wait_for(server, server->streams, &server->streams);
    if (error == 0)
        error = wait_for(server, server->listener, &server->listener);
    server->listens = true;
    if (error == 0)
        error = wait_for(server, server->input.fd, &server->input);
    server->input_is_file = error == -EPERM;
    return server->input_is_file ? 0 : error;
}

static int begin_waiting(struct server *server)
{
    const struct options *options = &server->hub->options;
    int error =
        waiter_begin(&server->waiter, options->poller, server->connections_max + DESCRIPTORS_WAITED_FOR);

    if (error < 0)
        return error;
    error = signals_begin(&server->signals);
    if (error == 0) {
        input_begin(&server->input, server->hub, options->read_stdin ? STDIN_FILENO : -1);
        error = wait_for_all(server);
        if (error < 0)
            signals_end(&server->signals);
    }
    if (error < 0)
        waiter_end(&server->waiter);
    return error;
}

int server_begin(struct server *server, struct hub *hub, int listener)
{
    int error;

    *server = (struct server){.hub = hub, .listener = listener, .streams = sse_loop_fd(hub->loop)};
    error = set_limits(server);
    if (error == 0) {
        server->connections = calloc(server->connections_max, sizeof(struct connection *));
        error = server->connections ? begin_waiting(server) : -ENOMEM;
    }
    if (error < 0) {
        close(listener);
        free(server->connections);
    }
    return error;
}

/** Returns the number of connections of all kinds: requests and streams. */
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

    if (server->input_is_file && server->input.fd >= 0)
        return 0;
    if (now_ms < server->accept_again_ms)
        timeout = min_timeout(timeout, server->accept_again_ms, now_ms);
    if (server->stopping)
        timeout = min_timeout(timeout, server->stop_deadline_ms, now_ms);
    if (server->count > 0)
        timeout = min_timeout(timeout, server->check_ms, now_ms);
    return timeout;
}

/** Listens only while one more connection can be accepted. */
static int choose_listening(struct server *server, int64_t now_ms)
{
    bool listens = count_all(server) < server->connections_max && now_ms >= server->accept_again_ms;

    if (server->listener < 0 || listens == server->listens)
        return 0;
    server->listens = listens;
    return waiter_set(&server->waiter, server->listener, listens ? POLLIN : 0, &server->listener, true);
}

static void forget(struct server *server, struct connection *connection)
{
    struct connection *last = server->connections[--server->count];

    waiter_remove(&server->waiter, connection->waited_fd, connection);
    server->connections[connection->index] = last;
    last->index = connection->index;
    connection_free(connection);
}

/** Removes a connection that is closed, and otherwise waits for what it needs now. */
static void settle(struct server *server, struct connection *connection)
{
    short events = connection_events(connection);

    if (connection->state == CONNECTION_CLOSED) {
        forget(server, connection);
        return;
    }
    if (events == connection->waited_events)
        return;
    connection->waited_events = events;
    if (waiter_set(&server->waiter, connection->waited_fd, events, connection, true) < 0)
        forget(server, connection);
}

static void add(struct server *server, int fd, bool shed)
{
    struct connection *connection = connection_new(server->hub, fd, shed);

    if (!connection)
        return;
    connection->waited_fd = fd;
    connection->waited_events = connection_events(connection);
    if (waiter_set(&server->waiter, fd, connection->waited_events, connection, false) < 0) {
        connection_free(connection);
        return;
    }
    connection->index = server->count;
    server->connections[server->count++] = connection;
}

/** Pauses until descriptors or memory are free, and prints this once. */
static void rest(struct server *server, int error, int64_t now_ms)
{
    server->accept_again_ms = now_ms + ACCEPT_REST_MS;
    if (!server->is_short)
        fprintf(stderr, "hub: cannot accept new connections for now: %s\n", strerror(-error));
    server->is_short = true;
}

static void accept_all(struct server *server, int64_t now_ms)
{
    for (int i = 0; i < ACCEPTS_PER_TURN && count_all(server) < server->connections_max; ++i) {
        bool shed = count_all(server) >= server->served_max;
        int fd = listener_accept(server->listener);

        if (fd == -ECONNABORTED)
            continue;
        if (fd == -EAGAIN)
            server->is_short = false;
        else if (fd < 0)
            rest(server, fd, now_ms);
        if (fd < 0)
            return;
        ++server->hub->statistics.accepted;
        add(server, fd, shed);
    }
}

static void end_input(struct server *server)
{
    waiter_remove(&server->waiter, STDIN_FILENO, &server->input);
    server->input.fd = -1;
}

static void read_input(struct server *server)
{
    input_read(&server->input);
    if (server->input.fd < 0)
        end_input(server);
}

static void stop(struct server *server, int64_t now_ms)
{
    int error = hub_shut_down(server->hub);

    server->stopping = true;
    server->stop_deadline_ms = now_ms + server->hub->options.grace_ms;
    waiter_remove(&server->waiter, server->listener, &server->listener);
    close(server->listener);
    server->listener = -1;
    end_input(server);
    if (error < 0) {
        fprintf(stderr, "hub: the shutdown failed, so the streams are aborted: %s\n", strerror(-error));
        server->stop_deadline_ms = now_ms;
    }
    for (size_t i = server->count; i-- > 0;) {
        connection_stop(server->connections[i]);
        settle(server, server->connections[i]);
    }
}

static void take_signals(struct server *server, int64_t now_ms)
{
    int signals = signals_take(&server->signals);

    if (signals > 0 && !server->stopping) {
        stop(server, now_ms);
        --signals;
    }
    /* A second signal means: do not wait. */
    if (signals > 0)
        server->stop_deadline_ms = now_ms;
}

static void check_deadlines(struct server *server, int64_t now_ms)
{
    if (now_ms < server->check_ms)
        return;
    server->check_ms = now_ms + CHECK_MS;
    for (size_t i = server->count; i-- > 0;) {
        connection_check_deadline(server->connections[i], now_ms);
        settle(server, server->connections[i]);
    }
}

static void act(struct server *server, const struct waiter_event *event, int64_t now_ms)
{
    if (event->user == &server->input) {
        read_input(server);
    } else if (event->user == &server->listener) {
        accept_all(server, now_ms);
    } else if (event->user != &server->streams && event->user != &server->signals) {
        connection_on_events(event->user, event->events);
        settle(server, event->user);
    }
}

/* Signals come last, because they close the listener and connections that other events may belong to. */
static int turn(struct server *server, const struct waiter_event *events, int count)
{
    int64_t now_ms = clock_now_ms();
    bool signalled = false;

    for (int i = 0; i < count; ++i) {
        act(server, &events[i], now_ms);
        signalled = signalled || events[i].user == &server->signals;
    }
    if (server->input_is_file && server->input.fd >= 0)
        read_input(server);
    check_deadlines(server, now_ms);
    if (signalled)
        take_signals(server, now_ms);
    return sse_loop_dispatch(server->hub->loop, 0);
}

static bool is_done(const struct server *server)
{
    return server->stopping && (count_all(server) == 0 || clock_now_ms() >= server->stop_deadline_ms);
}

int server_run(struct server *server)
{
    struct waiter_event events[WAITER_EVENTS_MAX];
    int error = 0;

    while (error == 0 && !is_done(server)) {
        int64_t now_ms = clock_now_ms();
        int count;

        error = choose_listening(server, now_ms);
        if (error < 0)
            break;
        count = waiter_wait(&server->waiter, next_timeout(server, now_ms), events);
        error = count < 0 ? count : turn(server, events, count);
    }
    return error;
}

void server_end(struct server *server)
{
    for (size_t i = 0; i < server->count; ++i)
        connection_free(server->connections[i]);
    free(server->connections);
    waiter_end(&server->waiter);
    input_end(&server->input);
    signals_end(&server->signals);
    if (server->listener >= 0)
        close(server->listener);
}
