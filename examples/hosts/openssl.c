/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL over plain sockets: CALLBACK. A thread reads a request and hands the connection to the loop, which
 * encrypts, writes and watches the socket. From then on only the loop's thread touches the SSL, which is
 * for one thread at a time.
 *
 *     host_openssl PORT HEARTBEAT_MS STREAMS_MAX CERTIFICATE.pem KEY.pem
 */
#include "request.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* -- the adapter ---------------------------------------------------------------------------- */

struct tls {
    SSL *ssl;
    int fd;
};

/* SSL_write wants the same bytes again after -EAGAIN, and at least as many: so one piece at a time, and an
 * overflow that drops nothing that is queued, which is END or DROP_NEWEST. */
static ssize_t write_tls(void *user, const struct iovec *iov, int count)
{
    const struct tls *tls = user;
    int result, error;

    (void)count;
    ERR_clear_error();
    result = SSL_write(tls->ssl, iov->iov_base, iov->iov_len < INT_MAX ? (int)iov->iov_len : INT_MAX);
    if (result > 0)
        return result;
    error = SSL_get_error(tls->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? -EAGAIN : -ECONNRESET;
}

/* close_notify tells the client that nothing was cut off. */
static void end_stream(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    const struct tls *tls = user;

    service_report(completion);
    if (!completion->error)
        (void)SSL_shutdown(tls->ssl);
    sse_emitter_close(emitter);
}

/* What the client has sent is read first: else the kernel would answer it with a reset, which eats the last
 * events. */
static void close_tls(void *user)
{
    struct tls *tls = user;
    char bytes[4096];

    SSL_free(tls->ssl);
    shutdown(tls->fd, SHUT_WR);
    while (recv(tls->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    close(tls->fd);
    free(tls);
}

/* On success the connection is the emitter's: end_stream closes it, and close_tls frees it. */
static int open_stream(struct tls *tls, struct sse_emitter_options options)
{
    struct sse_emitter *emitter;

    if (fcntl(tls->fd, F_SETFL, O_NONBLOCK))
        return -errno;
    options.output = SSE_OUTPUT_CALLBACK;
    options.write = write_tls;
    options.watch_fd = tls->fd;
    options.on_completion = end_stream;
    options.on_release = close_tls;
    options.user = tls;
    return sse_emitter_new(&emitter, &options, NULL);
}

/* -- the server ----------------------------------------------------------------------------- */

/* For each step of a handshake or a request. */
#define TIMEOUT_S 5

struct server {
    struct service service;
    struct sse_loop *streams;
    SSL_CTX *context;
    int listener;
};

struct connection {
    struct server *server;
    struct tls *tls;
    struct request request;
};

static struct tls *open_tls(SSL_CTX *context, int fd)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    struct tls *tls = malloc(sizeof(*tls));
    SSL *ssl = SSL_new(context);

    if (!tls || !ssl || !SSL_set_fd(ssl, fd)) {
        SSL_free(ssl);
        free(tls);
        return NULL;
    }
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    *tls = (struct tls){ssl, fd};
    return tls;
}

/* Whether there is a request. One that cannot be read is one: it is answered. */
static bool read_request(SSL *ssl, struct request *request)
{
    char buffer[16384];
    int result = 0;

    if (SSL_accept(ssl) != 1)
        return false;
    while (!result) {
        int size = SSL_read(ssl, buffer, sizeof(buffer));

        if (size <= 0)
            return false;
        result = request_read(request, buffer, (size_t)size);
    }
    return true;
}

static void send_answer(const struct tls *tls, const char *answer, size_t size)
{
    if (SSL_write(tls->ssl, answer, (int)size) > 0)
        (void)SSL_shutdown(tls->ssl);
}

/* Whether the connection is the emitter's now. */
static bool answer_with_stream(struct server *server, struct tls *tls, const struct request *request)
{
    const struct sse_http_options http = request_http_options(request);
    struct sse_emitter_options options = service_emitter_options(&server->service, &request->query);
    char answer[REQUEST_ANSWER_SIZE];
    int error;

    options.loop = server->streams;
    options.http = &http;
    error = open_stream(tls, options);
    if (error)
        send_answer(tls, answer, request_refuse(request, answer, error));
    return !error;
}

/* Whether the connection is the emitter's now. */
static bool answer(struct server *server, struct tls *tls, struct request *request)
{
    char text[REQUEST_ANSWER_SIZE];
    int status = request->whole ? request_serve(request, &server->service) : 400;

    if (!status)
        return answer_with_stream(server, tls, request);
    send_answer(tls, text, request_answer(text, status));
    return false;
}

static void serve(void *user)
{
    struct connection *connection = user;
    struct request *request = &connection->request;

    request_init(request);
    if (!read_request(connection->tls->ssl, request) || !answer(connection->server, connection->tls, request))
        close_tls(connection->tls);
    request_free(request);
    free(connection);
    /* The service does not wait until the thread's own end, where OpenSSL would free this. */
    OPENSSL_thread_stop();
}

/* False if descriptors, memory or threads have run out, or if the listening socket is shut down. */
static bool accept_one(struct server *server)
{
    int fd = accept(server->listener, NULL, NULL);
    struct connection *connection = fd < 0 ? NULL : malloc(sizeof(*connection));
    struct tls *tls = connection ? open_tls(server->context, fd) : NULL;

    if (!tls && fd >= 0)
        close(fd);
    if (tls) {
        connection->server = server;
        connection->tls = tls;
        if (service_start_thread(&server->service, serve, connection))
            return true;
        close_tls(tls);
    }
    free(connection);
    return false;
}

/* What has run out comes back. */
static void *accept_all(void *user)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    struct server *server = user;

    while (!service_is_over(&server->service))
        if (!accept_one(server))
            nanosleep(&pause, NULL);
    return NULL;
}

static bool open_server(struct server *server, char **argv)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)server->service.port),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int on = 1;

    server->context = SSL_CTX_new(TLS_server_method());
    if (!server->context || SSL_CTX_use_certificate_chain_file(server->context, argv[4]) != 1 ||
        SSL_CTX_use_PrivateKey_file(server->context, argv[5], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return false;
    }
    SSL_CTX_set_options(server->context, SSL_OP_NO_RENEGOTIATION);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0 || setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(server->listener, (const struct sockaddr *)&address, sizeof(address)) ||
        listen(server->listener, SOMAXCONN)) {
        perror("listen");
        return false;
    }
    return true;
}

static void stop(void *user)
{
    (void)sse_loop_stop(user);
}

int main(int argc, char **argv)
{
    struct server server;
    pthread_t acceptor;

    if (argc < 6) {
        fprintf(stderr, "usage: host_openssl PORT HEARTBEAT_MS STREAMS_MAX CERTIFICATE KEY\n");
        return 1;
    }
    if (sse_loop_new(&server.streams, NULL))
        return 1;
    service_open(&server.service, argc, argv, stop, server.streams);
    if (!open_server(&server, argv) || pthread_create(&acceptor, NULL, accept_all, &server))
        return 1;
    (void)sse_loop_run(server.streams);
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(acceptor, NULL);
    service_close(&server.service);
    sse_loop_free(server.streams);
    SSL_CTX_free(server.context);
    close(server.listener);
    return 0;
}
