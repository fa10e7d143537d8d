/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include "ring_reader.h"
#include "toy_http.h"

/* The pause after a failure without memory. */
#define AGAIN_MS 100
/* Time for the loop's work after the streams have ended. */
#define GRACE_MS 3000

/* Static, because toy_http.h passes nothing to its handlers. */
static struct worker {
    const struct worker_options *options;
    struct sse_registry *registry;
    struct sse_loop *loop;
    struct ring_reader *reader;
} worker;

/* -- requests ----------------------------------------------------------------------------------- */

static struct sse_text parameter(const struct toy_request *request, const char *name, char *bytes)
{
    ssize_t size = sse_http_parameter(request->query, name, 0, bytes, TOY_REQUEST_SIZE_MAX);

    return size < 0 ? sse_str(NULL) : (struct sse_text){bytes, (size_t)size};
}

static bool stream(int fd, const struct toy_request *request)
{
    const struct sse_http_options http = toy_stream_head(request);
    char topic_bytes[TOY_REQUEST_SIZE_MAX], id[SSE_ID_SIZE_MAX];
    struct sse_text topic = parameter(request, "topic", topic_bytes);
    ssize_t id_size =
        sse_http_last_event_id(toy_header(request, "Last-Event-ID"), request->query, id, sizeof(id));
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .loop = worker.loop,
                                          .topics = &topic,
                                          .topic_count = 1,
                                          .output = SSE_OUTPUT_FD,
                                          .fd = fd,
                                          .http = &http,
                                          .retry_ms = worker.options->retry_ms};
    int error;

    options.last_event_id = (struct sse_text){id, id_size > 0 ? (size_t)id_size : 0};
    error = ring_reader_stream(worker.reader, NULL, &options);
    if (error)
        toy_refuse(fd, error, &http);
    return !error;
}

static void respond_to_publisher(int fd, int error, const char *id)
{
    char text[RING_ID_SIZE + 1];

    snprintf(text, sizeof(text), "%s\n", error ? "" : id);
    if (!error)
        toy_respond(fd, "202 Accepted", text);
    else if (error == -EMSGSIZE)
        toy_respond(fd, "413 Content Too Large", "the event is too large\n");
    else if (error == -ENOMEM || error == -ETIMEDOUT)
        toy_respond(fd, "503 Service Unavailable", "the event was not published; send it again later\n");
    else
        toy_respond(fd, "400 Bad Request", "the event must be UTF-8, and needs a topic\n");
}

static void publish(int fd, const struct toy_request *request)
{
    char topic_bytes[TOY_REQUEST_SIZE_MAX], id[RING_ID_SIZE];
    const struct sse_event event = {.data = request->body};
    const struct sse_text topic = parameter(request, "topic", topic_bytes);
    int error = -EBADMSG;

    /* An absent topic would be everyone. */
    if (topic.ptr)
        error = ring_publish(worker.options->ring, topic, &event, id);
    respond_to_publisher(fd, error, id);
}

/* Returns the worker's number, to show that there are several workers. */
static void tell_process(int fd)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    toy_respond(fd, "200 OK", text);
}

static bool answer(int fd, const struct toy_request *request)
{
    if (toy_is(request, "GET /events"))
        return stream(fd, request);
    if (toy_is(request, "POST /publish"))
        publish(fd, request);
    else if (toy_is(request, "GET /worker"))
        tell_process(fd);
    else
        toy_respond(fd, "404 Not Found", "the paths are GET /events, GET /worker and POST /publish\n");
    return false;
}

/* -- threads ------------------------------------------------------------------------------------ */

static void *run_loop(void *loop)
{
    sse_loop_run(loop);
    return NULL;
}

/* Publishes the events of the ring until a signal comes. If the parent has died, this worker ends too, because
 * nobody would replace workers any more. */
static void *follow(void *unused)
{
    struct pollfd polls[] = {{.fd = toy_stop_pipe[0], .events = POLLIN},
                             {.fd = ring_reader_fd(worker.reader), .events = POLLIN},
                             {.fd = worker.options->parent, .events = POLLIN}};
    int result = 0;

    while (poll(polls, 3, result < 0 ? AGAIN_MS : -1) < 0 || !polls[0].revents) {
        result = ring_reader_drain(worker.reader);
        if (polls[2].revents) {
            kill(getpid(), SIGTERM);
            polls[2].fd = -1;
        }
    }
    return unused;
}

/* -- the life of the worker --------------------------------------------------------------------- */

/* toy_listen watches for signals in the parent. From here on, this process watches for its own. */
static void watch_signals(void)
{
    const struct sigaction action = {.sa_handler = toy_on_signal, .sa_flags = SA_RESTART};
    sigset_t none;

    toy_pipe(worker.options->program, toy_stop_pipe);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int open_streams(void)
{
    const struct sse_registry_options options = {.size = sizeof(options)};
    int error = sse_registry_new(&worker.registry, &options);

    if (!error)
        error = sse_loop_new(&worker.loop, NULL);
    if (!error)
        error =
            ring_reader_open(&worker.reader, &(struct ring_reader_options){.ring = worker.options->ring,
                                                                           .registry = worker.registry,
                                                                           .ready_type = sse_str("ready")});
    return error;
}

static void end_streams(pthread_t looping)
{
    if (shut_down(worker.registry) || sse_registry_wait(worker.registry, GRACE_MS))
        sse_loop_stop(worker.loop);
    sse_loop_finish(worker.loop);
    pthread_join(looping, NULL);
}

int worker_run(const struct worker_options *options)
{
    pthread_t looping, following;

    worker.options = options;
    watch_signals();
    toy_check(options->program, open_streams());
    toy_check(options->program, pthread_create(&looping, NULL, run_loop, worker.loop));
    toy_check(options->program, pthread_create(&following, NULL, follow, NULL));
    toy_serve(options->listener, answer);
    toy_join();
    pthread_join(following, NULL);
    end_streams(looping);
    ring_reader_close(worker.reader);
    sse_loop_free(worker.loop);
    sse_registry_unref(worker.registry);
    return 0;
}
