/* SPDX-License-Identifier: MIT */
/*
 * FastCGI behind nginx or lighttpd, with one thread for each request: output PULL without a loop. The thread waits
 * in the emitter, then writes and flushes, because libfcgi buffers up to 8 KiB. The first write after the web
 * server has closed the connection still succeeds, so only the second heartbeat notices a disconnect.
 *
 * The head tells nginx not to buffer. lighttpd needs server.stream-response-body = 2, and at any path
 * "check-local" => "disable".
 */
#include "service.h"

#include <errno.h>
#include <fcgiapp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* -- the adapter ---------------------------------------------------------------------------- */

static const struct sse_http_options cgi_head = {.size = sizeof(cgi_head), .version = SSE_HTTP_CGI};

static int open_stream(struct sse_emitter **emitter, struct sse_emitter_options options)
{
    options.output = SSE_OUTPUT_PULL;
    options.http = &cgi_head;
    return sse_emitter_new(emitter, &options, NULL);
}

/* Returns when the stream has ended. Returns true if it ended gracefully, with every byte written. */
static bool write_stream(struct sse_emitter *emitter, FCGX_Stream *out)
{
    struct iovec bytes;
    int result;

    while ((result = sse_emitter_wait(emitter, -1)) > 0) {
        if (sse_emitter_peek(emitter, &bytes, 1) < 1)
            continue;
        (void)FCGX_PutStr(bytes.iov_base, (int)bytes.iov_len, out);
        (void)FCGX_FFlush(out);
        /* Once a write has failed, both functions accept further bytes and report no error. */
        if (FCGX_GetError(out))
            (void)sse_emitter_abort(emitter, -ECONNRESET);
        else
            (void)sse_emitter_consume(emitter, bytes.iov_len);
    }
    return result == SSE_ENDED;
}

/* Without FCGX_Finish_r the web server sees a truncated response, which is correct here. FCGX_Free closes the
 * connection at once, because it is detached. */
static void end_request(FCGX_Request *request, bool whole)
{
    if (whole)
        FCGX_Finish_r(request);
    else
        FCGX_Detach(request);
    FCGX_Free(request, 1);
}

/* -- the server ----------------------------------------------------------------------------- */

#define BODY_STEP 16384
/* If a web server accepts no bytes for this long although every buffer is full, its stream ends. If it sends only a
 * part of a request for this long, the request is refused. */
#define TIMEOUT_MS 1000

struct server {
    struct service service;
    int listener;
};

struct connection {
    struct server *server;
    int fd;
};

static void answer(const FCGX_Request *request, int status)
{
    const char *target = FCGX_GetParam("REQUEST_URI", request->envp);

    FCGX_FPrintF(request->out, "Status: %d\r\n%sContent-Type: text/plain\r\n\r\n", status,
                 service_allow_line(status, sse_str(target)));
}

static void refuse(FCGX_Stream *out, int error)
{
    char response[512];
    ssize_t size = sse_http_refuse(response, sizeof(response), error, &cgi_head, service_random());

    if (size > 0 && size <= (ssize_t)sizeof(response))
        (void)FCGX_PutStr(response, (int)size, out);
}

/* Returns whether the response is complete. */
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

/* Returns the status to answer with. */
static int publish(struct service *service, FCGX_Request *request, const struct service_query *query)
{
    const char *length = FCGX_GetParam("CONTENT_LENGTH", request->envp);
    const int64_t end = service_now_ms() + SERVICE_BODY_MS;
    struct body body = {0};
    char bytes[BODY_STEP];
    int status = 0, size;

    while (!status && (size = FCGX_GetStr(bytes, sizeof(bytes), request->in)) > 0)
        status = service_now_ms() < end ? body_append(&body, &service->bodies, bytes, (size_t)size) : 408;
    /* An incomplete body must not become an event. */
    if (!status && (FCGX_GetError(request->in) || (length && body.size < strtoull(length, NULL, 10))))
        status = 400;
    if (!status)
        status = service_publish(service, query, &body);
    body_free(&body, &service->bodies);
    return status;
}

static void answer_with_head(FCGX_Stream *out)
{
    char head[512];
    ssize_t size = sse_http_head(head, sizeof(head), &cgi_head);

    if (size > 0 && size <= (ssize_t)sizeof(head))
        (void)FCGX_PutStr(head, (int)size, out);
}

static struct sse_text parameter(const FCGX_Request *request, const char *name)
{
    return sse_str(FCGX_GetParam(name, request->envp));
}

/* In Debian's configuration, nginx leaves the port out of HTTP_HOST. */
static struct sse_text read_host(const FCGX_Request *request, char *bytes, size_t size)
{
    const char *host = parameter(request, "HTTP_HOST").ptr, *port = parameter(request, "SERVER_PORT").ptr;
    const char *bracket = host ? strrchr(host, ']') : NULL;

    if (!host || !port || strchr(bracket ? bracket : host, ':'))
        return sse_str(host);
    return snprintf(bytes, size, "%s:%s", host, port) < (int)size ? sse_str(bytes) : sse_str(host);
}

static int route(const struct service *service, const FCGX_Request *request)
{
    char host[512];
    const struct origin_request page = {.host = read_host(request, host, sizeof(host)),
                                        .origin = parameter(request, "HTTP_ORIGIN"),
                                        .fetch_site = parameter(request, "HTTP_SEC_FETCH_SITE")};
    struct sse_text path = parameter(request, "REQUEST_URI");

    path.len = path.ptr ? strcspn(path.ptr, "?") : 0;
    return service_route(service, parameter(request, "REQUEST_METHOD"), path, &page);
}

/* Returns whether the response is complete. */
static bool handle(struct service *service, FCGX_Request *request)
{
    struct service_query query;
    int status = route(service, request);

    service_read_query(&query, parameter(request, "QUERY_STRING"), parameter(request, "HTTP_LAST_EVENT_ID"));
    if (status == SERVICE_STREAM)
        return answer_with_stream(service, request, &query);
    if (status == SERVICE_HEAD)
        answer_with_head(request->out);
    else
        answer(request, status == SERVICE_PUBLISH ? publish(service, request, &query) : status);
    return true;
}

/* libfcgi would accept and read in one call, so a silent connection would block all others. This program accepts
 * itself, and passes the open connection to libfcgi as if it had been kept from an earlier request. */
static bool read_request(FCGX_Request *request, int fd)
{
    FCGX_InitRequest(request, -1, 0);
    request->ipcFd = fd;
    request->keepConnection = 1;
    return FCGX_Accept_r(request) == 0;
}

static void serve(void *user)
{
    struct connection *connection = user;
    FCGX_Request request;

    if (read_request(&request, connection->fd))
        end_request(&request, handle(&connection->server->service, &request));
    else
        FCGX_Free(&request, 1);
    free(connection);
}

/* Returns 0, or a positive errno. */
static int serve_connection(struct server *server, int fd)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_MS / 1000, .tv_usec = TIMEOUT_MS % 1000 * 1000};
    struct connection *connection = malloc(sizeof(*connection));

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (connection) {
        *connection = (struct connection){server, fd};
        if (service_start_thread(&server->service, serve, connection))
            return 0;
    }
    free(connection);
    close(fd);
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

static int listen_on(int port)
{
    char address[32];

    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    return FCGX_OpenSocket(address, SOMAXCONN);
}

/* libfcgi waits with select(2) when it closes, so descriptors must be below FD_SETSIZE. */
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
    struct server server = {.listener = -1};
    pthread_t acceptor;

    limit_descriptors();
    service_open(&server.service, argc, argv, NULL, NULL);
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
