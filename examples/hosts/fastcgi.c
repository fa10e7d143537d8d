/* SPDX-License-Identifier: MIT */
/*
 * FastCGI behind nginx or lighttpd, with a thread for each request: PULL without a loop. The thread waits
 * in the emitter, then writes and flushes, because libfcgi holds back up to 8 KiB. A web server that closes
 * because its client has left is not heard: the first write after that succeeds, so the second heartbeat
 * finds it out.
 *
 * The head tells nginx not to buffer. lighttpd needs server.stream-response-body = 2, and at any path
 * "check-local" => "disable".
 */
#include "service.h"

#include <fcgiapp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

/* -- the adapter ---------------------------------------------------------------------------- */

static const struct sse_http_options cgi_head = {.size = sizeof(cgi_head), .version = SSE_HTTP_CGI};

static int open_stream(struct sse_emitter **emitter, struct sse_emitter_options options)
{
    options.output = SSE_OUTPUT_PULL;
    options.http = &cgi_head;
    return sse_emitter_new(emitter, &options, NULL);
}

/* Returns when the stream has ended; true if it ended gracefully, with every byte written. */
static bool write_stream(struct sse_emitter *emitter, FCGX_Stream *out)
{
    struct iovec bytes;
    int result;

    while ((result = sse_emitter_wait(emitter, -1)) > 0) {
        if (sse_emitter_peek(emitter, &bytes, 1) < 1)
            continue;
        (void)FCGX_PutStr(bytes.iov_base, (int)bytes.iov_len, out);
        (void)FCGX_FFlush(out);
        /* Once a write has failed, the two accept bytes and say nothing. */
        if (FCGX_GetError(out))
            (void)sse_emitter_abort(emitter, -ECONNRESET);
        else
            (void)sse_emitter_consume(emitter, bytes.iov_len);
    }
    return result == SSE_ENDED;
}

/* Without FCGX_Finish_r the web server takes the response for a broken one, as it should; detached, the
 * connection closes without waiting for it. */
static void end_request(FCGX_Request *request, bool whole)
{
    if (whole)
        FCGX_Finish_r(request);
    else
        FCGX_Detach(request);
    FCGX_Free(request, 1);
}

/* -- the server ----------------------------------------------------------------------------- */

#define BODY_SIZE_MAX (1024 * 1024)
/* A web server that takes nothing for so long, every buffer being full, loses its stream; one that sends only
 * a part of its request, that request. */
#define TIMEOUT_MS 1000

struct server {
    struct service service;
    int listener;
};

struct request {
    FCGX_Request fastcgi;
    struct server *server;
};

static void answer(FCGX_Stream *out, int status)
{
    FCGX_FPrintF(out, "Status: %d\r\nContent-Type: text/plain\r\n\r\n", status);
}

static void refuse(FCGX_Stream *out, int error)
{
    char response[512];
    ssize_t size = sse_http_refuse(response, sizeof(response), error, &cgi_head, service_random());

    if (size > 0 && size <= (ssize_t)sizeof(response))
        (void)FCGX_PutStr(response, (int)size, out);
}

/* Whether the response is whole. */
static bool answer_with_stream(struct service *service, FCGX_Request *request,
                               const struct service_query *query)
{
    struct sse_emitter *emitter;
    int error = open_stream(&emitter, service_emitter_options(service, query));
    bool whole;

    if (error) {
        refuse(request->out, error);
        return true;
    }
    whole = write_stream(emitter, request->out);
    sse_emitter_close(emitter);
    return whole;
}

static void publish(struct service *service, FCGX_Request *request, const struct service_query *query)
{
    const char *length = FCGX_GetParam("CONTENT_LENGTH", request->envp);
    char *body = malloc(BODY_SIZE_MAX);
    int size = body ? FCGX_GetStr(body, BODY_SIZE_MAX, request->in) : 0;

    if (!body)
        answer(request->out, 503);
    else if (size == BODY_SIZE_MAX)
        answer(request->out, 413);
    /* A part of a body is no event. */
    else if (FCGX_GetError(request->in) || (length && size < atoi(length)))
        answer(request->out, 400);
    else
        answer(request->out, service_publish(service, query, body, (size_t)size));
    free(body);
}

/* Whether the response is whole. */
static bool handle(struct service *service, FCGX_Request *request)
{
    const char *method = FCGX_GetParam("REQUEST_METHOD", request->envp);
    const char *target = FCGX_GetParam("REQUEST_URI", request->envp);
    size_t size = target ? strcspn(target, "?") : 0;
    struct service_query query;

    service_read_query(&query, sse_str(FCGX_GetParam("QUERY_STRING", request->envp)),
                       sse_str(FCGX_GetParam("HTTP_LAST_EVENT_ID", request->envp)));
    if (size == 7 && !memcmp(target, "/events", size) && method && !strcmp(method, "GET"))
        return answer_with_stream(service, request, &query);
    if (size == 8 && !memcmp(target, "/publish", size) && method && !strcmp(method, "POST"))
        publish(service, request, &query);
    else
        answer(request->out, 404);
    return true;
}

static void serve(void *user)
{
    struct request *request = user;

    end_request(&request->fastcgi, handle(&request->server->service, &request->fastcgi));
    free(request);
}

/* Accepts a request, and starts its thread. False if descriptors, memory or threads have run out, or if the
 * listening socket is shut down. */
static bool accept_one(struct server *server)
{
    struct request *request = calloc(1, sizeof(*request));

    if (!request)
        return false;
    request->server = server;
    FCGX_InitRequest(&request->fastcgi, server->listener, 0);
    if (FCGX_Accept_r(&request->fastcgi) < 0) {
        FCGX_Free(&request->fastcgi, 1);
        free(request);
        return false;
    }
    if (service_start_thread(&server->service, serve, request))
        return true;
    end_request(&request->fastcgi, false);
    free(request);
    return false;
}

/* What has run out comes back. The time limit is not for accepting. */
static void *accept_all(void *user)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    struct server *server = user;
    struct pollfd listening = {.fd = server->listener, .events = POLLIN};

    while (!service_is_over(&server->service))
        if (poll(&listening, 1, -1) < 0 || !accept_one(server))
            nanosleep(&pause, NULL);
    return NULL;
}

/* Linux hands the time limit on to the sockets that are accepted: libfcgi has no call for it. */
static int listen_on(int port)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_MS / 1000, .tv_usec = TIMEOUT_MS % 1000 * 1000};
    char address[32];
    int fd;

    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    fd = FCGX_OpenSocket(address, SOMAXCONN);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return fd;
}

/* libfcgi closes with select(2). */
static void limit_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur <= FD_SETSIZE)
        return;
    limit.rlim_cur = FD_SETSIZE;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct server server;
    pthread_t acceptor;

    service_open(&server.service, argc, argv, NULL, NULL);
    limit_descriptors();
    if (FCGX_Init())
        return 1;
    server.listener = listen_on(server.service.port);
    if (server.listener < 0 || pthread_create(&acceptor, NULL, accept_all, &server))
        return 1;
    service_run(&server.service);
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(acceptor, NULL);
    service_close(&server.service);
    return 0;
}
