/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL over plain sockets and poll: CALLBACK. Whoever publishes encrypts and writes; the loop's
 * thread reads, and flushes when a socket has room again.
 *
 *     host_openssl PORT HEARTBEAT_MS CERTIFICATE.pem KEY.pem
 */
#include "request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- the adapter ---------------------------------------------------------------------------- */

/* An SSL is for one thread at a time. */
struct tls {
    pthread_mutex_t lock;
    SSL *ssl;
    void *connection; /* until close_stream */
};

/* For SSL_accept, SSL_read and SSL_write: the bytes, -EAGAIN, or that the client is gone. */
static ssize_t result_of(SSL *ssl, int result)
{
    int error = SSL_get_error(ssl, result);

    if (result > 0)
        return result;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? -EAGAIN : -ECONNRESET;
}

/* SSL_write wants the same bytes again after -EAGAIN, and at least as many: so one piece at a time, and
 * an overflow that takes nothing out of the queue, which is CLOSE or DROP_NEWEST. */
static ssize_t write_tls(void *user, const struct iovec *iov, int count)
{
    struct tls *tls = user;
    ssize_t result;

    (void)count;
    pthread_mutex_lock(&tls->lock);
    ERR_clear_error();
    result = result_of(
        tls->ssl, SSL_write(tls->ssl, iov->iov_base, iov->iov_len < INT_MAX ? (int)iov->iov_len : INT_MAX));
    pthread_mutex_unlock(&tls->lock);
    return result;
}

static ssize_t read_tls(struct tls *tls, void *buffer, int size)
{
    ssize_t result;

    pthread_mutex_lock(&tls->lock);
    ERR_clear_error();
    result = result_of(tls->ssl, SSL_read(tls->ssl, buffer, size));
    pthread_mutex_unlock(&tls->lock);
    return result;
}

static struct tls *open_tls(SSL_CTX *context, int fd)
{
    struct tls *tls = calloc(1, sizeof(*tls));

    if (!tls)
        return NULL;
    tls->ssl = SSL_new(context);
    if (!tls->ssl || !SSL_set_fd(tls->ssl, fd)) {
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    SSL_set_accept_state(tls->ssl);
    SSL_set_mode(tls->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    pthread_mutex_init(&tls->lock, NULL);
    return tls;
}

/* on_release: no thread is inside the callback any more. */
static void free_tls(void *user)
{
    struct tls *tls = user;

    SSL_free(tls->ssl);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

/* The owner's last call; close_notify tells the client that nothing was cut off. */
static void close_stream(struct sse_emitter *emitter, struct tls *tls)
{
    bool graceful = sse_emitter_flush(emitter) == -ESHUTDOWN;

    (void)sse_emitter_complete_with_error(emitter, -ECONNRESET);
    (void)sse_emitter_detach(emitter);
    if (graceful)
        (void)SSL_shutdown(tls->ssl);
    sse_emitter_unref(emitter);
}

/* -- the server ----------------------------------------------------------------------------- */

/* The most that SSL_read has for one call. */
#define RECORD_SIZE 16384

struct connection {
    struct connection *next;
    struct tls *tls;
    struct sse_emitter *emitter;
    struct request request;
    int fd;
    bool blocked;
    bool over;
};

struct server {
    struct service service;
    SSL_CTX *context;
    struct connection *connections;
    nfds_t count;
    int listener;
    int wake[2];
};

static void wake(void *user)
{
    struct server *server = user;
    ssize_t written = write(server->wake[1], "", 1);

    /* A full pipe wakes as well. */
    (void)written;
}

static void answer(struct connection *connection, int status)
{
    char text[256];
    struct iovec iov = {text, request_answer(text, sizeof(text), status)};

    /* The first bytes on this socket: there is room. */
    if (write_tls(connection->tls, &iov, 1) > 0)
        (void)SSL_shutdown(connection->tls->ssl);
    connection->over = true;
}

static void answer_with_stream(struct connection *connection, struct service *service)
{
    struct sse_emitter_options options = service_emitter_options(service);
    struct request *request = &connection->request;
    char head[REQUEST_HEAD_SIZE];
    struct sse_emitter *emitter;
    int error;

    if (!request->topic[0]) {
        answer(connection, 400);
        return;
    }
    request_frame(request, &options, head);
    options.drain = SSE_DRAIN_CALLBACK;
    options.write = write_tls;
    options.on_release = free_tls;
    options.user = connection->tls;
    if (sse_emitter_new(&emitter, &options)) {
        answer(connection, 503);
        return;
    }
    connection->emitter = emitter;
    error = service_subscribe(service, emitter, request->topic, request->last_event_id.data);
    /* The head is out: what cannot begin ends, and the client comes back. */
    if (error)
        (void)sse_emitter_complete(emitter);
    connection->over = error != 0;
}

/* One record for each turn of the loop, so that a client that sends without end holds up nobody. OpenSSL
 * keeps nothing of it back, nor of the next: poll tells of that. */
static void read_connection(struct connection *connection, struct service *service)
{
    char buffer[RECORD_SIZE];
    ssize_t size = read_tls(connection->tls, buffer, sizeof(buffer));
    int result;

    if (size < 0 && size != -EAGAIN)
        connection->over = true;
    if (size <= 0 || connection->emitter)
        return;
    result = request_read(&connection->request, buffer, (size_t)size);
    if (!result)
        return;
    result = result < 0 ? 400 : request_serve(&connection->request, service);
    if (result)
        answer(connection, result);
    else
        answer_with_stream(connection, service);
}

static void serve(struct connection *connection, struct service *service)
{
    read_connection(connection, service);
    if (!connection->emitter)
        connection->blocked = SSL_want_write(connection->tls->ssl);
    else if (connection->blocked)
        connection->blocked = sse_emitter_flush(connection->emitter) == 1;
}

static void accept_connection(struct server *server)
{
    int fd = accept(server->listener, NULL, NULL);
    struct connection *connection = fd < 0 ? NULL : calloc(1, sizeof(*connection));

    if (!connection || fcntl(fd, F_SETFL, O_NONBLOCK) || !(connection->tls = open_tls(server->context, fd))) {
        free(connection);
        if (fd >= 0)
            close(fd);
        return;
    }
    connection->fd = fd;
    connection->tls->connection = connection;
    request_init(&connection->request);
    connection->next = server->connections;
    server->connections = connection;
    server->count++;
}

static void close_connection(struct connection *connection)
{
    if (connection->emitter)
        close_stream(connection->emitter, connection->tls);
    else
        free_tls(connection->tls);
    request_free(&connection->request);
    close(connection->fd);
    free(connection);
}

static void close_some(struct server *server, bool all)
{
    struct connection **at = &server->connections;
    struct connection *connection;

    while ((connection = *at)) {
        if (!all && !connection->over) {
            at = &connection->next;
            continue;
        }
        *at = connection->next;
        server->count--;
        close_connection(connection);
    }
}

/* A stream that needs its owner: it has ended, or its socket is full. */
static void look_after(struct sse_emitter *emitter)
{
    const struct tls *tls = sse_emitter_user(emitter);
    struct connection *connection = tls->connection;
    int left = sse_emitter_flush(emitter);

    connection->blocked = left == 1;
    connection->over = connection->over || left < 0;
    sse_emitter_unref(emitter);
}

static bool turn(struct server *server)
{
    bool serving = service_turn(&server->service);
    struct sse_emitter *emitter;

    while ((emitter = sse_registry_next_ready(server->service.registry)))
        look_after(emitter);
    close_some(server, false);
    return serving;
}

static bool wait_and_serve(struct server *server)
{
    struct pollfd *waiting = calloc(server->count + 2, sizeof(*waiting));
    struct pollfd *at = waiting + 2;
    char woken[64];

    if (!waiting)
        return false;
    waiting[0] = (struct pollfd){.fd = server->wake[0], .events = POLLIN};
    waiting[1] = (struct pollfd){.fd = server->listener, .events = POLLIN};
    for (struct connection *next = server->connections; next; next = next->next)
        *at++ = (struct pollfd){.fd = next->fd, .events = next->blocked ? POLLIN | POLLOUT : POLLIN};
    (void)poll(waiting, server->count + 2, service_timeout(&server->service));
    while (read(server->wake[0], woken, sizeof(woken)) > 0)
        ;
    at = waiting + 2;
    for (struct connection *next = server->connections; next; next = next->next, at++)
        if (at->revents)
            serve(next, &server->service);
    if (waiting[1].revents)
        accept_connection(server);
    free(waiting);
    return true;
}

static bool open_server(struct server *server, char **argv)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)server->service.port),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int on = 1;

    server->context = SSL_CTX_new(TLS_server_method());
    if (!server->context || SSL_CTX_use_certificate_chain_file(server->context, argv[3]) != 1 ||
        SSL_CTX_use_PrivateKey_file(server->context, argv[4], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return false;
    }
    SSL_CTX_set_options(server->context, SSL_OP_NO_RENEGOTIATION);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0 || setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(server->listener, (const struct sockaddr *)&address, sizeof(address)) ||
        listen(server->listener, SOMAXCONN) || fcntl(server->listener, F_SETFL, O_NONBLOCK)) {
        perror("listen");
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct server server = {0};

    if (argc < 5) {
        fprintf(stderr, "usage: host_openssl PORT HEARTBEAT_MS CERTIFICATE KEY\n");
        return 1;
    }
    if (pipe(server.wake) || fcntl(server.wake[0], F_SETFL, O_NONBLOCK) ||
        fcntl(server.wake[1], F_SETFL, O_NONBLOCK))
        return 1;
    service_open(&server.service, argc, argv, wake, &server);
    if (!open_server(&server, argv))
        return 1;
    while (turn(&server) && wait_and_serve(&server))
        ;
    close_some(&server, true);
    service_close(&server.service);
    SSL_CTX_free(server.context);
    close(server.listener);
    close(server.wake[0]);
    close(server.wake[1]);
    return 0;
}
