/* SPDX-License-Identifier: MIT */
#include "nghttp2_server.h"
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define CLOSING_MS 1000
/* The time limits for a connection without a request, and for one whose client reads nothing. */
#define IDLE_MS 10000
#define STALL_MS 30000
/* How often these limits are checked while there are connections. */
#define LOOK_MS 1000

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags, void *user)
{
    struct connection *connection = user;
    ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL);

    (void)session, (void)flags;
    if (sent >= 0) {
        connection->written_ms = service_now_ms();
        return sent;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? NGHTTP2_ERR_WOULDBLOCK
                                                                     : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static bool add_connection(struct server *server, int fd)
{
    const nghttp2_settings_entry settings = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000};
    struct connection *connection = calloc(1, sizeof(*connection));
    struct pollfd *grown = realloc(server->polled, (server->count + 3) * sizeof(*grown));

    if (grown)
        server->polled = grown;
    if (!connection || !grown ||
        nghttp2_session_server_new(&connection->session, server->callbacks, connection)) {
        free(connection);
        return false;
    }
    set_nonblocking(fd);
    socket_set_options(fd);
    connection->fd = fd;
    connection->server = server;
    connection->active_ms = connection->written_ms = service_now_ms();
    connection->next = server->connections;
    server->connections = connection;
    server->count++;
    nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, &settings, 1);
    return true;
}

static void open_connection(struct server *server)
{
    int fd = accept(server->listener, NULL, NULL);

    if (fd >= 0 && !add_connection(server, fd))
        close(fd);
    else if (fd < 0 && service_must_pause(&server->service, errno))
        server->pause_end_ms = service_now_ms() + SERVICE_PAUSE_MS;
}

/* nghttp2_session_del calls no callback for the streams that it closes, so forget must be called here. */
static void close_connection(struct server *server, struct connection **link)
{
    struct connection *connection = *link;

    *link = connection->next;
    server->count--;
    while (connection->requests)
        forget(connection->requests);
    nghttp2_session_del(connection->session);
    close(connection->fd);
    free(connection);
}

/* Returns whether the connection stays open. */
static bool receive(struct connection *connection)
{
    uint8_t buffer[16384];
    ssize_t size = recv(connection->fd, buffer, sizeof(buffer), 0);

    if (size < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return size && nghttp2_session_mem_recv(connection->session, buffer, (size_t)size) >= 0;
}

/* Writes what the socket accepts. Returns whether the connection stays open. `writing`: bytes are left. */
static bool send_frames(struct connection *connection, int64_t now, bool *writing)
{
    nghttp2_session *session = connection->session;

    if (limit_requests(connection, now))
        connection->active_ms = now;
    if (now - connection->active_ms >= IDLE_MS)
        (void)nghttp2_session_terminate_session(session, NGHTTP2_NO_ERROR);
    if (nghttp2_session_send(session))
        return false;
    *writing = nghttp2_session_want_write(session);
    if (!*writing)
        connection->written_ms = now;
    if (now - connection->written_ms >= STALL_MS)
        return false;
    return *writing || nghttp2_session_want_read(session);
}

/* Writes to all connections, closes finished ones, and fills in what poll waits for. */
static nfds_t prepare(struct server *server)
{
    const int64_t now = service_now_ms();
    struct connection **link = &server->connections;
    nfds_t count = 2;

    server->polled[0] = (struct pollfd){.fd = server->wake[0], .events = POLLIN};
    server->polled[1] =
        (struct pollfd){.fd = now < server->pause_end_ms ? -1 : server->listener, .events = POLLIN};
    while (*link) {
        struct connection *connection = *link;
        bool writing = false;

        if (!send_frames(connection, now, &writing)) {
            close_connection(server, link);
            continue;
        }
        server->polled[count++] =
            (struct pollfd){.fd = connection->fd, .events = (short)(POLLIN | (writing ? POLLOUT : 0))};
        link = &connection->next;
    }
    return count;
}

static int timeout_of(const struct server *server, int timeout_ms)
{
    int most = -1;

    if (server->polled[1].fd < 0)
        most = SERVICE_PAUSE_MS;
    else if (server->connections)
        most = LOOK_MS;
    return most >= 0 && (timeout_ms < 0 || timeout_ms > most) ? most : timeout_ms;
}

void wait_and_receive(struct server *server, int timeout_ms)
{
    struct connection **link = &server->connections;
    nfds_t count = prepare(server);
    char bytes[64];

    if (poll(server->polled, count, timeout_of(server, timeout_ms)) <= 0)
        return;
    if (server->polled[0].revents)
        while (read(server->wake[0], bytes, sizeof(bytes)) > 0)
            continue;
    for (nfds_t i = 2; i < count; i++) {
        if (server->polled[i].revents & ~POLLOUT && !receive(*link))
            close_connection(server, link);
        else
            link = &(*link)->next;
    }
    if (server->polled[1].revents)
        open_connection(server);
}

bool make_wake(struct server *server)
{
    if (pipe(server->wake))
        return false;
    set_nonblocking(server->wake[0]);
    set_nonblocking(server->wake[1]);
    return true;
}

/* If the pipe is full, poll returns anyway. */
void wake(void *user)
{
    const struct server *server = user;
    ssize_t written = write(server->wake[1], "", 1);

    (void)written;
}

void say_goodbye(struct server *server)
{
    const int64_t end = service_now_ms() + CLOSING_MS;

    for (struct connection *connection = server->connections; connection; connection = connection->next)
        nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(connection->session), NGHTTP2_NO_ERROR,
                              NULL, 0);
    for (int64_t now = service_now_ms(); server->connections && now < end; now = service_now_ms())
        wait_and_receive(server, (int)(end - now));
    while (server->connections)
        close_connection(server, &server->connections);
}

bool open_server(struct server *server, int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    nghttp2_session_callbacks_set_send_callback(server->callbacks, on_send);
    server->polled = calloc(2, sizeof(*server->polled));
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (!server->polled || bind(server->listener, (const struct sockaddr *)&address, sizeof(address)) ||
        listen(server->listener, SOMAXCONN))
        return false;
    set_nonblocking(server->listener);
    return true;
}

void close_server(struct server *server)
{
    close(server->listener);
    close(server->wake[0]);
    close(server->wake[1]);
    free(server->polled);
}
