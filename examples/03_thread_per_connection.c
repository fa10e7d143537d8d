/* SPDX-License-Identifier: MIT */
/*
 * A thread for each connection, each blocking: an emitter from which its thread takes the bytes.
 *
 *     03_thread_per_connection 8080
 *     curl -N http://127.0.0.1:8080/events
 *     curl -d hello http://127.0.0.1:8080/publish
 *
 * Whoever publishes only queues, and wakes the threads; a client that does not read blocks nobody
 * but its own thread. SIGTERM and SIGINT end it: every stream is completed, every thread joined.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
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

#define WORKERS_MAX 256
#define REQUEST_MAX 4096
#define REQUEST_SECONDS 10
#define SOCKET_SECONDS 5
#define LINGER_SECONDS 2
#define PAUSE_NANOSECONDS 100000000

/* A client that has left is noticed when a send fails: so often there is one at least. */
#define HEARTBEAT_MS 5000

struct worker {
    pthread_t thread;
    bool used; /* looked at by the main thread alone */
    int fd;    /* -1 once the thread is done with it; guarded by `lock` */
};

static struct worker workers[WORKERS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sse_registry *registry;
static atomic_bool stopped;

/* Where send blocks it takes all, or time has run out. */
static bool send_all(int fd, const char *bytes, size_t size)
{
    ssize_t sent;

    do
        sent = send(fd, bytes, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size;
}

static void respond(int fd, const char *status, const char *text)
{
    char response[512];
    int size = snprintf(response, sizeof(response),
                        "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                        "Connection: close\r\n\r\n%s",
                        status, strlen(text), text);

    send_all(fd, response, (size_t)size);
}

static int make_emitter(struct sse_emitter **emitter)
{
    static const struct sse_http_header close_header = {{"Connection", 10}, {"close", 5}};
    const struct sse_http_options http = {
        .size = sizeof(http),
        .chunked = true,
        .headers = &close_header,
        .header_count = 1,
    };
    char head[512];
    ssize_t size = sse_http_head(head, sizeof(head), &http);
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .drain = SSE_DRAIN_PULL,
        .framing = SSE_FRAMING_CHUNKED,
        .head = {head, (size_t)size},
        .retry_ms = 2000,
        .heartbeat_ms = HEARTBEAT_MS,
    };

    if (size < 0 || (size_t)size > sizeof(head))
        return -EMSGSIZE;
    return sse_emitter_new(emitter, &options);
}

/* Takes bytes until the end of the stream, or of the client. */
static void pump(struct sse_emitter *emitter, int fd)
{
    char bytes[16384];

    while (sse_emitter_wait(emitter, -1) == 1) {
        ssize_t size = sse_emitter_read(emitter, bytes, sizeof(bytes));

        if (size < 0)
            return;
        if (!send_all(fd, bytes, (size_t)size)) {
            sse_emitter_complete_with_error(emitter, -EPIPE);
            return;
        }
        /* While there are always bytes, wait looks at no timer: drain_ms bounds the end of a slow client. */
        sse_emitter_tick(emitter);
    }
}

static void stream(int fd)
{
    struct sse_emitter *emitter;

    if (make_emitter(&emitter) < 0) {
        respond(fd, "500 Internal Server Error", "no stream\n");
        return;
    }
    if (sse_registry_add(registry, emitter) < 0)
        sse_emitter_complete_with_error(emitter, -ECANCELED);
    /* If the signal came before this emitter was there to be completed, it completes itself. */
    if (atomic_load(&stopped))
        sse_emitter_complete(emitter);
    pump(emitter, fd);
    sse_emitter_detach(emitter);
    sse_emitter_unref(emitter);
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

static void handle(int fd)
{
    struct request request = {.deadline = now() + REQUEST_SECONDS};
    char *end;

    while (!(end = strstr(request.bytes, "\r\n\r\n"))) {
        if (!read_more(fd, &request)) {
            respond(fd, "400 Bad Request", "no request in time and size\n");
            return;
        }
    }
    if (strncmp(request.bytes, "GET /events HTTP/1.1\r\n", 22) == 0)
        stream(fd);
    else if (strncmp(request.bytes, "POST /publish HTTP/1.1\r\n", 24) == 0)
        take_event(fd, &request, end + 4);
    else
        respond(fd, "404 Not Found", "GET /events or POST /publish, HTTP/1.1\n");
}

/** Waits for the client to close, for a moment: closing on unread bytes would reset the connection. */
static void linger(int fd)
{
    const time_t deadline = now() + LINGER_SECONDS;
    char rest[1024];

    shutdown(fd, SHUT_WR);
    while (now() < deadline && recv(fd, rest, sizeof(rest), 0) > 0)
        ;
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    int fd = worker->fd;

    handle(fd);
    linger(fd);
    pthread_mutex_lock(&lock);
    worker->fd = -1;
    pthread_mutex_unlock(&lock);
    close(fd);
    return NULL;
}

/** A slot without a thread; joins one that is done. NULL if all are at work. */
static struct worker *free_worker(void)
{
    for (size_t i = 0; i < WORKERS_MAX; ++i) {
        bool done;

        pthread_mutex_lock(&lock);
        done = workers[i].fd < 0;
        pthread_mutex_unlock(&lock);
        if (!done)
            continue;
        if (workers[i].used)
            pthread_join(workers[i].thread, NULL);
        workers[i].used = false;
        return &workers[i];
    }
    return NULL;
}

static void start_worker(struct worker *worker, int fd)
{
    const struct timeval limit = {.tv_sec = SOCKET_SECONDS};

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    worker->fd = fd;
    worker->used = pthread_create(&worker->thread, NULL, run, worker) == 0;
    if (!worker->used) {
        worker->fd = -1;
        close(fd);
    }
}

static int complete(struct sse_emitter *emitter, void *user)
{
    (void)user;
    sse_emitter_complete(emitter);
    return 0;
}

static void stop_workers(void)
{
    sse_registry_each(registry, sse_str(NULL), complete, NULL);
    for (size_t i = 0; i < WORKERS_MAX; ++i) {
        /* Whoever still waits for a request sees its end. */
        pthread_mutex_lock(&lock);
        if (workers[i].fd >= 0)
            shutdown(workers[i].fd, SHUT_RD);
        pthread_mutex_unlock(&lock);
    }
    for (size_t i = 0; i < WORKERS_MAX; ++i) {
        if (workers[i].used)
            pthread_join(workers[i].thread, NULL);
    }
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
static void wait_for_client(int listener, const sigset_t *unblocked)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NANOSECONDS};
    fd_set readable;

    FD_ZERO(&readable);
    if (listener >= 0)
        FD_SET(listener, &readable);
    pselect(listener + 1, &readable, NULL, NULL, listener < 0 ? &pause : NULL, unblocked);
}

static void accept_all(int listener, const sigset_t *unblocked)
{
    while (!is_stopped(unblocked)) {
        struct worker *worker = free_worker();
        int fd = worker ? accept(listener, NULL, NULL) : -1;

        if (fd >= 0)
            start_worker(worker, fd);
        else if (!worker || errno == EMFILE || errno == ENFILE)
            wait_for_client(-1, unblocked);
        else
            wait_for_client(listener, unblocked);
    }
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
        perror("03_thread_per_connection");
        return -1;
    }
    printf("listening on http://127.0.0.1:%d/\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
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
    int port = argument_count == 2 ? parse_number(arguments[1], 65535) : -1;
    sigset_t blocked;
    sigset_t unblocked;
    int listener;
    int error;

    if (port < 0) {
        fputs("usage: 03_thread_per_connection PORT\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < WORKERS_MAX; ++i)
        workers[i].fd = -1;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    /* All threads inherit this. */
    pthread_sigmask(SIG_BLOCK, &blocked, &unblocked);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    error = sse_registry_new(&registry, NULL);
    if (error < 0) {
        fprintf(stderr, "03_thread_per_connection: %s\n", strerror(-error));
        return 1;
    }
    listener = listen_on(port);
    if (listener < 0)
        return 1;
    accept_all(listener, &unblocked);
    close(listener);
    stop_workers();
    sse_registry_unref(registry);
    return 0;
}
