/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LAST_EVENT_ID_MAX 512
#define DRAIN_MS 2000

struct service_event {
    struct service_event *next;
    char *data;
    size_t size;
    char topic[SSE_TOPIC_SIZE_MAX + 1];
};

static void explain(const char *program)
{
    fprintf(stderr,
            "usage: %s [PORT [HEARTBEAT_MS]]\n"
            "GET /events?topic=T streams, POST /publish?topic=T publishes its body.\n",
            program);
    exit(2);
}

static void fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

/* The host's wake, or else service_run's. */
static void wake(struct service *service)
{
    if (service->wake) {
        service->wake(service->user);
        return;
    }
    pthread_mutex_lock(&service->lock);
    service->woken = true;
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
}

static void on_wake(struct sse_registry *registry, void *user)
{
    (void)registry;
    wake(user);
}

static void *publish_all(void *user)
{
    struct service *service = user;
    struct service_event *next;

    pthread_mutex_lock(&service->lock);
    while (!service->closing) {
        if (!(next = service->first)) {
            pthread_cond_wait(&service->changed, &service->lock);
            continue;
        }
        service->first = next->next;
        if (!service->first)
            service->last = &service->first;
        pthread_mutex_unlock(&service->lock);
        (void)sse_registry_publish(service->registry, sse_str(next->topic),
                                   &(struct sse_event){.data = {next->data, next->size}}, NULL);
        free(next->data);
        free(next);
        pthread_mutex_lock(&service->lock);
    }
    pthread_mutex_unlock(&service->lock);
    return NULL;
}

static int64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void *wait_for_signal(void *user)
{
    struct service *service = user;
    sigset_t signals;
    int received;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigwait(&signals, &received);
    pthread_mutex_lock(&service->lock);
    service->stopping = true;
    service->deadline_ms = now_ms() + DRAIN_MS;
    pthread_mutex_unlock(&service->lock);
    wake(service);
    return NULL;
}

static void block_signals(void)
{
    sigset_t signals;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static void init_locks(struct service *service)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&service->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&service->lock, NULL);
}

void service_open(struct service *service, int argc, char **argv, void (*wake_host)(void *user), void *user)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .history = {.events = 10000},
                                                 .gap_type = sse_str("gap"),
                                                 .on_wake = on_wake,
                                                 .user = service};
    int error;

    *service = (struct service){.port = argc > 1 ? atoi(argv[1]) : 8080,
                                .heartbeat_ms = argc > 2 ? atoi(argv[2]) : 15000,
                                .wake = wake_host,
                                .user = user};
    if (service->port < 1 || service->port > 65535 || service->heartbeat_ms < 1)
        explain(argv[0]);
    service->last = &service->first;
    block_signals();
    init_locks(service);
    error = sse_registry_new(&service->registry, &options);
    if (error)
        fail("registry", -error);
    error = pthread_create(&service->publisher, NULL, publish_all, service);
    if (!error)
        error = pthread_create(&service->signals, NULL, wait_for_signal, service);
    if (error)
        fail("thread", error);
}

static void report_end(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    (void)user;
    fprintf(stderr, "ended: reason %d, %llu events\n", completion->reason,
            (unsigned long long)completion->events);
}

struct sse_emitter_options service_emitter_options(const struct service *service)
{
    return (struct sse_emitter_options){.size = sizeof(struct sse_emitter_options),
                                        .heartbeat_ms = service->heartbeat_ms,
                                        .on_completion = report_end};
}

int service_subscribe(struct service *service, struct sse_emitter *emitter, const char *topic,
                      const char *last_event_id)
{
    const struct sse_str name = sse_str(topic);
    char id[LAST_EVENT_ID_MAX];
    ssize_t size = sse_http_last_event_id(sse_str(last_event_id), sse_str(NULL), id, sizeof(id));

    /* One that cannot be an id is as if there were none: an error would end an EventSource for good. */
    return sse_registry_subscribe(service->registry, emitter, &name, 1,
                                  (struct sse_str){id, size > 0 ? (size_t)size : 0}, NULL);
}

int service_publish(struct service *service, const char *topic, const char *data, size_t size)
{
    struct service_event *event;

    if (!topic || !*topic || strlen(topic) > SSE_TOPIC_SIZE_MAX)
        return 400;
    if (sse_event_encode(&(struct sse_event){.data = {size ? data : "", size}}, NULL, 0) < 0)
        return 400;
    event = calloc(1, sizeof(*event));
    if (!event || !(event->data = malloc(size + 1))) {
        free(event);
        return 503;
    }
    if (size)
        memcpy(event->data, data, size);
    event->size = size;
    strcpy(event->topic, topic);
    pthread_mutex_lock(&service->lock);
    *service->last = event;
    service->last = &event->next;
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
    return 202;
}

void service_begin_stream(struct service *service)
{
    pthread_mutex_lock(&service->lock);
    service->streams++;
    pthread_mutex_unlock(&service->lock);
}

void service_end_stream(struct service *service)
{
    bool is_last;

    pthread_mutex_lock(&service->lock);
    is_last = !--service->streams && service->stopping;
    pthread_mutex_unlock(&service->lock);
    if (is_last)
        wake(service);
}

/* Milliseconds that the host's streams may still take after everything has been read. A client that reads
 * nothing must not keep the service. */
static int64_t time_for_streams(struct service *service)
{
    int64_t left = 0;

    pthread_mutex_lock(&service->lock);
    if (service->streams)
        left = service->deadline_ms - now_ms();
    pthread_mutex_unlock(&service->lock);
    return left > 0 ? left : 0;
}

static bool is_stopping(struct service *service)
{
    bool stopping;

    pthread_mutex_lock(&service->lock);
    stopping = service->stopping;
    pthread_mutex_unlock(&service->lock);
    return stopping;
}

bool service_turn(struct service *service)
{
    const struct sse_event farewell = {.type = sse_str("farewell"), .data = sse_str("")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .farewell = &farewell,
                                                 .retry_min_ms = 500,
                                                 .retry_max_ms = 2000,
                                                 .drain_ms = DRAIN_MS};
    struct sse_shutdown_report report = {.size = sizeof(report)};

    /* Every call after the first one is refused. */
    if (is_stopping(service))
        (void)sse_registry_shutdown(service->registry, &options);
    (void)sse_registry_tick(service->registry);
    return sse_registry_shutdown_report(service->registry, &report) || report.remaining ||
           time_for_streams(service);
}

int service_timeout(struct service *service)
{
    int timeout = sse_registry_next_timeout(service->registry);
    int64_t left = time_for_streams(service);

    return left && (timeout < 0 || left < timeout) ? (int)left : timeout;
}

static void sleep_until_woken(struct service *service, int timeout_ms)
{
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&service->lock);
    while (!service->woken && !error)
        error = timeout_ms < 0 ? pthread_cond_wait(&service->changed, &service->lock)
                               : pthread_cond_timedwait(&service->changed, &service->lock, &until);
    service->woken = false;
    pthread_mutex_unlock(&service->lock);
}

void service_run(struct service *service)
{
    struct sse_emitter *emitter;

    while (service_turn(service)) {
        /* Their own hooks have told the threads that serve them. */
        while ((emitter = sse_registry_next_ready(service->registry)))
            sse_emitter_unref(emitter);
        sleep_until_woken(service, service_timeout(service));
    }
}

void service_close(struct service *service)
{
    struct service_event *next;

    pthread_mutex_lock(&service->lock);
    service->closing = true;
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
    pthread_join(service->publisher, NULL);
    pthread_join(service->signals, NULL);
    while ((next = service->first)) {
        service->first = next->next;
        free(next->data);
        free(next);
    }
    sse_registry_unref(service->registry);
    pthread_cond_destroy(&service->changed);
    pthread_mutex_destroy(&service->lock);
}
