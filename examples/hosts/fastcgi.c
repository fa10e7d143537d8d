/* SPDX-License-Identifier: MIT */
/*
 * FastCGI behind nginx or lighttpd, with a thread for each request: blocking PULL. The thread waits in
 * the emitter, then writes and flushes, since libfcgi holds back up to 8 KiB.
 *
 * The head tells nginx not to buffer; lighttpd needs server.stream-response-body = 2, and at any path
 * "check-local" => "disable".
 */
#include "query.h"
#include "service.h"

#include <errno.h>
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

static void put_head(FCGX_Stream *out)
{
    struct sse_http_header headers[SERVICE_HEADERS];
    ssize_t count = sse_http_headers(headers, SERVICE_HEADERS, NULL);

    for (ssize_t i = 0; i < count; i++)
        FCGX_FPrintF(out, "%s: %s\r\n", headers[i].name.ptr, headers[i].value.ptr);
    FCGX_PutS("\r\n", out);
    FCGX_FFlush(out);
}

/* Until the stream ends; -ESHUTDOWN if that was as it should be and every byte was written. */
static int write_stream(struct sse_emitter *emitter, FCGX_Stream *out)
{
    struct iovec bytes;
    int result;

    put_head(out);
    while ((result = sse_emitter_wait(emitter, -1)) > 0) {
        if (sse_emitter_peek(emitter, &bytes, 1) < 1)
            continue;
        (void)FCGX_PutStr(bytes.iov_base, (int)bytes.iov_len, out);
        (void)FCGX_FFlush(out);
        /* Once a write has failed, be it that of the head, the two take bytes and say nothing. */
        if (FCGX_GetError(out)) {
            (void)sse_emitter_complete_with_error(emitter, -ECONNRESET);
            return -ECONNRESET;
        }
        (void)sse_emitter_advance(emitter, bytes.iov_len);
    }
    return result;
}

static void close_stream(struct sse_emitter *emitter)
{
    sse_emitter_detach(emitter);
    sse_emitter_unref(emitter);
}

/* A web server that closes is not heard: the first write after that succeeds, the second one fails. */
static struct sse_emitter *open_stream(const struct service *service)
{
    struct sse_emitter_options options = service_emitter_options(service);
    struct sse_emitter *emitter;

    options.drain = SSE_DRAIN_PULL;
    options.heartbeat_ms = (options.heartbeat_ms + 1) / 2;
    if (sse_emitter_new(&emitter, &options))
        return NULL;
    /* nginx passes no head on before a byte of what follows it: a comment. */
    (void)sse_emitter_send(emitter, &(struct sse_event){.comment = sse_str("")});
    return emitter;
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
    pthread_mutex_t lock;
    pthread_cond_t idle;
    size_t requests;
    bool stopping;
};

struct request {
    FCGX_Request fastcgi;
    struct server *server;
};

static void answer(FCGX_Stream *out, int status)
{
    FCGX_FPrintF(out, "Status: %d\r\nContent-Type: text/plain\r\n\r\n", status);
}

static bool answer_with_stream(struct service *service, FCGX_Request *request, const char *topic)
{
    const char *id = FCGX_GetParam("HTTP_LAST_EVENT_ID", request->envp);
    struct sse_emitter *emitter = open_stream(service);
    int error;

    if (!emitter) {
        answer(request->out, 503);
        return true;
    }
    error = service_subscribe(service, emitter, topic, id);
    if (error) {
        answer(request->out, error == -EINVAL || error == -EMSGSIZE ? 400 : 503);
        close_stream(emitter);
        return true;
    }
    error = write_stream(emitter, request->out);
    close_stream(emitter);
    return error == -ESHUTDOWN;
}

static void publish(struct service *service, FCGX_Request *request, const char *topic)
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
        answer(request->out, service_publish(service, topic, body, (size_t)size));
    free(body);
}

/* Whether the response is whole. */
static bool handle(struct service *service, FCGX_Request *request)
{
    const char *method = FCGX_GetParam("REQUEST_METHOD", request->envp);
    const char *target = FCGX_GetParam("REQUEST_URI", request->envp);
    size_t size = target ? strcspn(target, "?") : 0;
    char buffer[SSE_TOPIC_SIZE_MAX + 1];
    const char *topic = query_topic(FCGX_GetParam("QUERY_STRING", request->envp), buffer);

    if (size == 7 && !memcmp(target, "/events", size) && method && !strcmp(method, "GET"))
        return answer_with_stream(service, request, topic);
    if (size == 8 && !memcmp(target, "/publish", size) && method && !strcmp(method, "POST"))
        publish(service, request, topic);
    else
        answer(request->out, 404);
    return true;
}

static void count_request(struct server *server, bool begins)
{
    pthread_mutex_lock(&server->lock);
    if (begins)
        server->requests++;
    else if (!--server->requests)
        pthread_cond_signal(&server->idle);
    pthread_mutex_unlock(&server->lock);
}

static void *serve(void *user)
{
    struct request *request = user;
    struct server *server = request->server;

    end_request(&request->fastcgi, handle(&server->service, &request->fastcgi));
    free(request);
    count_request(server, false);
    return NULL;
}

/* Takes a request, and starts its thread. False if descriptors, memory or threads have run out, or if the
 * listening socket is shut down. */
static bool accept_one(struct server *server)
{
    struct request *request = calloc(1, sizeof(*request));
    pthread_attr_t detached;
    pthread_t thread;
    int error;

    if (!request)
        return false;
    request->server = server;
    FCGX_InitRequest(&request->fastcgi, server->listener, 0);
    if (FCGX_Accept_r(&request->fastcgi) < 0) {
        FCGX_Free(&request->fastcgi, 1);
        free(request);
        return false;
    }
    count_request(server, true);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &detached, serve, request);
    pthread_attr_destroy(&detached);
    if (!error)
        return true;
    end_request(&request->fastcgi, false);
    free(request);
    count_request(server, false);
    return false;
}

static bool is_stopping(struct server *server)
{
    bool stopping;

    pthread_mutex_lock(&server->lock);
    stopping = server->stopping;
    pthread_mutex_unlock(&server->lock);
    return stopping;
}

/* What has run out comes back. The time limit is not for accepting. */
static void *accept_all(void *user)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    struct server *server = user;
    struct pollfd listening = {.fd = server->listener, .events = POLLIN};

    while (!is_stopping(server))
        if (poll(&listening, 1, -1) < 0 || !accept_one(server))
            nanosleep(&pause, NULL);
    return NULL;
}

static void stop_accepting(struct server *server, pthread_t acceptor)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_mutex_unlock(&server->lock);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(acceptor, NULL);
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
    struct server server = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
    pthread_t acceptor;

    service_open(&server.service, argc, argv, NULL, NULL);
    limit_descriptors();
    if (FCGX_Init())
        return 1;
    server.listener = listen_on(server.service.port);
    if (server.listener < 0 || pthread_create(&acceptor, NULL, accept_all, &server))
        return 1;
    service_run(&server.service);
    stop_accepting(&server, acceptor);
    pthread_mutex_lock(&server.lock);
    while (server.requests)
        pthread_cond_wait(&server.idle, &server.lock);
    pthread_mutex_unlock(&server.lock);
    service_close(&server.service);
    return 0;
}
