/* SPDX-License-Identifier: MIT */
/*
 * One of several nodes that share their events through a Redis stream. A client may connect and reconnect to
 * any of them:
 *
 *     redis_hub -p 8081 & redis_hub -p 8082 &
 *     curl -N 'http://127.0.0.1:8081/events?topic=news'
 *     curl -d hello 'http://127.0.0.1:8082/publish?topic=news'
 *
 * Options:
 *
 *     -p PORT      to listen on (8080)
 *     -r HOST      of Redis (127.0.0.1)
 *     -q PORT      of Redis (6379)
 *     -s STREAM    the name of the stream (events)
 *     -k KEEP      the fewest entries that the stream keeps (100000)
 *     -n EVENTS    the most events that the node itself retains (10000)
 *     -a NAME      by which clients know this node or the proxy in front, without a port; up to 16 times
 *     -w REPLICAS  the replicas that must have an event before it is accepted (0)
 *     -t MS        the reconnection time to send to clients (none)
 *
 * Run Redis with `appendonly yes` and `appendfsync always`, otherwise it may lose accepted events. A replica that
 * takes over may lack the newest events: see -w. Clients may or may not have received events that Redis has lost.
 * If this node knows of such a loss, it notifies the clients of a gap.
 *
 * bridge.c and reader.c connect the registry to Redis. Everything else is an ordinary server. SIGTERM and
 * SIGINT end it with a final event for each client.
 */
#include "intake.h"
#include "limits.h"
#include "listener.h"
#include "options.h"
#include "random.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAMES_MAX 16
#define BACKLOG_BYTES ((size_t)256 << 20)

struct settings {
    const char *port;
    const char *redis_host;
    int redis_port;
    const char *stream;
    unsigned long keep;
    size_t history;
    int replicas;
    int64_t retry_ms;
    struct sse_text names[NAMES_MAX];
    size_t name_count;
};

static bool read_settings(struct settings *settings, int count, char **arguments)
{
    int option;

    while ((option = getopt(count, arguments, "p:r:q:s:k:n:a:w:t:")) != -1) {
        switch (option) {
        case 'p':
            settings->port = optarg;
            break;
        case 'r':
            settings->redis_host = optarg;
            break;
        case 'q':
            settings->redis_port = atoi(optarg);
            break;
        case 's':
            settings->stream = optarg;
            break;
        case 'k':
            settings->keep = strtoul(optarg, NULL, 10);
            break;
        case 'n':
            settings->history = strtoul(optarg, NULL, 10);
            break;
        case 'a':
            if (settings->name_count == NAMES_MAX)
                return false;
            settings->names[settings->name_count++] = sse_str(optarg);
            break;
        case 'w':
            settings->replicas = atoi(optarg);
            break;
        case 't':
            settings->retry_ms = atoi(optarg);
            break;
        default:
            return false;
        }
    }
    return optind == count && strlen(settings->port) < OPTIONS_PORT_SIZE && *settings->stream &&
           settings->redis_port > 0 && settings->keep && settings->history && settings->replicas >= 0 &&
           settings->retry_ms >= 0;
}

static int listen_on(const char *port)
{
    struct options options = {.host = "127.0.0.1"};
    char url[LISTENER_URL_SIZE];
    int fd;

    strcpy(options.port, port);
    fd = listener_open(&options);
    if (fd < 0 || listener_url(fd, url) < 0)
        return -1;
    printf("listening on %s\n", url);
    fflush(stdout);
    return fd;
}

/* Every thread inherits the mask. Only the main thread waits for the signals. */
static void block_signals(sigset_t *signals)
{
    /* hiredis writes without MSG_NOSIGNAL, so SIGPIPE must be ignored. */
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

static void *drive(void *user)
{
    sse_loop_run(user);
    return NULL;
}

/* Returns when every stream has ended, with its final event or because its time was up. */
static void shut_down(struct node *node, pthread_t driver)
{
    const struct sse_event final_event = {.type = sse_str("farewell"), .data = sse_str("")};

    if (current_shut_down(&node->bridge->current, &final_event) < 0)
        sse_loop_stop(node->loop);
    sse_loop_finish(node->loop);
    pthread_join(driver, NULL);
}

/* Serves until a signal comes. Returns 0 or a negative errno. */
static int serve(struct node *node, int listener, const struct limits *limits, const sigset_t *signals)
{
    struct workers workers;
    struct intake intake;
    int received, error = workers_start(&workers, node);

    if (error)
        return error;
    error = intake_start(&intake, &workers, listener, limits->requests);
    if (!error) {
        sigwait(signals, &received);
        intake_stop(&intake);
    }
    workers_stop(&workers);
    intake_close(&intake);
    return error;
}

static int run(struct node *node, int listener, const struct limits *limits, const sigset_t *signals)
{
    pthread_t driver;
    int error = -pthread_create(&driver, NULL, drive, node->loop);

    if (error)
        return error;
    error = bridge_start(node->bridge);
    if (!error) {
        error = serve(node, listener, limits, signals);
        bridge_stop(node->bridge);
    }
    shut_down(node, driver);
    return error;
}

static int open_node(struct node *node, const struct settings *settings, struct limits *limits)
{
    struct sse_registry_options options = {
        .size = sizeof(options), .history = {.events = settings->history}, .backlog_bytes = BACKLOG_BYTES};
    int error, limited = limits_find(limits);

    options.emitters_max = limits->streams;
    error = bridge_open(node->bridge, settings->redis_host, settings->redis_port, settings->stream, &options);
    node->bridge->store.keep = settings->keep;
    node->bridge->store.replicas = settings->replicas;
    node->origins = (struct origin_rules){.names = settings->names, .name_count = settings->name_count};
    node->retry_ms = settings->retry_ms;
    if (!error)
        error = limited;
    return error ? error : sse_loop_new(&node->loop, NULL);
}

int main(int argc, char **argv)
{
    struct settings settings = {.port = "8080",
                                .redis_host = "127.0.0.1",
                                .redis_port = 6379,
                                .stream = "events",
                                .keep = 100000,
                                .history = 10000};
    struct bridge bridge;
    struct node node = {.bridge = &bridge};
    struct limits limits = {.streams = 0};
    sigset_t signals;
    int listener, error;

    if (!read_settings(&settings, argc, argv)) {
        fputs("usage: redis_hub [-p PORT] [-r HOST] [-q PORT] [-s STREAM] [-k KEEP] [-n EVENTS] [-a NAME]... "
              "[-w REPLICAS] [-t MS]\n",
              stderr);
        return 2;
    }
    block_signals(&signals);
    random_open();
    listener = listen_on(settings.port);
    if (listener < 0)
        return 1;
    error = open_node(&node, &settings, &limits);
    if (!error)
        error = run(&node, listener, &limits, &signals);
    if (error)
        fprintf(stderr, "redis_hub: %s\n", strerror(-error));
    sse_loop_free(node.loop);
    bridge_close(&bridge);
    close(listener);
    return error ? 1 : 0;
}
