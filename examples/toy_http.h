/* SPDX-License-Identifier: MIT */
#ifndef TOY_HTTP_H
#define TOY_HTTP_H

/*
 * A toy HTTP server, so that the examples are complete programs. It reads one small request from each connection,
 * and has no TLS, no keep-alive and few checks. Do not use it in production: link the library into the HTTP server
 * that you have.
 */

#include "origin.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sse/sse.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TOY_REQUEST_SIZE_MAX 4096
#define TOY_REQUEST_MS 5000
#define TOY_STOP_MS 1000
#define TOY_LINGER_MS 2000

/** Milliseconds of a clock that never goes back. */
static inline int64_t toy_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/** Reads a number. Returns -1 if the text is not a number or the number is above `max`. */
static inline int toy_number(const char *text, int max)
{
    char *end;
    long number = strtol(text, &end, 10);

    return *text >= '0' && *text <= '9' && *end == '\0' && number <= max ? (int)number : -1;
}

/* ---- Signals: SIGTERM and SIGINT make toy_stop_pipe[0] readable for ever. ---- */

static int toy_stop_pipe[2];

static inline void toy_on_signal(int number)
{
    int error = errno;
    ssize_t written = write(toy_stop_pipe[1], "", 1);

    (void)number;
    (void)written;
    errno = error;
}

/** Waits up to `timeout_ms` for a signal; true if one has come. */
static inline bool toy_stopped(int timeout_ms)
{
    struct pollfd stop = {.fd = toy_stop_pipe[0], .events = POLLIN};

    return poll(&stop, 1, timeout_ms) == 1;
}

/* ---- Sockets. ---- */

static inline void toy_set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/** Whether the last call failed only because there was nothing to read, or no room to write. */
static inline bool toy_would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/** If `error` is not 0, prints it and ends the program. */
static inline void toy_check(const char *program, int error)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s: %s\n", program, strerror(error < 0 ? -error : error));
    exit(1);
}

/** Opens a pipe whose writing end never blocks. On an error, ends the program. */
static inline void toy_pipe(const char *program, int ends[2])
{
    toy_check(program, pipe(ends) < 0 ? errno : 0);
    toy_set_nonblocking(ends[1]);
}

/** Prints how to start the program and ends it. */
static inline void toy_usage(const char *program, const char *arguments)
{
    fprintf(stderr, "usage: %s %s\n", program, arguments);
    exit(2);
}

/** Reads the port from the only argument. */
static inline int toy_port(const char *program, int argument_count, char **arguments)
{
    int port = argument_count == 2 ? toy_number(arguments[1], 65535) : -1;

    if (port < 0)
        toy_usage(program, "PORT");
    return port;
}

/** Listens on 127.0.0.1 and begins to watch for signals. On an error, ends the program. */
static inline int toy_listen(const char *program, int port)
{
    const struct sigaction action = {.sa_handler = toy_on_signal, .sa_flags = SA_RESTART};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        toy_check(program, errno);
    toy_set_nonblocking(fd);
    toy_pipe(program, toy_stop_pipe);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    printf("listening on http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/** Waits for input until `deadline`. Returns false if none has come or, with `stoppable`, if a signal has come. */
static inline bool toy_wait(int fd, int64_t deadline, bool stoppable)
{
    struct pollfd polls[] = {{.fd = fd, .events = POLLIN},
                             {.fd = stoppable ? toy_stop_pipe[0] : -1, .events = POLLIN}};
    int64_t left = deadline - toy_now();
    int ready = left > 0 ? poll(polls, 2, (int)left) : 0;

    /* After EINTR the caller finds nothing to read and waits again. */
    return ready != 0 && (ready < 0 || polls[1].revents == 0);
}

/** Waits a while for the client to close first: closing a socket with unread input resets the connection, and the
 *  client may lose the response. */
static inline void toy_linger(int fd)
{
    int64_t deadline = toy_now() + TOY_LINGER_MS;
    char rest[1024];
    ssize_t size = 1;

    shutdown(fd, SHUT_WR);
    while ((size > 0 || (size < 0 && toy_would_block())) && toy_wait(fd, deadline, false))
        size = recv(fd, rest, sizeof(rest), 0);
}

/* ---- Requests. ---- */

struct toy_request {
    enum sse_http_version version;
    struct sse_text query; /* what follows the '?'; absent if there is none */
    struct sse_text body;
    size_t size;
    char bytes[TOY_REQUEST_SIZE_MAX + 1];
};

/** Whether a complete request asks for `route`, such as "GET /events". */
static inline bool toy_is(const struct toy_request *request, const char *route)
{
    size_t size = strlen(route);

    return strncmp(request->bytes, route, size) == 0 && strchr(" ?", request->bytes[size]) != NULL;
}

/** The next line behind `line` with this header field; NULL if there is none. The head must be complete. */
static inline const char *toy_next_header(const char *line, const char *name)
{
    size_t size = strlen(name);

    do
        line = strstr(line, "\r\n") + 2;
    while (*line != '\r' && (strncasecmp(line, name, size) != 0 || line[size] != ':'));
    return *line == '\r' ? NULL : line;
}

/** The value of a header field; absent if it is not there. The head must be complete. */
static inline struct sse_text toy_header(const struct toy_request *request, const char *name)
{
    const char *line = toy_next_header(request->bytes, name);

    if (!line)
        return sse_str(NULL);
    line += strlen(name) + 1;
    return (struct sse_text){line, (size_t)(strstr(line, "\r\n") - line)};
}

/** With two different lengths, two servers may read the same request differently. */
static inline bool toy_has_two_lengths(const struct toy_request *request)
{
    static const char name[] = "Content-Length";
    const char *line = toy_next_header(request->bytes, name);

    return line && toy_next_header(line, name);
}

/** The size of the body, or SIZE_MAX if it is unknown. */
static inline size_t toy_body_size(const struct toy_request *request)
{
    const char *value = toy_header(request, "Content-Length").ptr;
    char *end;
    unsigned long size;

    if (!value || toy_header(request, "Transfer-Encoding").ptr)
        return SIZE_MAX;
    value += strspn(value, " \t");
    size = strtoul(value, &end, 10);
    return *value >= '0' && *value <= '9' && *end == '\r' ? size : SIZE_MAX;
}

/** The status that means: the request is complete and may be served. */
static const char toy_ok[] = "200 OK";

/** Returns NULL if the request is incomplete, toy_ok if it is complete, otherwise the status to refuse it with. */
static inline const char *toy_parse(struct toy_request *request)
{
    char *end = strstr(request->bytes, "\r\n\r\n");
    int target = 0, target_end = 0, line_end = 0;
    char minor[2];
    const char *query;
    size_t head, body;

    if (!end)
        return request->size == TOY_REQUEST_SIZE_MAX ? "431 Request Header Fields Too Large" : NULL;
    sscanf(request->bytes, "%*[A-Z]%*1[ ]%n%*[!-~]%n%*1[ ]HTTP/1.%1[01]%n", &target, &target_end, minor,
           &line_end);
    if (line_end == 0 || strncmp(request->bytes + line_end, "\r\n", 2) != 0)
        return "400 Bad Request";
    request->version = minor[0] == '1' ? SSE_HTTP_1_1 : SSE_HTTP_1_0;
    query = memchr(request->bytes + target, '?', (size_t)(target_end - target));
    if (query)
        request->query = (struct sse_text){query + 1, (size_t)(request->bytes + target_end - query - 1)};
    if (toy_has_two_lengths(request))
        return "400 Bad Request";
    if (strncmp(request->bytes, "POST ", 5) != 0)
        return toy_ok;
    head = (size_t)(end + 4 - request->bytes);
    body = toy_body_size(request);
    request->body = (struct sse_text){end + 4, body};
    if (body == SIZE_MAX)
        return "411 Length Required";
    if (body > TOY_REQUEST_SIZE_MAX - head)
        return "413 Content Too Large";
    return request->size - head < body ? NULL : toy_ok;
}

/** Reads without waiting. Returns the result of toy_parse. */
static inline const char *toy_read(int fd, struct toy_request *request)
{
    ssize_t size = recv(fd, request->bytes + request->size, TOY_REQUEST_SIZE_MAX - request->size, 0);

    if (size < 0 && toy_would_block())
        return NULL;
    if (size <= 0)
        return "400 Bad Request";
    request->size += (size_t)size;
    request->bytes[request->size] = '\0';
    return toy_parse(request);
}

/** The value of a header field without the white space around it. */
static inline struct sse_text toy_trimmed_header(const struct toy_request *request, const char *name)
{
    struct sse_text value = toy_header(request, name);

    for (; value.len > 0 && strchr(" \t", value.ptr[0]); value.len--)
        value.ptr++;
    while (value.len > 0 && strchr(" \t", value.ptr[value.len - 1]))
        value.len--;
    return value;
}

/** Returns the reason to refuse a complete request, or NULL. A link on another site may lead to the page. */
static inline const char *toy_refusal(const struct toy_request *request)
{
    const struct origin_rules rules = {.names = NULL};
    struct origin_request page = {.host = toy_trimmed_header(request, "Host")};

    if (!toy_is(request, "GET /")) {
        page.origin = toy_trimmed_header(request, "Origin");
        page.fetch_site = toy_trimmed_header(request, "Sec-Fetch-Site");
    }
    return origin_refusal(&rules, &page);
}

/* ---- Responses. ---- */

/** Sends a short response of the type text/`type`. A new socket has room for it. A write error is ignored, because
 *  the client has disconnected then. */
static inline void toy_respond_as(int fd, const char *status, const char *type, const char *text)
{
    char response[4096];
    int size = snprintf(response, sizeof(response),
                        "HTTP/1.1 %s\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Length: %zu\r\n"
                        "Connection: close\r\n\r\n%s",
                        status, type, strlen(text), text);

    send(fd, response, (size_t)size, MSG_NOSIGNAL);
}

static inline void toy_respond(int fd, const char *status, const char *text)
{
    toy_respond_as(fd, status, "plain", text);
}

/** Answers a client that has published an event. `error` is the result of sse_registry_publish. */
static inline void toy_answer_publish(int fd, int error, const struct sse_delivery *delivery)
{
    char text[64];

    if (error == -ENOMEM) {
        toy_respond(fd, "503 Service Unavailable", "the event was not sent; send it again later\n");
    } else if (error) {
        toy_respond(fd, "400 Bad Request", "the event must be UTF-8, and its type one line\n");
    } else {
        snprintf(text, sizeof(text), "sent to %zu\n", delivery->receivers);
        toy_respond(fd, "202 Accepted", text);
    }
}

/** Makes the head of a stream for this client. The stream is chunked if the client understands chunks, because only
 *  then can the client tell the end of the stream from a broken connection. */
static inline struct sse_http_options toy_stream_head(const struct toy_request *request)
{
    static const struct sse_http_header close_header = {{"Connection", 10}, {"close", 5}};
    struct sse_http_options http = {.size = sizeof(http), .version = request->version};

    http.chunked = request->version == SSE_HTTP_1_1;
    http.headers = &close_header;
    http.header_count = 1;
    return http;
}

/** Answers a client when sse_emitter_new has returned `error`. The nanoseconds are random enough to let the clients
 *  reconnect at different times. */
static inline void toy_refuse(int fd, int error, const struct sse_http_options *http)
{
    struct timespec time;
    char response[512];
    ssize_t size;

    clock_gettime(CLOCK_MONOTONIC, &time);
    size = sse_http_refuse(response, sizeof(response), error, http, (uint64_t)time.tv_nsec);
    if (size > 0 && (size_t)size <= sizeof(response))
        send(fd, response, (size_t)size, MSG_NOSIGNAL);
}

/** Tells a client not to reconnect. */
static inline void toy_send_no_content(int fd, const struct toy_request *request)
{
    struct sse_http_options http = toy_stream_head(request);
    char response[512];
    ssize_t size;

    http.chunked = false;
    size = sse_http_no_content(response, sizeof(response), &http);
    if (size > 0 && (size_t)size <= sizeof(response))
        send(fd, response, (size_t)size, MSG_NOSIGNAL);
}

/* ---- One thread for each request, so that a slow client delays nobody. ---- */

/** Serves a complete request in its own thread. Returns true if the library now owns the descriptor, otherwise the
 *  descriptor is closed. */
typedef bool toy_handler(int fd, const struct toy_request *request);

struct toy_connection {
    int fd;
    toy_handler *handle;
    struct toy_request request;
};

static pthread_mutex_t toy_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t toy_ended = PTHREAD_COND_INITIALIZER;
static int toy_threads;

static inline void toy_count_threads(int change)
{
    pthread_mutex_lock(&toy_lock);
    toy_threads += change;
    pthread_cond_signal(&toy_ended);
    pthread_mutex_unlock(&toy_lock);
}

/** Waits for the rest of a request. After a signal the client still has a short time for it, because a page whose
 *  stream is refused with 408 would never reconnect. */
static inline bool toy_wait_for_request(int fd, int64_t deadline)
{
    int64_t end;

    if (toy_wait(fd, deadline, true))
        return true;
    end = toy_now() + TOY_STOP_MS;
    return toy_stopped(0) && toy_wait(fd, end < deadline ? end : deadline, false);
}

static inline void *toy_run(void *argument)
{
    struct toy_connection *connection = argument;
    int64_t deadline = toy_now() + TOY_REQUEST_MS;
    int fd = connection->fd;
    const char *status = NULL, *refusal = NULL;

    while (!status)
        status =
            toy_wait_for_request(fd, deadline) ? toy_read(fd, &connection->request) : "408 Request Timeout";
    if (status == toy_ok)
        refusal = toy_refusal(&connection->request);
    if (refusal)
        status = "403 Forbidden";
    if (status != toy_ok)
        toy_respond(fd, status, refusal ? refusal : "");
    if (status != toy_ok || !connection->handle(fd, &connection->request)) {
        toy_linger(fd);
        close(fd);
    }
    free(connection);
    toy_count_threads(-1);
    return NULL;
}

static inline void toy_start(int fd, toy_handler *handle)
{
    struct toy_connection *connection = calloc(1, sizeof(*connection));
    pthread_t thread;

    toy_set_nonblocking(fd);
    toy_count_threads(1);
    if (connection)
        *connection = (struct toy_connection){.fd = fd, .handle = handle};
    if (connection && pthread_create(&thread, NULL, toy_run, connection) == 0) {
        pthread_detach(thread);
        return;
    }
    toy_count_threads(-1);
    free(connection);
    close(fd);
}

/** Accepts connections until a signal comes. Threads may still be running then: toy_join waits for them. */
static inline void toy_serve(int listener, toy_handler *handle)
{
    while (!toy_stopped(0)) {
        int fd = accept(listener, NULL, NULL);

        if (fd >= 0)
            toy_start(fd, handle);
        else if (errno == EMFILE || errno == ENFILE)
            toy_stopped(100);
        else
            toy_wait(listener, toy_now() + 1000, true);
    }
    close(listener);
}

static inline void toy_join(void)
{
    pthread_mutex_lock(&toy_lock);
    while (toy_threads > 0)
        pthread_cond_wait(&toy_ended, &toy_lock);
    pthread_mutex_unlock(&toy_lock);
}

/* ---- The end. This is not a toy: every example ends its streams in this way. ---- */

/** Ends all streams within two seconds. Each client gets its own reconnection time, so that they do not all
 *  reconnect to the next server at once. */
static inline int shut_down(struct sse_registry *registry)
{
    const struct sse_event final_event = {.type = sse_str("restart"), .data = sse_str("back soon")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = &final_event,
                                                 .retry_min_ms = 500,
                                                 .retry_max_ms = 3000,
                                                 .drain_ms = 2000};

    return sse_registry_shutdown(registry, &options);
}

#endif
