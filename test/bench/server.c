/* SPDX-License-Identifier: MIT */
/*
 * The bench server: the event loop of serving.c with streams of the library. It uses only the public headers. The
 * library's loop is driven, and takes a turn after each publish.
 *
 *   server [queue_bytes=N] [overflow=end|drop-oldest] [send_buffer=N] [bursts=batch|publishes] [sender=loop|thread]
 *
 * queue_bytes and overflow are options of each emitter. send_buffer is the size of the kernel's buffer for each
 * socket (SO_SNDBUF). Without them, the defaults of the library and the kernel apply. A burst is one message, or
 * that many publishes before the loop's turn. With sender=thread, another thread sends what goes to single clients,
 * while the loop's thread waits for it.
 */
#include "serving.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sse/sse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SIZE_MAX_OF_DATA 65536

static struct {
    size_t queue_bytes;
    int send_buffer;
    enum sse_overflow overflow;
    bool single; /* publishes */
    bool threaded;
} settings;

/** The thread that sends, with sender=thread. */
static struct {
    const struct assignment *assignment;
    sem_t asked;
    sem_t done;
} sender;

static struct sse_registry *registry;
static struct sse_loop *loop;
static const struct sse_http_options http = {.size = sizeof(http)};
static char data[BURST_MAX][SIZE_MAX_OF_DATA];

static void check(int error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(-error));
    exit(1);
}

/* Whatever wakes the loop, it takes its turn before the server waits. */
static void ignore_wake(struct sse_loop *woken, void *user)
{
    (void)woken;
    (void)user;
}

static void turn(void)
{
    int next;

    do
        next = sse_loop_turn(loop);
    while (!next);
    check(next < -1 ? next : 0, "turn");
}

static void blocked(struct sse_emitter *emitter, unsigned what, void *user)
{
    (void)emitter;
    (void)what;
    serving_want_room(user, true);
}

static void completed(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    (void)completion;
    serving_close_later(user);
}

static int open_stream(struct connection *connection)
{
    const struct sse_text topic = sse_str("bench");
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .registry = registry,
        .loop = loop,
        .topics = &topic,
        .topic_count = 1,
        .output = SSE_OUTPUT_FD,
        .fd = connection->fd,
        .keep_fd = true,
        .keep_socket_options = true,
        .http = &http,
        .queue_bytes = settings.queue_bytes,
        .overflow = settings.overflow,
        .on_ready = blocked,
        .on_completion = completed,
        .user = connection,
    };
    const int send_buffer = settings.send_buffer;
    struct sse_emitter *emitter;
    int error;

    if (send_buffer && setsockopt(connection->fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer)))
        return -errno;
    error = sse_emitter_new(&emitter, &options, NULL);
    if (error)
        return error;
    connection->stream = emitter;
    turn();
    return 0;
}

static void close_stream(struct connection *connection)
{
    if (!connection->stream)
        return;
    (void)sse_emitter_abort(connection->stream, -ECONNRESET);
    sse_emitter_close(connection->stream);
    connection->stream = NULL;
    turn();
}

static void writable(struct connection *connection)
{
    serving_want_room(connection, false);
    (void)sse_emitter_flush(connection->stream);
    turn();
}

static struct sse_event stamped_event(size_t index, size_t size)
{
    serving_stamp(data[index], size);
    return (struct sse_event){.data = {.ptr = data[index], .len = size}};
}

static void publish_singly(const struct assignment *assignment, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct sse_event event = stamped_event(0, assignment->size);

        check(sse_registry_publish(registry, sse_str("bench"), &event, NULL), "publish");
    }
}

static void publish_to_all(const struct assignment *assignment, size_t count)
{
    const struct sse_text topic = sse_str("bench");
    struct sse_event events[BURST_MAX];
    struct sse_message *message;

    for (size_t i = 0; i < count; i++)
        events[i] = stamped_event(i, assignment->size);
    if (count == 1) {
        check(sse_registry_publish(registry, topic, events, NULL), "publish");
        return;
    }
    check(sse_message_new(&message, events, count, NULL), "message");
    check(sse_registry_publish_message(registry, topic, message, NULL), "publish");
    sse_message_unref(message);
}

static void send_to_each(const struct assignment *assignment)
{
    size_t count;
    struct connection **streams = serving_streams(&count);

    for (size_t i = 0; i < count; i++) {
        const struct sse_event event = stamped_event(0, assignment->size);

        (void)sse_emitter_send(streams[i]->stream, &event);
    }
}

static void *send_when_asked(void *unused)
{
    for (;;) {
        while (sem_wait(&sender.asked))
            continue;
        send_to_each(sender.assignment);
        (void)sem_post(&sender.done);
    }
    return unused;
}

static void start_sender(void)
{
    pthread_t thread;

    check(sem_init(&sender.asked, 0, 0) || sem_init(&sender.done, 0, 0) ? -errno : 0, "semaphores");
    check(-pthread_create(&thread, NULL, send_when_asked, NULL), "thread");
    (void)pthread_detach(thread);
}

static void send_singly(const struct assignment *assignment)
{
    if (!settings.threaded) {
        send_to_each(assignment);
        return;
    }
    sender.assignment = assignment;
    (void)sem_post(&sender.asked);
    while (sem_wait(&sender.done))
        continue;
}

static void publish(const struct assignment *assignment, size_t count)
{
    if (assignment->size > SIZE_MAX_OF_DATA)
        return;
    if (!assignment->per_client && settings.single)
        publish_singly(assignment, count);
    else if (!assignment->per_client)
        publish_to_all(assignment, count);
    for (size_t i = 0; assignment->per_client && i < count; i++)
        send_singly(assignment);
    turn();
}

static bool set(const char *word)
{
    if (!strncmp(word, "queue_bytes=", 12))
        settings.queue_bytes = strtoul(word + 12, NULL, 10);
    else if (!strncmp(word, "send_buffer=", 12))
        settings.send_buffer = (int)strtol(word + 12, NULL, 10);
    else if (!strcmp(word, "overflow=drop-oldest"))
        settings.overflow = SSE_OVERFLOW_DROP_OLDEST;
    else if (!strcmp(word, "bursts=publishes"))
        settings.single = true;
    else if (!strcmp(word, "sender=thread"))
        settings.threaded = true;
    else
        return !strcmp(word, "overflow=end") || !strcmp(word, "bursts=batch") || !strcmp(word, "sender=loop");
    return true;
}

int main(int argc, char **argv)
{
    static const struct service service = {open_stream, close_stream, writable, publish};
    const struct sse_loop_options driven = {.size = sizeof(driven), .on_wake = ignore_wake};
    int status;

    for (int i = 1; i < argc; i++)
        check(set(argv[i]) ? 0 : -EINVAL, argv[i]);
    check(sse_registry_new(&registry, NULL), "registry");
    check(sse_loop_new(&loop, &driven), "loop");
    if (settings.threaded)
        start_sender();
    status = serve(&service);
    sse_loop_free(loop);
    sse_registry_unref(registry);
    return status;
}
