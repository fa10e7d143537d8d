/* SPDX-License-Identifier: MIT */
/*
 * The current state, then every change of it, exactly once: how many visitors are in the halls of a museum.
 *
 *     07_state_then_live 8080 [MICROSECONDS-BETWEEN-VISITORS]
 *     curl -N http://127.0.0.1:8080/events
 *
 * A thread lets visitors in while clients connect. A client must not miss a change between its state and its first
 * live event, nor receive one that its state already includes. Two measures ensure that:
 *
 * - A lock is held while a change is made and published, and while a stream joins and the state is read.
 * - The emitter begins paused. Events that are published while the state is being sent are queued behind it.
 *
 * A client that reconnects receives the whole state again, so there is no history, and events have no ids.
 */
#include "toy_http.h"

#define PROGRAM "07_state_then_live"
#define HALLS 5
#define SECOND 1000000

static struct sse_registry *registry;
static struct sse_loop *loop;
static long pause_us = SECOND;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned visitors[HALLS];

/* Publish runs no callback, so you may call it with the lock held. */
static void let_in(int hall)
{
    char text[64];
    struct sse_event event = {.type = sse_str("change")};

    pthread_mutex_lock(&lock);
    snprintf(text, sizeof(text), "{\"hall\":%d,\"visitors\":%u}", hall, visitors[hall] + 1);
    event.data = sse_str(text);
    /* Without memory nobody can be notified. Then the visitor waits outside. */
    if (sse_registry_publish(registry, sse_str(NULL), &event, NULL) == 0)
        ++visitors[hall];
    pthread_mutex_unlock(&lock);
}

static void *run_entrance(void *unused)
{
    const struct timespec pause = {.tv_sec = pause_us / SECOND, .tv_nsec = pause_us % SECOND * 1000};

    (void)unused;
    for (int hall = 0; !toy_stopped(0); hall = (hall + 1) % HALLS) {
        let_in(hall);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static int send_state(struct sse_emitter *emitter, const unsigned *state)
{
    char text[HALLS * 12 + 2] = "[";
    struct sse_event event = {.type = sse_str("state")};

    for (int hall = 0; hall < HALLS; ++hall)
        snprintf(text + strlen(text), 12, "%u%s", state[hall], hall < HALLS - 1 ? "," : "]");
    event.data = sse_str(text);
    return sse_emitter_send(emitter, &event);
}

static bool stream(int fd, const struct toy_request *request)
{
    const struct sse_http_options http = toy_stream_head(request);
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = registry,
        .loop = loop,
        .output = SSE_OUTPUT_FD,
        .fd = fd,
        .http = &http,
        .retry_ms = 2000,
        .paused = true,
    };
    struct sse_emitter *emitter;
    unsigned state[HALLS];
    int error;

    pthread_mutex_lock(&lock);
    error = sse_emitter_new(&emitter, &options, NULL);
    memcpy(state, visitors, sizeof(state));
    pthread_mutex_unlock(&lock);
    if (error) {
        toy_refuse(fd, error, &http);
        return false;
    }
    /* The lock is free again, so changes do not wait for this client. You may split a large state into several
     * events. */
    error = send_state(emitter, state);
    if (error)
        sse_emitter_abort(emitter, error);
    sse_emitter_start(emitter, false);
    /* The loop keeps the emitter until the stream has ended. */
    sse_emitter_unref(emitter);
    return true;
}

static bool handle(int fd, const struct toy_request *request)
{
    if (toy_is(request, "GET /events"))
        return stream(fd, request);
    toy_respond(fd, "404 Not Found", "GET /events\n");
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
    int port = argument_count == 2 || argument_count == 3 ? toy_number(arguments[1], 65535) : -1;
    pthread_t loop_thread, entrance;
    int listener;

    if (argument_count == 3)
        pause_us = toy_number(arguments[2], 60 * SECOND);
    if (port < 0 || pause_us < 0)
        toy_usage(PROGRAM, "PORT [MICROSECONDS-BETWEEN-VISITORS]");
    toy_check(PROGRAM, sse_registry_new(&registry, NULL));
    toy_check(PROGRAM, sse_loop_new(&loop, NULL));
    listener = toy_listen(PROGRAM, port);
    toy_check(PROGRAM, pthread_create(&loop_thread, NULL, run_loop, NULL));
    toy_check(PROGRAM, pthread_create(&entrance, NULL, run_entrance, NULL));
    toy_serve(listener, handle);
    pthread_join(entrance, NULL);
    toy_check(PROGRAM, shut_down(registry));
    toy_join();
    sse_loop_finish(loop);
    pthread_join(loop_thread, NULL);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return 0;
}
