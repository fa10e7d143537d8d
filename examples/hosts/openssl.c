/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL over plain sockets: output CALLBACK. A thread reads the request and passes the connection to the loop,
 * which encrypts, writes and watches the socket. From then on only the loop's thread uses the SSL object, because
 * only one thread at a time may.
 *
 *     host_openssl PORT HEARTBEAT_MS STREAMS_MAX CERTIFICATE.pem KEY.pem
 */
#include "request.h"
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* -- the adapter ---------------------------------------------------------------------------- */

struct tls {
    SSL *ssl;
    int fd;
};

/* After -EAGAIN, SSL_write must be called with the same bytes, and at least as many. So it gets one piece at a
 * time, and the overflow policy must not drop queued events: use END or DROP_NEWEST.
 *
 * SSL_write and SSL_shutdown raise SIGPIPE if the client is gone. service.c ignores it. Your program must ignore it
 * too. */
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

/* close_notify tells the client that the stream is complete. */
static void end_stream(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    const struct tls *tls = user;

    service_report(completion);
    if (!completion->error)
        (void)SSL_shutdown(tls->ssl);
    sse_emitter_close(emitter);
}

/* Reads the client's input first. Otherwise close makes the kernel send a reset, which can destroy the last
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

/* On success the emitter owns the connection: end_stream closes the emitter, and close_tls frees the connection. */
static int open_stream(struct tls *tls, struct sse_emitter_options options)
{
    struct sse_emitter *emitter;

    socket_set_options(tls->fd);
    options.output = SSE_OUTPUT_CALLBACK;
    options.write = write_tls;
    options.watch_fd = tls->fd;
    options.on_completion = end_stream;
    options.on_release = close_tls;
    options.user = tls;
    return sse_emitter_new(&emitter, &options, NULL);
}

/* -- the server ----------------------------------------------------------------------------- */

/* The time limit for handshake and request together, and for the client to read its answer. */
#define REQUEST_MS 10000
#define LINGER_MS 2000

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
    struct tls *tls = malloc(sizeof(*tls));
    SSL *ssl = SSL_new(context);

    if (!tls || !ssl || !SSL_set_fd(ssl, fd) || fcntl(fd, F_SETFL, O_NONBLOCK)) {
        SSL_free(ssl);
        free(tls);
        return NULL;
    }
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    *tls = (struct tls){ssl, fd};
    return tls;
}

/* After SSL returned `result`, waits until SSL can continue. Returns false if the connection has failed or the time
 * is up. */
static bool wait_for_client(const struct tls *tls, int result, int64_t end)
{
    struct pollfd wait = {.fd = tls->fd};
    const int64_t left = end - service_now_ms();

    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        wait.events = POLLIN;
        break;
    case SSL_ERROR_WANT_WRITE:
        wait.events = POLLOUT;
        break;
    default:
        return false;
    }
    return left > 0 && poll(&wait, 1, (int)left) > 0;
}

static bool shake_hands(const struct tls *tls, int64_t end)
{
    int result;

    do {
        ERR_clear_error();
        result = SSL_accept(tls->ssl);
    } while (result != 1 && wait_for_client(tls, result, end));
    return result == 1;
}

/* The text is so short that SSL_write sends it whole. */
static bool send_text(const struct tls *tls, const char *text, size_t size, int64_t end)
{
    int result;

    do {
        ERR_clear_error();
        result = SSL_write(tls->ssl, text, (int)size);
    } while (result <= 0 && wait_for_client(tls, result, end));
    return result > 0;
}

/* Returns whether there is a request to answer. A malformed request counts, because it is answered too. */
static bool read_request(const struct tls *tls, struct request *request, int64_t end)
{
    enum request_progress progress = REQUEST_MORE;
    char buffer[16384];

    while (progress != REQUEST_DECIDED) {
        int size;

        ERR_clear_error();
        size = SSL_read(tls->ssl, buffer, sizeof(buffer));
        if (size > 0)
            progress = request_read(request, buffer, (size_t)size);
        else if (!wait_for_client(tls, size, end))
            return false;
        if (progress == REQUEST_CONTINUE && !send_text(tls, request_continue, strlen(request_continue), end))
            return false;
    }
    return true;
}

/* Lets the client close first, because closing a socket with unread input resets the connection, and the client
 * would lose the answer. */
static void send_answer(const struct tls *tls, const char *answer, size_t size)
{
    const int64_t end = service_now_ms() + LINGER_MS;
    struct pollfd wait = {.fd = tls->fd, .events = POLLIN};
    char bytes[4096];
    int64_t left;

    if (!send_text(tls, answer, size, end))
        return;
    (void)SSL_shutdown(tls->ssl);
    shutdown(tls->fd, SHUT_WR);
    while ((left = end - service_now_ms()) > 0 && poll(&wait, 1, (int)left) > 0)
        if (recv(tls->fd, bytes, sizeof(bytes), 0) <= 0)
            break;
}

/* Returns whether the emitter owns the connection now. */
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

/* Returns whether the emitter owns the connection now. */
static bool answer(struct server *server, struct tls *tls, struct request *request)
{
    char text[REQUEST_ANSWER_SIZE];
    int status = request_serve(request);

    if (status == SERVICE_STREAM)
        return answer_with_stream(server, tls, request);
    send_answer(tls, text, request_answer(request, text, status));
    return false;
}

static void serve(void *user)
{
    struct connection *connection = user;
    struct request *request = &connection->request;
    const int64_t end = service_now_ms() + REQUEST_MS;

    request_init(request, &connection->server->service);
    if (!shake_hands(connection->tls, end) || !read_request(connection->tls, request, end) ||
        !answer(connection->server, connection->tls, request))
        close_tls(connection->tls);
    request_free(request);
    free(connection);
    /* OpenSSL would free this only when the thread ends, and the service does not wait for that. */
    OPENSSL_thread_stop();
}

/* Returns 0, or a positive errno. */
static int serve_connection(struct server *server, int fd)
{
    struct connection *connection = malloc(sizeof(*connection));
    struct tls *tls = connection ? open_tls(server->context, fd) : NULL;

    if (tls) {
        connection->server = server;
        connection->tls = tls;
        if (service_start_thread(&server->service, serve, connection))
            return 0;
        close_tls(tls);
    } else {
        close(fd);
    }
    free(connection);
    return ENOMEM;
}

static int accept_one(struct server *server)
{
    int fd = accept(server->listener, NULL, NULL);

    return fd < 0 ? errno : serve_connection(server, fd);
}

/* Runs in its own thread until the listening socket is shut down. */
static void *accept_all(void *user)
{
    const struct timespec pause = {.tv_nsec = SERVICE_PAUSE_MS * 1000000};
    struct server *server = user;

    while (!service_is_over(&server->service))
        if (service_must_pause(&server->service, accept_one(server)))
            nanosleep(&pause, NULL);
    return NULL;
}

static bool open_server(struct server *server)
{
    char **files = server->service.arguments;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)server->service.port),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int on = 1;

    server->context = SSL_CTX_new(TLS_server_method());
    if (!server->context || SSL_CTX_use_certificate_chain_file(server->context, files[0]) != 1 ||
        SSL_CTX_use_PrivateKey_file(server->context, files[1], SSL_FILETYPE_PEM) != 1) {
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
    struct server server = {.listener = -1};
    pthread_t acceptor;

    if (sse_loop_new(&server.streams, NULL))
        return 1;
    service_open(&server.service, argc, argv, stop, server.streams);
    if (!server.service.arguments[0] || !server.service.arguments[1]) {
        fprintf(stderr, "usage: host_openssl PORT HEARTBEAT_MS STREAMS_MAX CERTIFICATE KEY\n");
        return 1;
    }
    if (!open_server(&server) || pthread_create(&acceptor, NULL, accept_all, &server))
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
