/* SPDX-License-Identifier: MIT */
/* No function is a cancellation point: if a cancellation is requested before a call, the call still returns,
 * whatever the platform's functions, the callbacks and the system calls inside it do. */
#include "schedule.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <sse/sse.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct sse_text topics[] = {{"a", 1}, {"b", 1}};
static const struct sse_text absent = {.ptr = NULL};
static const struct sse_event event = {.data = {"text", 4}};

struct scene {
    struct sse_registry *registry;
    struct sse_loop *driven;
    struct sse_loop *polled;
    struct sse_emitter *socket;   /* in the polled loop, and in the registry */
    struct sse_emitter *reader;   /* PULL in the driven loop, and in the registry */
    struct sse_emitter *callback; /* without a loop, paused */
    struct sse_message *message;
    int server, peer;
    int full_server, full_peer; /* of a client that reads nothing */
    void (*call)(struct scene *scene);
    bool came_back;
};

/* The program's own functions may contain cancellation points. */

static void *allocate(size_t size, void *user)
{
    (void)user;
    pthread_testcancel();
    return malloc(size);
}

static void deallocate(void *block, void *user)
{
    (void)user;
    pthread_testcancel();
    free(block);
}

static uint64_t now(void *user)
{
    (void)user;
    pthread_testcancel();
    return 1000;
}

/* Supplies no random bits, so that the library reads a file. */
static const struct sse_platform platform = {
    .size = sizeof(platform), .allocate = allocate, .deallocate = deallocate, .now = now};

static ssize_t write_bytes(void *user, const struct iovec *iov, int count)
{
    (void)user, (void)count;
    pthread_testcancel();
    return (ssize_t)iov->iov_len;
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    (void)emitter, (void)what, (void)user;
    pthread_testcancel();
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)completion, (void)user;
    pthread_testcancel();
}

static void on_release(void *user)
{
    (void)user;
    pthread_testcancel();
}

static void on_wake(struct sse_loop *loop, void *user)
{
    (void)loop, (void)user;
    pthread_testcancel();
}

static int visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter, (void)user;
    pthread_testcancel();
    return 0;
}

static struct sse_emitter *open_emitter(struct scene *scene, enum sse_output output)
{
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = &platform,
                                          .output = output,
                                          .on_completion = on_completion,
                                          .on_release = on_release};
    struct sse_emitter *emitter;

    if (output == SSE_OUTPUT_CALLBACK) {
        options.write = write_bytes;
        options.paused = true;
    } else {
        options.registry = scene->registry;
        options.topics = topics;
        options.topic_count = 1;
        options.last_event_id = sse_str("unknown");
        options.loop = output == SSE_OUTPUT_PULL ? scene->driven : scene->polled;
        options.on_ready = on_ready;
        options.fd = output == SSE_OUTPUT_FD ? scene->server : 0;
        options.keep_fd = output == SSE_OUTPUT_FD;
    }
    require(sse_emitter_new(&emitter, &options, NULL) == 0);
    return emitter;
}

static void open_loops(struct scene *scene, enum sse_poller poller)
{
    const struct sse_loop_options driven = {
        .size = sizeof(driven), .platform = &platform, .on_wake = on_wake};
    const struct sse_loop_options polled = {.size = sizeof(polled), .platform = &platform, .poller = poller};

    require(sse_loop_new(&scene->driven, &driven) == 0);
    require(sse_loop_new(&scene->polled, &polled) == 0);
}

static void open_registry(struct scene *scene)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .platform = &platform, .history = {.events = 4}, .gap_type = sse_str("gap")};

    require(sse_registry_new(&scene->registry, &options) == 0);
}

static void open_scene(struct scene *scene, enum sse_poller poller)
{
    int ends[2];

    *scene = (struct scene){.registry = NULL};
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    scene->server = ends[0];
    scene->peer = ends[1];
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    scene->full_server = ends[0];
    scene->full_peer = ends[1];
    open_loops(scene, poller);
    open_registry(scene);
    scene->socket = open_emitter(scene, SSE_OUTPUT_FD);
    scene->reader = open_emitter(scene, SSE_OUTPUT_PULL);
    scene->callback = open_emitter(scene, SSE_OUTPUT_CALLBACK);
    require(sse_message_new(&scene->message, &event, 1, &platform) == 0);
}

/* The calls. If a call frees an object, it sets the pointer to NULL. */

static struct sse_emitter *one_of(struct scene *scene, size_t which)
{
    struct sse_emitter *emitters[] = {scene->socket, scene->reader, scene->callback};

    return emitters[which];
}

static void call_new(struct scene *scene)
{
    struct scene other = {.registry = NULL};

    open_loops(&other, SSE_POLLER_BEST);
    open_registry(&other);
    sse_registry_unref(other.registry);
    sse_loop_free(other.polled);
    sse_loop_free(other.driven);
    sse_emitter_close(scene->socket);
    scene->socket = open_emitter(scene, SSE_OUTPUT_FD);
    sse_message_unref(scene->message);
    require(sse_message_new(&scene->message, &event, 1, &platform) == 0);
}

static void call_send(struct scene *scene)
{
    for (size_t i = 0; i < 3; i++) {
        require(sse_emitter_send(one_of(scene, i), &event) == 0);
        require(sse_emitter_send_message(one_of(scene, i), scene->message) == 0);
        require(sse_emitter_ping(one_of(scene, i)) == 0);
        require(sse_emitter_flush(one_of(scene, i)) >= 0);
    }
}

static void call_start(struct scene *scene)
{
    struct sse_emitter_info info;

    require(sse_emitter_send(scene->callback, &event) == 0);
    require(sse_emitter_start(scene->callback, false) == 0);
    require(sse_emitter_get_info(scene->callback, &info, sizeof(info)) == 0);
}

static void call_read(struct scene *scene)
{
    struct iovec iov;
    char byte;

    require(sse_emitter_read(scene->reader, &byte, 1) == 1);
    require(sse_emitter_peek(scene->reader, &iov, 1) == 1);
    require(sse_emitter_consume(scene->reader, iov.iov_len) == 0);
    require(sse_emitter_wait(scene->reader, 0) >= 0);
    require(sse_emitter_interrupt(scene->reader) == 0);
}

/* Its own thread waits for room, and the client reads nothing. */
static void call_wait(struct scene *scene)
{
    static char text[60000];
    const struct sse_event large = {.data = {memset(text, 'x', sizeof(text)), sizeof(text)}};
    const struct sse_emitter_options options = {.size = sizeof(options),
                                                .platform = &platform,
                                                .output = SSE_OUTPUT_FD,
                                                .fd = scene->full_server,
                                                .keep_fd = true};
    struct sse_emitter *emitter;

    require(sse_emitter_new(&emitter, &options, NULL) == 0);
    while (sse_emitter_flush(emitter) == 0)
        require(sse_emitter_send(emitter, &large) == 0);
    require(sse_emitter_wait(emitter, 1) == 0);
    sse_emitter_close(emitter);
}

static void call_complete(struct scene *scene)
{
    for (size_t i = 0; i < 3; i++)
        require(sse_emitter_complete(one_of(scene, i)) == 0);
}

static void call_abort(struct scene *scene)
{
    for (size_t i = 0; i < 3; i++)
        require(sse_emitter_abort(one_of(scene, i), -EIO) == 0);
}

static void call_close(struct scene *scene)
{
    sse_emitter_close(scene->socket);
    sse_emitter_close(scene->reader);
    sse_emitter_unref(sse_emitter_ref(scene->callback));
    sse_emitter_unref(scene->callback);
    scene->socket = scene->reader = scene->callback = NULL;
}

static void call_publish(struct scene *scene)
{
    require(sse_registry_publish(scene->registry, topics[0], &event, NULL) == 0);
    require(sse_registry_publish_message(scene->registry, absent, scene->message, NULL) == 0);
}

static void call_subscribe(struct scene *scene)
{
    require(sse_registry_subscribe(scene->registry, scene->reader, topics, 2, sse_str("id"), NULL) == 0);
    require(sse_registry_unsubscribe(scene->registry, scene->reader, topics, 2) == 0);
    require(sse_registry_count(scene->registry, topics[0]) == 1);
}

static void call_registry(struct scene *scene)
{
    struct sse_registry_stats stats;

    require(sse_registry_get_stats(scene->registry, &stats, sizeof(stats)) == 0);
    require(sse_registry_each(scene->registry, absent, visit, NULL) == 0);
    require(sse_registry_wait(scene->registry, 0) == -ETIMEDOUT);
    require(sse_registry_complete(scene->registry, absent) == 0);
}

static void call_shutdown(struct scene *scene)
{
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .final_event = &event, .retry_min_ms = 1, .retry_max_ms = 9, .drain_ms = 10};

    require(sse_registry_shutdown(scene->registry, &options) == 0);
    require(sse_registry_wait(scene->registry, 1) == -ETIMEDOUT);
}

static void call_loop(struct scene *scene)
{
    call_publish(scene);
    require(sse_loop_turn(scene->driven) >= -1);
    (void)sse_loop_fd(scene->polled);
    require(sse_loop_count(scene->polled) == 1);
    require(sse_loop_stop(scene->polled) == 0);
    require(sse_loop_finish(scene->polled) == 0);
    require(sse_loop_finish(scene->driven) == 0);
}

static void call_free(struct scene *scene)
{
    sse_loop_free(scene->driven);
    sse_loop_free(scene->polled);
    scene->driven = scene->polled = NULL;
    sse_registry_unref(scene->registry);
    scene->registry = NULL;
}

static void (*const calls[])(struct scene *scene) = {
    call_new,   call_send,    call_start,     call_read,     call_wait,     call_complete, call_abort,
    call_close, call_publish, call_subscribe, call_registry, call_shutdown, call_loop,     call_free,
};

static void *be_cancelled(void *user)
{
    struct scene *scene = user;

    require(pthread_cancel(pthread_self()) == 0);
    scene->call(scene);
    scene->came_back = true;
    pthread_testcancel();
    return NULL;
}

/* No lock is held any more. */
static void close_scene(struct scene *scene)
{
    for (size_t i = 0; i < 3; i++)
        if (one_of(scene, i))
            (void)sse_emitter_send(one_of(scene, i), &event);
    if (scene->registry)
        call_publish(scene);
    for (size_t i = 0; i < 3; i++)
        sse_emitter_close(one_of(scene, i));
    if (scene->driven)
        require(sse_loop_turn(scene->driven) >= -1);
    if (scene->polled)
        require(sse_loop_dispatch(scene->polled, 0) == 0);
    sse_loop_free(scene->driven);
    sse_loop_free(scene->polled);
    sse_registry_unref(scene->registry);
    sse_message_unref(scene->message);
    close(scene->server);
    close(scene->peer);
    close(scene->full_server);
    close(scene->full_peer);
}

/* Row L3. */
static void every_call_returns(void **state)
{
    static const enum sse_poller pollers[] = {SSE_POLLER_BEST, SSE_POLLER_POLL};

    (void)state;
    for (size_t i = 0; i < COUNT(calls) * COUNT(pollers); i++) {
        struct scene scene;
        pthread_t thread;
        void *result;

        open_scene(&scene, pollers[i % 2]);
        scene.call = calls[i / 2];
        require(pthread_create(&thread, NULL, be_cancelled, &scene) == 0);
        require(pthread_join(thread, &result) == 0);
        require(result == PTHREAD_CANCELED);
        if (!scene.came_back)
            fail_msg("call %zu was cancelled", i / 2);
        close_scene(&scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_returns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
