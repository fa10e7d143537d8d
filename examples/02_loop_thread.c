/* SPDX-License-Identifier: MIT */
/*
 * Alarms for users: each user is a topic, and the library's loop runs in its own thread.
 *
 *     02_loop_thread 8080
 *     curl -N 'http://127.0.0.1:8080/alarms?user=7'
 *     curl -d 'the kettle boils' 'http://127.0.0.1:8080/alarms?user=7'
 *
 * Start the first curl twice, end the older one and publish. The newer one still receives the alarm, because the
 * end of a connection removes only its own emitter. A table that maps each user to one connection would have
 * removed the newer one here.
 *
 * The server publishes from other threads than the loop's and needs no lock.
 */
#include "toy_http.h"

#define PROGRAM "02_loop_thread"
#define CLIENTS_MAX 500

static struct sse_registry *registry;
static struct sse_loop *loop;

/* The loop keeps the emitter until the stream has ended, so this program does not need it. */
static bool stream(int fd, const struct toy_request *request, struct sse_text topic)
{
    const struct sse_http_options http = toy_stream_head(request);
    char id[SSE_ID_SIZE_MAX + 1];
    ssize_t id_size =
        sse_http_last_event_id(toy_header(request, "Last-Event-ID"), request->query, id, sizeof(id));
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = registry,
        .loop = loop,
        .topics = &topic,
        .topic_count = 1,
        .last_event_id = {id, (size_t)id_size},
        .output = SSE_OUTPUT_FD,
        .fd = fd,
        .http = &http,
        .retry_ms = 2000,
    };
    int error = sse_emitter_new(NULL, &options, NULL);

    /* Nothing has been written yet, so any answer is possible. */
    if (error)
        toy_refuse(fd, error, &http);
    return error == 0;
}

static void publish(int fd, struct sse_text topic, struct sse_text text)
{
    const struct sse_event event = {.type = sse_str("alarm"), .data = text};
    struct sse_delivery delivery;
    int error = sse_registry_publish(registry, topic, &event, &delivery);

    toy_answer_publish(fd, error, &delivery);
}

static bool handle(int fd, const struct toy_request *request)
{
    static const char prefix[] = "user:";
    char topic[64];
    char *user = topic + strlen(prefix);
    size_t room = sizeof(topic) - strlen(prefix);
    ssize_t size = sse_http_parameter(request->query, "user", 0, user, room);

    memcpy(topic, prefix, strlen(prefix));
    if (size < 1 || (size_t)size > room)
        toy_respond(fd, "400 Bad Request", "GET or POST /alarms?user=NAME\n");
    else if (toy_is(request, "GET /alarms"))
        return stream(fd, request, (struct sse_text){topic, strlen(prefix) + (size_t)size});
    else if (toy_is(request, "POST /alarms"))
        publish(fd, (struct sse_text){topic, strlen(prefix) + (size_t)size}, request->body);
    else
        toy_respond(fd, "404 Not Found", "GET or POST /alarms?user=NAME\n");
    return false;
}

static void *run_loop(void *unused)
{
    (void)unused;
    sse_loop_run(loop);
    return NULL;
}

int main(int argument_count, char **arguments)
{
    const struct sse_registry_options options = {
        .size = sizeof(options),
        .history = {.events = 1000},
        .gap_type = sse_str("gap"),
        .emitters_max = CLIENTS_MAX,
    };
    int port = toy_port(PROGRAM, argument_count, arguments);
    pthread_t thread;

    toy_check(PROGRAM, sse_registry_new(&registry, &options));
    toy_check(PROGRAM, sse_loop_new(&loop, NULL));
    toy_check(PROGRAM, pthread_create(&thread, NULL, run_loop, NULL));
    toy_serve(toy_listen(PROGRAM, port), handle);
    toy_check(PROGRAM, shut_down(registry));
    toy_join();
    /* The loop runs until the last stream has ended. */
    sse_loop_finish(loop);
    pthread_join(thread, NULL);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return 0;
}
