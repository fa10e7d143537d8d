/* SPDX-License-Identifier: MIT */
#include "serving.h"
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256

/* Higher descriptors are not served. The tables have a place for each lower one, and only used places need
 * memory. */
#define DESCRIPTORS_MAX ((size_t)1 << 18)

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

static struct {
    const struct service *service;
    int epoll;
    int listener;
    struct connection *connections; /* by descriptor */
    struct connection **streams;
    size_t count;
    size_t blocked; /* awaited connections that wait for room */
    bool ended;     /* some connection is to be closed */
    struct assignment assignment;
    unsigned long left; /* events that have not been published yet */
    uint64_t next;      /* when the next burst is due */
} serving;

static volatile sig_atomic_t stopping;

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)time.tv_nsec;
}

void serving_stamp(char *data, size_t size)
{
    static uint64_t last;
    uint64_t stamp = now();

    if (stamp <= last)
        stamp = last + 1;
    last = stamp;
    for (size_t i = STAMP_DIGITS; i > 0; i--, stamp /= 10)
        data[i - 1] = (char)('0' + (int)(stamp % 10));
    if (size > STAMP_DIGITS)
        memset(data + STAMP_DIGITS, 'x', size - STAMP_DIGITS);
}

struct connection **serving_streams(size_t *count)
{
    *count = serving.count;
    return serving.streams;
}

static void watch(struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};

    if (epoll_ctl(serving.epoll, operation, connection->fd, &event))
        perror("epoll_ctl");
}

void serving_want_room(struct connection *connection, bool wanted)
{
    if (connection->blocked == wanted)
        return;
    connection->blocked = wanted;
    if (connection->awaited && wanted)
        serving.blocked++;
    else if (connection->awaited)
        serving.blocked--;
    watch(connection, EPOLL_CTL_MOD, EPOLLIN | (wanted ? (uint32_t)EPOLLOUT : 0));
}

static void add_stream(struct connection *connection)
{
    connection->position = (unsigned)serving.count;
    serving.streams[serving.count++] = connection;
}

void serving_close_later(struct connection *connection)
{
    connection->ended = true;
    serving.ended = true;
}

static void close_connection(struct connection *connection)
{
    connection->ended = true;
    serving_want_room(connection, false);
    if (connection->streaming) {
        serving.service->close(connection);
        serving.streams[connection->position] = serving.streams[--serving.count];
        serving.streams[connection->position]->position = connection->position;
    }
    close(connection->fd);
}

static void close_ended(void)
{
    if (!serving.ended)
        return;
    serving.ended = false;
    for (size_t i = serving.count; i > 0; i--)
        if (serving.streams[i - 1]->ended)
            close_connection(serving.streams[i - 1]);
}

static unsigned long number_in(const char *request, const char *name, unsigned long otherwise)
{
    const char *at = strstr(request, name);

    return at ? strtoul(at + strlen(name), NULL, 10) : otherwise;
}

static void start(const char *request)
{
    struct assignment wanted = {
        .events = number_in(request, "n=", 0),
        .size = number_in(request, "size=", 100),
        .rate = number_in(request, "rate=", 0),
        .burst = number_in(request, "burst=", 1),
        .per_client = strstr(request, "topic=per-client") != NULL,
    };

    if (wanted.size < STAMP_DIGITS || !wanted.burst || wanted.burst > BURST_MAX)
        wanted.events = 0;
    serving.assignment = wanted;
    serving.left = wanted.events;
    serving.next = now();
}

/* A request of the bench arrives in one piece. Returns false if the connection was closed. */
static bool answer(struct connection *connection, const char *request)
{
    static const char started[] = "HTTP/1.1 204 No Content\r\n\r\n";

    if (!strncmp(request, "GET /events ", 12) || !strncmp(request, "GET /events?", 12)) {
        add_stream(connection);
        connection->streaming = true;
        connection->awaited = !strstr(request, "awaited=no");
        return serving.service->open(connection) == 0;
    }
    if (strncmp(request, "GET /start?", 11) != 0)
        return false;
    (void)send(connection->fd, started, sizeof(started) - 1, MSG_NOSIGNAL);
    start(request);
    return true;
}

static void read_connection(struct connection *connection)
{
    char buffer[2048];
    ssize_t size = recv(connection->fd, buffer, sizeof(buffer) - 1, MSG_DONTWAIT);

    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    buffer[size > 0 ? size : 0] = '\0';
    if (size > 0 && connection->streaming)
        return;
    if (size <= 0 || !answer(connection, buffer))
        close_connection(connection);
}

static void accept_all(void)
{
    const int on = 1;
    int fd;

    while ((fd = accept(serving.listener, NULL, NULL)) >= 0) {
        struct connection *connection;

        if ((size_t)fd >= DESCRIPTORS_MAX) {
            close(fd);
            continue;
        }
        connection = &serving.connections[fd];
        *connection = (struct connection){.fd = fd};
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        watch(connection, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void publish(void)
{
    const struct assignment *assignment = &serving.assignment;
    uint64_t time = now();

    if (!serving.left || (assignment->rate && time < serving.next))
        return;
    if (!assignment->rate && serving.blocked)
        return;
    size_t count = serving.left < assignment->burst ? serving.left : assignment->burst;
    serving.service->publish(assignment, count);
    serving.left -= count;
    if (assignment->rate)
        serving.next += NANOSECONDS_PER_SECOND / assignment->rate;
}

static int timeout_ms(void)
{
    uint64_t time;

    if (!serving.left)
        return 1000;
    if (!serving.assignment.rate)
        return serving.blocked ? 1000 : 0;
    time = now();
    return serving.next > time ? (int)((serving.next - time + 999999) / 1000000) : 0;
}

static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096) ||
        fcntl(fd, F_SETFL, O_NONBLOCK) || getsockname(fd, (struct sockaddr *)&address, &size)) {
        perror("listen");
        return -1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void see_to(const struct epoll_event *event)
{
    struct connection *connection = event->data.ptr;

    if (!connection)
        accept_all();
    else if (event->events & EPOLLOUT)
        serving.service->writable(connection);
    else
        read_connection(connection);
}

int serve(const struct service *service)
{
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event listening = {.events = EPOLLIN};
    struct sigaction action = {.sa_handler = stop};

    (void)files_raise_limit();
    sigaction(SIGTERM, &action, NULL);
    serving.service = service;
    serving.epoll = epoll_create1(0);
    serving.listener = listen_on_loopback();
    serving.connections = calloc(DESCRIPTORS_MAX, sizeof(struct connection));
    serving.streams = calloc(DESCRIPTORS_MAX, sizeof(struct connection *));
    if (!serving.connections || !serving.streams)
        return 1;
    if (serving.listener < 0 || epoll_ctl(serving.epoll, EPOLL_CTL_ADD, serving.listener, &listening))
        return 1;
    while (!stopping) {
        int count = epoll_wait(serving.epoll, events, EVENTS_MAX, timeout_ms());

        for (int i = 0; i < count; i++)
            see_to(&events[i]);
        publish();
        close_ended();
    }
    while (serving.count)
        close_connection(serving.streams[serving.count - 1]);
    free(serving.streams);
    free(serving.connections);
    return 0;
}
