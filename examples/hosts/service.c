/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_MS 2000
/* Time for a server's own work after the emitter has ended: its last frames, its own time-outs. */
#define GRACE_MS 500
#define SAY_AGAIN_MS 60000
#define DESCRIPTORS_MAX 65536

/* The most bytes queued for one client. An event and its assigned id must fit into it. */
#define QUEUE_BYTES ((size_t)1 << 20)
#define EVENT_SIZE_MAX (QUEUE_BYTES - SSE_ASSIGNED_ID_SIZE - sizeof("id: "))

struct service_event {
    struct service_event *next;
    struct body body;
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
            "usage: %s [--name NAME]... [PORT [HEARTBEAT_MS [STREAMS_MAX]]]\n"
            "GET /events?topic=T streams, POST /publish?topic=T publishes its body.\n"
            "Clients may reach the server as localhost, by IP address, or by each NAME.\n",
            program);
    exit(2);
}

static void fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

/* Waits for the next event to publish. Returns NULL when the service closes. */
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

static struct sse_text text_of(const struct body *body)
{
    return (struct sse_text){body->size ? body->data : "", body->size};
}

static void *publish_all(void *user)
{
    struct service *service = user;
    struct service_event *next;

    while ((next = next_event(service))) {
        const struct sse_event event = {.data = text_of(&next->body)};
        int error = sse_registry_publish(service->registry, (struct sse_text){next->topic, next->topic_size},
                                         &event, NULL);

        if (error)
            fprintf(stderr, "not published: %s\n", strerror(-error));
        body_free(&next->body, &service->bodies);
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
    /* Waits only for a while, because a client may read nothing. */
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

int service_read_names(struct service *service, int argc, char **argv)
{
    int at = 1;

    for (; at + 1 < argc && !strcmp(argv[at], "--name"); at += 2) {
        if (service->name_count == SERVICE_NAMES)
            explain(argv[0]);
        service->names[service->name_count++] = sse_str(argv[at + 1]);
    }
    return at - 1;
}

size_t service_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > DESCRIPTORS_MAX)
        return DESCRIPTORS_MAX;
    return (size_t)limit.rlim_cur;
}

static size_t least(size_t left, size_t right)
{
    return left && (left < right || !right) ? left : right;
}

/* Streams stay open, so they must leave descriptors to requests that are answered at once. */
static void limit_streams(struct service *service, size_t wanted)
{
    const size_t descriptors = service_descriptors();

    service->streams_max = least(service->streams_max, wanted);
    service->streams_max =
        least(service->streams_max, descriptors > 2 * SERVICE_SPARE ? descriptors - 2 * SERVICE_SPARE : 1);
}

static void read_arguments(struct service *service, int argc, char **argv)
{
    int names = service_read_names(service, argc, argv), streams_max;

    argc -= names;
    argv += names;
    service->port = argc > 1 ? atoi(argv[1]) : 8080;
    service->heartbeat_ms = argc > 2 ? atoi(argv[2]) : 15000;
    streams_max = argc > 3 ? atoi(argv[3]) : 0;
    service->arguments = argv + (argc < 4 ? argc : 4);
    if (service->port < 1 || service->port > 65535 || service->heartbeat_ms < 1 || streams_max < 0)
        explain(argv[-names]);
    limit_streams(service, (size_t)streams_max);
}

void service_open(struct service *service, int argc, char **argv, void (*stop)(void *user), void *user)
{
    struct sse_registry_options options = {
        .size = sizeof(options), .history = {.events = 10000}, .gap_type = sse_str("gap")};
    int error;

    read_arguments(service, argc, argv);
    options.emitters_max = service->streams_max;
    service->stop = stop;
    service->user = user;
    service->last = &service->first;
    error = sse_registry_new(&service->registry, &options);
    if (error)
        fail("registry", -error);
    error = start_threads(service);
    if (error)
        fail("thread", error);
}

static bool is(struct sse_text text, const char *string)
{
    return text.len == strlen(string) && !memcmp(text.ptr, string, text.len);
}

int service_route(const struct service *service, struct sse_text method, struct sse_text path,
                  const struct origin_request *page)
{
    const struct origin_rules rules = {.names = service->names, .name_count = service->name_count};
    int route;

    if (is(path, "/events"))
        route = is(method, "GET") ? SERVICE_STREAM : is(method, "HEAD") ? SERVICE_HEAD : 405;
    else if (is(path, "/publish"))
        route = is(method, "POST") ? SERVICE_PUBLISH : 405;
    else
        return 404;
    return route < 100 && origin_refusal(&rules, page) ? 403 : route;
}

static bool is_publish(struct sse_text target)
{
    const struct sse_text path = sse_str("/publish");

    return target.len >= path.len && !memcmp(target.ptr, path.ptr, path.len);
}

const char *service_allow(int status, struct sse_text target)
{
    if (status != 405)
        return NULL;
    return is_publish(target) ? "POST" : "GET, HEAD";
}

const char *service_allow_line(int status, struct sse_text target)
{
    if (status != 405)
        return "";
    return is_publish(target) ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n";
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
                                        .queue_bytes = QUEUE_BYTES,
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

int service_publish(struct service *service, const struct service_query *query, struct body *body)
{
    const struct sse_event encoded = {.data = text_of(body)};
    ssize_t size = sse_event_encode(&encoded, NULL, 0);
    struct service_event *event;

    if (!query->topic.len || size < 0)
        return 400;
    if ((size_t)size > EVENT_SIZE_MAX)
        return 413;
    event = calloc(1, sizeof(*event));
    if (!event)
        return 503;
    event->body = *body;
    *body = (struct body){0};
    memcpy(event->topic, query->topic.ptr, query->topic.len);
    event->topic_size = query->topic.len;
    pthread_mutex_lock(&service->lock);
    *service->last = event;
    service->last = &event->next;
    pthread_cond_broadcast(&service->changed);
    pthread_mutex_unlock(&service->lock);
    return 202;
}

int64_t service_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool service_must_pause(struct service *service, int error)
{
    const int64_t now = service_now_ms();

    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
        return false;
    if (!service->said_ms || now - service->said_ms >= SAY_AGAIN_MS) {
        fprintf(stderr, "cannot accept new connections for now: %s\n", strerror(error));
        service->said_ms = now;
    }
    return true;
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
