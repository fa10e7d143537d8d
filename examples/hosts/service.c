/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_MS 2000
/* For what a server still does when the emitter has ended: its last frames, its own time-outs. */
#define GRACE_MS 500

struct service_event {
    struct service_event *next;
    char *data;
    size_t size;
    size_t topic_size;
    char topic[SSE_TOPIC_SIZE_MAX];
};

struct task {
    struct service *service;
    void (*serve)(void *user);
    void *user;
};

static void explain(const char *program)
{
    fprintf(stderr,
            "usage: %s [PORT [HEARTBEAT_MS [STREAMS_MAX]]]\n"
            "GET /events?topic=T streams, POST /publish?topic=T publishes its body.\n",
            program);
    exit(2);
}

static void fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

/* The next event to publish. NULL: the service closes. */
static struct service_event *next_event(struct service *service)
{
    struct service_event *next;

    pthread_mutex_lock(&service->lock);
    while (!service->first && !service->closing)
        pthread_cond_wait(&service->changed, &service->lock);
    next = service->first;
    if (next)
        service->first = next->next;
    if (!service->first)
        service->last = &service->first;
    pthread_mutex_unlock(&service->lock);
    return next;
}

static void *publish_all(void *user)
{
    struct service *service = user;
    struct service_event *next;

    while ((next = next_event(service))) {
        (void)sse_registry_publish(service->registry, (struct sse_text){next->topic, next->topic_size},
                                   &(struct sse_event){.data = {next->data, next->size}}, NULL);
        free(next->data);
        free(next);
    }
    return NULL;
}

static sigset_t signals_that_end(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
}

void service_run(struct service *service)
{
    const struct sse_event final_event = {.type = sse_str("final"), .data = sse_str("")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = &final_event,
                                                 .retry_min_ms = 500,
                                                 .retry_max_ms = 2000,
                                                 .drain_ms = DRAIN_MS};
    const sigset_t signals = signals_that_end();
    int received;

    sigwait(&signals, &received);
    (void)sse_registry_shutdown(service->registry, &options);
    /* A client that reads nothing must not keep the service. */
    (void)sse_registry_wait(service->registry, DRAIN_MS + GRACE_MS);
    pthread_mutex_lock(&service->lock);
    service->over = true;
    pthread_mutex_unlock(&service->lock);
}

bool service_is_over(struct service *service)
{
    bool over;

    pthread_mutex_lock(&service->lock);
    over = service->over;
    pthread_mutex_unlock(&service->lock);
    return over;
}

static void *run_and_stop(void *user)
{
    struct service *service = user;

    service_run(service);
    service->stop(service->user);
    return NULL;
}

static int start_threads(struct service *service)
{
    const sigset_t signals = signals_that_end();
    int error;

    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    pthread_mutex_init(&service->lock, NULL);
    pthread_cond_init(&service->changed, NULL);
    error = pthread_create(&service->publisher, NULL, publish_all, service);
    if (!error && service->stop)
        error = pthread_create(&service->ender, NULL, run_and_stop, service);
    return error;
}

void service_open(struct service *service, int argc, char **argv, void (*stop)(void *user), void *user)
{
    const int streams_max = argc > 3 ? atoi(argv[3]) : 0;
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .history = {.events = 10000},
                                                 .gap_type = sse_str("gap"),
                                                 .emitters_max = (size_t)streams_max};
    int error;

    *service = (struct service){.port = argc > 1 ? atoi(argv[1]) : 8080,
                                .heartbeat_ms = argc > 2 ? atoi(argv[2]) : 15000,
                                .stop = stop,
                                .user = user};
    if (service->port < 1 || service->port > 65535 || service->heartbeat_ms < 1 || streams_max < 0)
        explain(argv[0]);
    service->last = &service->first;
    error = sse_registry_new(&service->registry, &options);
    if (error)
        fail("registry", -error);
    error = start_threads(service);
    if (error)
        fail("thread", error);
}

void service_read_query(struct service_query *query, struct sse_text encoded, struct sse_text last_event_id)
{
    const size_t topic_max = sizeof(query->topic_bytes);
    ssize_t topic = sse_http_parameter(encoded, "topic", 0, query->topic_bytes, topic_max);
    ssize_t id = sse_http_last_event_id(last_event_id, encoded, query->id_bytes, sizeof(query->id_bytes));

    query->topic.ptr = query->topic_bytes;
    query->topic.len = topic > 0 && (size_t)topic <= topic_max ? (size_t)topic : 0;
    query->last_event_id.ptr = query->id_bytes;
    query->last_event_id.len = id > 0 ? (size_t)id : 0;
}

void service_report(const struct sse_completion *completion)
{
    fprintf(stderr, "ended: reason %d (%s), %llu events\n", completion->reason,
            sse_reason_name(completion->reason), (unsigned long long)completion->events);
}

static void report_end(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)user;
    service_report(completion);
}

struct sse_emitter_options service_emitter_options(const struct service *service,
                                                   const struct service_query *query)
{
    return (struct sse_emitter_options){.size = sizeof(struct sse_emitter_options),
                                        .registry = service->registry,
                                        .topics = &query->topic,
                                        .topic_count = 1,
                                        .last_event_id = query->last_event_id,
                                        .heartbeat_ms = service->heartbeat_ms,
                                        .on_completion = report_end};
}

uint64_t service_random(void)
{
    uint64_t bits = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, &bits, sizeof(bits));

    (void)size;
    if (fd >= 0)
        close(fd);
    return bits;
}

struct sse_http_refusal service_refusal(int error)
{
    struct sse_http_refusal refusal = {.status = 500};

    (void)sse_http_get_refusal(&refusal, error, service_random());
    return refusal;
}

int service_publish(struct service *service, const struct service_query *query, const char *data, size_t size)
{
    struct service_event *event;

    if (!query->topic.len ||
        sse_event_encode(&(struct sse_event){.data = {size ? data : "", size}}, NULL, 0) < 0)
        return 400;
    event = calloc(1, sizeof(*event));
    if (!event || !(event->data = malloc(size + 1))) {
        free(event);
        return 503;
    }
    if (size)
        memcpy(event->data, data, size);
    event->size = size;
    memcpy(event->topic, query->topic.ptr, query->topic.len);
    event->topic_size = query->topic.len;
    pthread_mutex_lock(&service->lock);
    *service->last = event;
    service->last = &event->next;
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
    return 202;
}

static void count_thread(struct service *service, bool starts)
{
    pthread_mutex_lock(&service->lock);
    service->threads += starts ? 1 : (size_t)-1;
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
}

static void *run_task(void *user)
{
    const struct task task = *(struct task *)user;

    free(user);
    task.serve(task.user);
    count_thread(task.service, false);
    return NULL;
}

bool service_start_thread(struct service *service, void (*serve)(void *user), void *user)
{
    struct task *task = malloc(sizeof(*task));
    pthread_attr_t detached;
    pthread_t thread;
    int error;

    if (!task)
        return false;
    *task = (struct task){service, serve, user};
    count_thread(service, true);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &detached, run_task, task);
    pthread_attr_destroy(&detached);
    if (!error)
        return true;
    count_thread(service, false);
    free(task);
    return false;
}

void service_close(struct service *service)
{
    pthread_mutex_lock(&service->lock);
    while (service->threads)
        pthread_cond_wait(&service->changed, &service->lock);
    service->closing = true;
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
    pthread_join(service->publisher, NULL);
    if (service->stop)
        pthread_join(service->ender, NULL);
    sse_registry_unref(service->registry);
    pthread_cond_destroy(&service->changed);
    pthread_mutex_destroy(&service->lock);
}
