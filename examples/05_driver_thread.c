/* SPDX-License-Identifier: MIT */
/*
 * A server that accepts and answers in one thread, blocking, and leaves the streams to the loop of
 * the library in another. Once an emitter has been handed over, nobody here thinks of it again.
 *
 *     05_driver_thread 8080
 *     curl -N http://127.0.0.1:8080/events
 *     curl -d hello http://127.0.0.1:8080/publish
 *
 * Requests are served one after the other; who is slow with one holds up the next for a few seconds.
 * SIGTERM and SIGINT end it: every stream is completed, and the last one that is over stops the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sse/loop.h>
#include <sse/sse.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 4096
#define REQUEST_SECONDS 2

static struct sse_registry *registry;
static struct sse_loop *loop;
static atomic_bool stopped;
static atomic_bool completing;

static void respond(int fd, const char *status, const char *text)
{
    static const char format[] = "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                                 "Connection: close\r\n\r\n%s";
    char response[512];
    int size = snprintf(response, sizeof(response), format, status, strlen(text), text);

    /* So little fits into the buffer of a fresh socket; who has left needs no answer. */
    send(fd, response, (size_t)size, MSG_NOSIGNAL);
}

/* The emitter has left the registry already, so the last one to end finds it empty. */
static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    (void)completion;
    (void)user;
    if (atomic_load(&completing) && sse_registry_count(registry, sse_str(NULL)) == 0)
        sse_loop_stop(loop);
}

/** True if the descriptor belongs to the loop now. The end of the stream is that of the connection. */
static bool stream(int fd)
{
    char head[512];
    ssize_t size = sse_http_head(head, sizeof(head), NULL);
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .drain = SSE_DRAIN_FD,
        .fd = fd,
        .head = {head, (size_t)size},
        .on_completion = on_completion,
    };
    struct sse_emitter *emitter;

    if (size < 0 || (size_t)size > sizeof(head) || sse_emitter_new(&emitter, &options) < 0)
        return false;
    if (sse_registry_add(registry, emitter) == 0 && sse_loop_add(loop, emitter) == 0)
        return true;
    sse_emitter_detach(emitter);
    sse_emitter_unref(emitter);
    return false;
}

static void publish(int fd, struct sse_str text)
{
    const struct sse_event event = {.data = text};
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    char answer[64];

    if (sse_registry_broadcast(registry, &event, &delivery) < 0) {
        respond(fd, "400 Bad Request", "an event is UTF-8\n");
        return;
    }
    snprintf(answer, sizeof(answer), "sent to %zu\n", delivery.written + delivery.queued);
    respond(fd, "202 Accepted", answer);
}

/** The beginning of a request, as a string: head, and perhaps a part of the body. */
struct request {
    time_t deadline;
    size_t size;
    char bytes[REQUEST_MAX + 1];
};

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static bool read_more(int fd, struct request *request)
{
    ssize_t size = -1;

    if (now() < request->deadline && request->size < REQUEST_MAX)
        size = recv(fd, request->bytes + request->size, REQUEST_MAX - request->size, 0);
    if (size <= 0)
        return false;
    request->size += (size_t)size;
    request->bytes[request->size] = '\0';
    return true;
}

/** The value of a header field, given with its colon; NULL if it is not there. */
static const char *find_header(const char *head, const char *name)
{
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0)
            return line + strlen(name);
    }
    return NULL;
}

/** The size of the body; SIZE_MAX if that cannot be told. */
static size_t body_size(const char *head)
{
    const char *value = find_header(head, "Content-Length:");
    char *end;
    unsigned long size;

    if (!value || find_header(head, "Transfer-Encoding:"))
        return SIZE_MAX;
    value += strspn(value, " \t");
    size = strtoul(value, &end, 10);
    return *value >= '0' && *value <= '9' && *end == '\r' ? size : SIZE_MAX;
}

static void take_event(int fd, struct request *request, char *body)
{
    size_t head = (size_t)(body - request->bytes);
    char first = *body;
    size_t size;

    *body = '\0';
    size = body_size(request->bytes);
    *body = first;
    if (size == SIZE_MAX) {
        respond(fd, "411 Length Required", "a Content-Length, please\n");
        return;
    }
    if (size > REQUEST_MAX - head) {
        respond(fd, "413 Content Too Large", "too long\n");
        return;
    }
    while (request->size < head + size) {
        if (!read_more(fd, request)) {
            respond(fd, "400 Bad Request", "no request in time and size\n");
            return;
        }
    }
    publish(fd, (struct sse_str){body, size});
}

/** True if the descriptor belongs to the loop now. */
static bool handle(int fd, struct request *request)
{
    char *end;

    while (!(end = strstr(request->bytes, "\r\n\r\n"))) {
        if (!read_more(fd, request)) {
            respond(fd, "400 Bad Request", "no request in time and size\n");
            return false;
        }
    }
    if (strncmp(request->bytes, "GET /events HTTP/1.1\r\n", 22) == 0)
        return stream(fd);
    if (strncmp(request->bytes, "POST /publish HTTP/1.1\r\n", 24) == 0)
        take_event(fd, request, end + 4);
    else
        respond(fd, "404 Not Found", "GET /events or POST /publish, HTTP/1.1\n");
    return false;
}

/* Closing on unread bytes would reset the connection, so the client may close first, while its time lasts. */
static void serve(int fd)
{
    const struct timeval limit = {.tv_sec = REQUEST_SECONDS};
    struct request request = {.deadline = now() + REQUEST_SECONDS};
    char rest[1024];

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (handle(fd, &request))
        return;
    shutdown(fd, SHUT_WR);
    while (now() < request.deadline && recv(fd, rest, sizeof(rest), 0) > 0)
        ;
    close(fd);
}

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stopped, true);
}

/* Lets a signal in that waits: pselect does not while there are clients to accept. */
static bool is_stopped(const sigset_t *unblocked)
{
    sigset_t blocked;

    pthread_sigmask(SIG_SETMASK, unblocked, &blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    return atomic_load(&stopped);
}

/* Elsewhere the signals are blocked but inside pselect, so none can come between look and wait. */
static void accept_all(int listener, const sigset_t *unblocked)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    while (!is_stopped(unblocked)) {
        int fd = accept(listener, NULL, NULL);
        bool full = fd < 0 && (errno == EMFILE || errno == ENFILE);
        fd_set readable;

        FD_ZERO(&readable);
        FD_SET(listener, &readable);
        if (fd >= 0)
            serve(fd);
        else
            pselect(listener + 1, full ? NULL : &readable, NULL, NULL, full ? &pause : NULL, unblocked);
    }
}

static void *run(void *unused)
{
    (void)unused;
    sse_loop_run(loop);
    return NULL;
}

static int complete(struct sse_emitter *emitter, void *user)
{
    (void)user;
    sse_emitter_complete(emitter);
    return 0;
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        perror("05_driver_thread");
        return -1;
    }
    printf("listening on http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int fail(int error)
{
    fprintf(stderr, "05_driver_thread: %s\n", strerror(error));
    return 1;
}

/** The number that a text is; -1 if it is none, or above `max`. */
static int parse_number(const char *text, int max)
{
    char *end;
    long number = strtol(text, &end, 10);

    return *text >= '0' && *text <= '9' && *end == '\0' && number <= max ? (int)number : -1;
}

int main(int argument_count, char **arguments)
{
    const struct sigaction action = {.sa_handler = on_signal};
    const struct sse_loop_options options = {.size = sizeof(options)};
    int port = argument_count == 2 ? parse_number(arguments[1], 65535) : -1;
    sigset_t blocked, unblocked;
    pthread_t driver;
    int listener;
    int error;

    if (port < 0) {
        fputs("usage: 05_driver_thread PORT\n", stderr);
        return 2;
    }
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    /* The driver inherits this. */
    pthread_sigmask(SIG_BLOCK, &blocked, &unblocked);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if ((error = -sse_registry_new(&registry, NULL)) != 0 ||
        (error = -sse_loop_new(&loop, registry, &options)) != 0)
        return fail(error);
    listener = listen_on(port);
    if (listener < 0)
        return 1;
    error = pthread_create(&driver, NULL, run, NULL);
    if (error)
        return fail(error);
    accept_all(listener, &unblocked);
    close(listener);
    atomic_store(&completing, true);
    sse_registry_each(registry, sse_str(NULL), complete, NULL);
    if (sse_registry_count(registry, sse_str(NULL)) == 0)
        sse_loop_stop(loop);
    pthread_join(driver, NULL);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return 0;
}
