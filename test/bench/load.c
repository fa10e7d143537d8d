/* SPDX-License-Identifier: MIT */
/*
 * The load client: opens CLIENTS streams, makes the server send, and checks that every client received every event
 * complete and in order.
 *
 *   load PORT PROCESSES CLIENTS EVENTS SIZE RATE BURST [per-client] [stall=N]
 *
 * PROCESSES are the ids of the processes that serve, with commas between them.
 *
 * With stall=N every Nth client reads the head of its stream and then nothing, until all others have everything and
 * the server has been measured. Then it reads the rest, which must be complete events in order, but not all events,
 * because otherwise it has not stalled the server.
 *
 * Prints one line of NAME=VALUE; the status is 0 only if nothing was lost. Deliveries are those to clients
 * that read. Fewer clients than asked for are opened where the limit of open files is lower.
 */
#include "account.h"
#include "files.h"
#include "reading.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define SILENCE_MS 20000
/* Well below the ports that one address of the client has. */
#define CLIENTS_OF_ONE_ADDRESS 15000
/* What the kernel buffers for a client that does not read, and for one that catches up. */
#define STALLED_BUFFER 4096
#define LATE_BUFFER (1 << 20)

struct run {
    uint16_t port;
    const char *processes; /* of the server */
    size_t clients;
    unsigned long events;
    unsigned long size;
    unsigned long rate;
    unsigned long burst;
    unsigned long stall; /* one in this many clients does not read; 0: all read */
    bool per_client;

    int epoll;
    struct reading *readings;
    size_t stalled;
    size_t with_head; /* clients that have their head */
    size_t complete;  /* clients that have all events */
    size_t settled;   /* stalled clients that have read what there was */
    uint64_t newest;  /* the last stamp that a complete client has got */
    struct latencies latencies;
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

static void demand(bool met, const char *what)
{
    errno = EPROTO;
    if (!met)
        fail(what);
}

/* Each address of the loopback network has ports of its own. */
static void bind_to_address(int fd, size_t number)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)number);
#ifdef IP_BIND_ADDRESS_NO_PORT
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
#endif
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
        fail("bind");
}

static void set_receive_buffer(int fd, int size)
{
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)))
        fail("SO_RCVBUF");
}

static int connect_to(uint16_t port, size_t client_address, bool stalled)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        fail("socket");
    if (client_address)
        bind_to_address(fd, client_address);
    if (stalled)
        set_receive_buffer(fd, STALLED_BUFFER);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
        fail("connect");
    return fd;
}

static void send_text(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
        fail("send");
}

static void watch(const struct run *run, int operation, struct reading *reading)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = reading};

    if (epoll_ctl(run->epoll, operation, reading->fd, &event))
        fail("epoll_ctl");
}

static void open_stream(struct run *run, size_t index)
{
    struct reading *reading = &run->readings[index];
    bool stalled = run->stall && (index + 1) % run->stall == 0;
    int fd = connect_to(run->port, index / CLIENTS_OF_ONE_ADDRESS, stalled);

    *reading = (struct reading){.fd = fd, .data_size = run->size, .stalled = stalled};
    run->stalled += stalled;
    send_text(fd, stalled ? "GET /events?awaited=no HTTP/1.1\r\nHost: bench\r\n\r\n"
                          : "GET /events HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n");
    if (fcntl(fd, F_SETFL, O_NONBLOCK))
        fail("fcntl");
    watch(run, EPOLL_CTL_ADD, reading);
}

static void note_progress(struct run *run, struct reading *reading)
{
    if (!reading->stalled && reading->events == run->events && !reading->told) {
        reading->told = true;
        run->newest = reading->last;
        run->complete++;
    }
    if (reading->stalled && reading->events && reading->last == run->newest && !reading->settled) {
        reading->settled = true;
        run->settled++;
    }
}

/* A stalled client's stream may have been ended, perhaps within an event. */
static void end_stream(struct run *run, struct reading *reading)
{
    if (!reading->stalled)
        fail("a stream has ended");
    watch(run, EPOLL_CTL_DEL, reading);
    run->settled += !reading->settled;
    reading->settled = true;
}

/* Reads from one client. */
static void receive(struct run *run, struct reading *reading)
{
    static char buffer[1 << 16];
    static struct latencies late;
    bool had_head = reading->has_head;
    ssize_t size;

    do
        size = recv(reading->fd, buffer, sizeof(buffer), 0);
    while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        end_stream(run, reading);
        return;
    }
    demand(reading_take(reading, buffer, (size_t)size, now(), reading->stalled ? &late : &run->latencies),
           "a stream is not what was sent");
    demand(reading->events <= run->events, "a client has got more events than were sent");
    run->with_head += reading->has_head && !had_head;
    note_progress(run, reading);
}

/* Waits until `*count` has reached `wanted`. */
static void receive_until(struct run *run, const size_t *count, size_t wanted)
{
    struct epoll_event events[EVENTS_MAX];

    while (*count < wanted) {
        int ready = epoll_wait(run->epoll, events, EVENTS_MAX, SILENCE_MS);

        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        if (!ready) {
            fprintf(stderr,
                    "load: %zu of %zu clients have their head, %zu all their events, and nothing comes\n",
                    run->with_head, run->clients, run->complete);
            exit(1);
        }
        for (int i = 0; i < ready; i++)
            receive(run, events[i].data.ptr);
    }
}

/* Returns the account of the server with its first client. Costs that occur only once, such as code that is loaded,
 * are not counted for the others. */
static struct account connect_all(struct run *run)
{
    static const size_t at_once = 200;
    struct account first;

    open_stream(run, 0);
    receive_until(run, &run->with_head, 1);
    first = account_read(run->processes);
    for (size_t i = 1; i < run->clients; i++) {
        open_stream(run, i);
        if ((i + 1) % at_once == 0 || i + 1 == run->clients)
            receive_until(run, &run->with_head, i + 1);
    }
    for (size_t i = 0; i < run->clients; i++)
        if (run->readings[i].stalled)
            watch(run, EPOLL_CTL_DEL, &run->readings[i]);
    return first;
}

static void start(const struct run *run)
{
    char request[256];
    int fd = connect_to(run->port, 0, false);

    snprintf(request, sizeof(request),
             "GET /start?n=%lu&size=%lu&rate=%lu&burst=%lu%s HTTP/1.1\r\nHost: bench\r\n\r\n", run->events,
             run->size, run->rate, run->burst, run->per_client ? "&topic=per-client" : "");
    send_text(fd, request);
    demand(recv(fd, request, sizeof(request), 0) >= 12 && !memcmp(request, "HTTP/1.1 204", 12), "start");
    close(fd);
}

/* Every reader has exactly the events of the run. In a broadcast all readers have the same ones. */
static void check_readers(const struct run *run)
{
    const struct reading *first = NULL;

    for (size_t i = 0; i < run->clients; i++) {
        const struct reading *reading = &run->readings[i];

        if (reading->stalled)
            continue;
        first = first ? first : reading;
        demand(reading->events == run->events && reading_is_whole(reading), "a client has not what was sent");
        demand(run->per_client || reading->sum == first->sum, "two clients have not had the same events");
    }
}

/* The bytes queued for the stalled clients in the kernel and in the server. */
static void read_late(struct run *run)
{
    for (size_t i = 0; i < run->clients; i++) {
        if (!run->readings[i].stalled)
            continue;
        set_receive_buffer(run->readings[i].fd, LATE_BUFFER);
        watch(run, EPOLL_CTL_ADD, &run->readings[i]);
    }
    receive_until(run, &run->settled, run->stalled);
    for (size_t i = 0; i < run->clients; i++)
        demand(!run->readings[i].stalled || run->readings[i].events < run->events,
               "a stalled client has everything: the run is too short to stall");
}

static void print_result(const struct run *run, struct account first, struct account idle, struct account end,
                         uint64_t elapsed)
{
    uint64_t deliveries = (run->clients - run->stalled) * run->events;
    double ticks = (double)sysconf(_SC_CLK_TCK);

    printf("clients=%zu stalled=%zu deliveries=%" PRIu64 " seconds=%.3f cpu_ns=%.1f user_ns=%.1f",
           run->clients, run->stalled, deliveries, (double)elapsed / 1e9,
           (double)(end.cpu_ns - idle.cpu_ns) / (double)deliveries,
           (double)(end.user_ticks - idle.user_ticks) / ticks * 1e9 / (double)deliveries);
    printf(" wall_ns=%.1f idle_rss=%.1f growth=%" PRId64, (double)elapsed / (double)deliveries,
           ((double)idle.resident_bytes - (double)first.resident_bytes) / (double)(run->clients - 1),
           (int64_t)(end.peak_bytes - idle.resident_bytes));
    printf(" p50_ns=%" PRIu64 " p99_ns=%" PRIu64 "\n", latencies_at(&run->latencies, 0.50),
           latencies_at(&run->latencies, 0.99));
}

static bool parse(struct run *run, int argc, char **argv)
{
    if (argc < 8)
        return false;
    run->port = (uint16_t)strtoul(argv[1], NULL, 10);
    run->processes = argv[2];
    run->clients = strtoul(argv[3], NULL, 10);
    run->events = strtoul(argv[4], NULL, 10);
    run->size = strtoul(argv[5], NULL, 10);
    run->rate = strtoul(argv[6], NULL, 10);
    run->burst = strtoul(argv[7], NULL, 10);
    for (int i = 8; i < argc; i++) {
        if (!strcmp(argv[i], "per-client"))
            run->per_client = true;
        else if (!strncmp(argv[i], "stall=", 6))
            run->stall = strtoul(argv[i] + 6, NULL, 10);
        else
            return false;
    }
    /* A stalled client's last event is known from the others. */
    return run->clients > 1 && run->events && !(run->stall && (run->per_client || run->stall == 1));
}

static void prepare(struct run *run)
{
    size_t files = files_raise_limit();

    if (run->clients > files)
        run->clients = files;
    run->epoll = epoll_create1(0);
    run->readings = calloc(run->clients, sizeof(*run->readings));
    if (run->epoll < 0 || !run->readings)
        fail("memory");
}

int main(int argc, char **argv)
{
    struct run run = {.clients = 0};
    struct account first, idle, end;
    uint64_t begin;

    if (!parse(&run, argc, argv)) {
        fprintf(stderr,
                "usage: load PORT PROCESSES CLIENTS EVENTS SIZE RATE BURST [per-client] [stall=N]\n");
        return 2;
    }
    prepare(&run);
    first = connect_all(&run);
    account_forget_peak(run.processes);
    idle = account_read(run.processes);
    begin = now();
    start(&run);
    receive_until(&run, &run.complete, run.clients - run.stalled);
    begin = now() - begin;
    end = account_read(run.processes);
    check_readers(&run);
    read_late(&run);
    print_result(&run, first, idle, end, begin);
    free(run.readings);
    close(run.epoll);
    return 0;
}
