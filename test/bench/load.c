/* SPDX-License-Identifier: MIT */
/*
 * The load client: opens CLIENTS streams, has the server send, and checks that every client got every event
 * whole and in order.
 *
 *   load PORT SERVER_PID CLIENTS EVENTS SIZE RATE BURST [per-client]
 *
 * Prints one line of NAME=VALUE; the status is 0 only if nothing was lost. Times of the server are those
 * that the kernel has charged to its process.
 */
#include "reading.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define SILENCE_MS 20000

struct run {
    uint16_t port;
    long pid;
    size_t clients;
    unsigned long events;
    unsigned long size;
    unsigned long rate;
    unsigned long burst;
    bool per_client;

    int epoll;
    struct reading *readings;
    size_t with_head; /* clients that have their head */
    size_t complete;  /* clients that have all events */
    struct latencies latencies;
};

/** What the kernel has charged to the server so far. */
struct account {
    uint64_t cpu_ns;
    uint64_t user_ticks;
    uint64_t resident_bytes;
};

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static FILE *open_account(long pid, const char *name)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
    file = fopen(path, "r");
    if (!file)
        fail(path);
    return file;
}

static struct account read_account(long pid)
{
    struct account account = {0};
    uint64_t pages = 0;
    FILE *file = open_account(pid, "schedstat");

    if (fscanf(file, "%" SCNu64, &account.cpu_ns) != 1)
        fail("schedstat");
    fclose(file);
    file = open_account(pid, "stat");
    if (fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64,
               &account.user_ticks) != 1)
        fail("stat");
    fclose(file);
    file = open_account(pid, "statm");
    if (fscanf(file, "%*u %" SCNu64, &pages) != 1)
        fail("statm");
    fclose(file);
    account.resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return account;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
        fail("connect");
    return fd;
}

static void send_text(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
        fail("send");
}

static void open_stream(struct run *run, size_t index)
{
    struct reading *reading = &run->readings[index];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = reading};
    int fd = connect_to(run->port);

    *reading = (struct reading){.fd = fd, .data_size = run->size};
    send_text(fd, "GET /events HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n");
    if (fcntl(fd, F_SETFL, O_NONBLOCK) || epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event))
        fail("epoll_ctl");
}

/* Takes what one client has got. */
static void receive(struct run *run, struct reading *reading)
{
    static char buffer[1 << 16];
    bool had_head = reading->has_head;
    ssize_t size;

    do
        size = recv(reading->fd, buffer, sizeof(buffer), 0);
    while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0)
        fail("a stream has ended");
    if (!reading_take(reading, buffer, (size_t)size, now(), &run->latencies)) {
        errno = EPROTO;
        fail("a stream is not what was sent");
    }
    run->with_head += reading->has_head && !had_head;
    if (reading->events == run->events && !reading->told) {
        reading->told = true;
        run->complete++;
    }
}

/* Until `*count` of the clients are so far. */
static void receive_until_all(struct run *run, const size_t *count)
{
    struct epoll_event events[EVENTS_MAX];

    while (*count < run->clients) {
        int ready = epoll_wait(run->epoll, events, EVENTS_MAX, SILENCE_MS);

        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        if (!ready) {
            fprintf(stderr, "load: only %zu of %zu clients have all their events\n", run->complete,
                    run->clients);
            exit(1);
        }
        for (int i = 0; i < ready; i++)
            receive(run, events[i].data.ptr);
    }
}

static void connect_all(struct run *run)
{
    static const size_t at_once = 200;
    size_t clients = run->clients;

    for (size_t i = 0; i < clients; i++) {
        open_stream(run, i);
        if ((i + 1) % at_once == 0 || i + 1 == clients) {
            run->clients = i + 1;
            receive_until_all(run, &run->with_head);
        }
    }
    run->clients = clients;
}

static void start(const struct run *run)
{
    char request[256];
    int fd = connect_to(run->port);

    snprintf(request, sizeof(request),
             "GET /start?n=%lu&size=%lu&rate=%lu&burst=%lu%s HTTP/1.1\r\nHost: bench\r\n\r\n", run->events,
             run->size, run->rate, run->burst, run->per_client ? "&topic=per-client" : "");
    send_text(fd, request);
    if (recv(fd, request, sizeof(request), 0) < 12 || memcmp(request, "HTTP/1.1 204", 12) != 0)
        fail("start");
    close(fd);
}

static void print_result(const struct run *run, struct account empty, struct account idle, struct account end,
                         uint64_t elapsed)
{
    uint64_t deliveries = run->clients * run->events;
    double ticks = (double)sysconf(_SC_CLK_TCK);

    printf("clients=%zu deliveries=%" PRIu64 " seconds=%.3f cpu_ns=%.1f user_ns=%.1f", run->clients,
           deliveries, (double)elapsed / 1e9, (double)(end.cpu_ns - idle.cpu_ns) / (double)deliveries,
           (double)(end.user_ticks - idle.user_ticks) / ticks * 1e9 / (double)deliveries);
    printf(" idle_rss=%.1f growth=%" PRId64,
           ((double)idle.resident_bytes - (double)empty.resident_bytes) / (double)run->clients,
           (int64_t)(end.resident_bytes - idle.resident_bytes));
    printf(" p50_ns=%" PRIu64 " p99_ns=%" PRIu64 "\n", latencies_at(&run->latencies, 0.50),
           latencies_at(&run->latencies, 0.99));
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct run run = {.clients = 0};
    struct account empty, idle, end;
    uint64_t begin;

    if (argc < 8) {
        fprintf(stderr, "usage: load PORT SERVER_PID CLIENTS EVENTS SIZE RATE BURST [per-client]\n");
        return 2;
    }
    run.port = (uint16_t)strtoul(argv[1], NULL, 10);
    run.pid = strtol(argv[2], NULL, 10);
    run.clients = strtoul(argv[3], NULL, 10);
    run.events = strtoul(argv[4], NULL, 10);
    run.size = strtoul(argv[5], NULL, 10);
    run.rate = strtoul(argv[6], NULL, 10);
    run.burst = strtoul(argv[7], NULL, 10);
    run.per_client = argc > 8 && !strcmp(argv[8], "per-client");
    raise_file_limit();
    run.epoll = epoll_create1(0);
    run.readings = calloc(run.clients, sizeof(*run.readings));
    if (run.epoll < 0 || !run.readings)
        fail("memory");
    empty = read_account(run.pid);
    connect_all(&run);
    idle = read_account(run.pid);
    begin = now();
    start(&run);
    receive_until_all(&run, &run.complete);
    begin = now() - begin;
    end = read_account(run.pid);
    print_result(&run, empty, idle, end, begin);
    return 0;
}
