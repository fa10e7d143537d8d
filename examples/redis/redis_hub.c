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
 *     -n EVENTS    that the node itself retains (10000)
 *     -t MS        the reconnection time that clients are told (none)
 *
 * Run Redis with `appendonly yes` and `appendfsync always`, otherwise it may lose events that it accepted.
 *
 * bridge.c and reader.c connect the registry to Redis. Everything else is an ordinary server. SIGTERM and
 * SIGINT end it with a final event for each client.
 */
#include "listener.h"
#include "options.h"
#include "workers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BACKLOG_BYTES ((size_t)256 << 20)

struct settings {
    const char *port;
    const char *redis_host;
    int redis_port;
    const char *stream;
    unsigned long keep;
    size_t history;
    int64_t retry_ms;
};

static bool read_settings(struct settings *settings, int count, char **arguments)
{
    int option;

    while ((option = getopt(count, arguments, "p:r:q:s:k:n:t:")) != -1) {
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
        case 't':
            settings->retry_ms = atoi(optarg);
            break;
        default:
            return false;
        }
    }
    return optind == count && strlen(settings->port) < OPTIONS_PORT_SIZE && *settings->stream &&
           settings->redis_port > 0 && settings->keep && settings->history && settings->retry_ms >= 0;
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

/* Every thread inherits the mask. The main thread waits for the signals. */
static void block_signals(sigset_t *signals)
{
    /* hiredis writes without MSG_NOSIGNAL. */
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

/* Returns when every stream has ended: with its final event, or when its time was up. */
static void shut_down(struct node *node, pthread_t driver)
{
    const struct sse_event final_event = {.type = sse_str("farewell"), .data = sse_str("")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = &final_event,
                                                 .retry_min_ms = 200,
                                                 .retry_max_ms = 1000,
                                                 .drain_ms = 2000};

    if (sse_registry_shutdown(node->registry, &options) < 0)
        sse_loop_stop(node->loop);
    sse_loop_finish(node->loop);
    pthread_join(driver, NULL);
}

static int make_registry(struct node *node, const struct settings *settings)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .history = {.events = settings->history}, .backlog_bytes = BACKLOG_BYTES};
    int error = sse_registry_new(&node->registry, &options);

    return error ? error : sse_loop_new(&node->loop, NULL);
}

/* Runs until a signal comes. Returns 0 or a negative errno. */
static int run(struct node *node, int listener, const sigset_t *signals)
{
    struct workers workers;
    pthread_t driver;
    int received, error = -pthread_create(&driver, NULL, drive, node->loop);

    if (error)
        return error;
    error = bridge_start(node->bridge, node->registry);
    if (!error) {
        error = workers_start(&workers, node, listener);
        if (!error) {
            sigwait(signals, &received);
            workers_stop(&workers);
        }
        bridge_stop(node->bridge);
    }
    shut_down(node, driver);
    return error;
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
    sigset_t signals;
    int listener, error;

    if (!read_settings(&settings, argc, argv)) {
        fputs("usage: redis_hub [-p PORT] [-r HOST] [-q PORT] [-s STREAM] [-k KEEP] [-n EVENTS] [-t MS]\n",
              stderr);
        return 2;
    }
    block_signals(&signals);
    listener = listen_on(settings.port);
    if (listener < 0)
        return 1;
    bridge_open(&bridge, settings.redis_host, settings.redis_port, settings.stream);
    node.store = (struct store){.redis = &bridge.commands, .stream = settings.stream, .keep = settings.keep};
    node.retry_ms = settings.retry_ms;
    error = make_registry(&node, &settings);
    if (!error)
        error = run(&node, listener, &signals);
    if (error)
        fprintf(stderr, "redis_hub: %s\n", strerror(-error));
    sse_loop_free(node.loop);
    sse_registry_unref(node.registry);
    bridge_close(&bridge);
    close(listener);
    return error ? 1 : 0;
}
