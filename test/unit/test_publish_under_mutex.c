/* SPDX-License-Identifier: MIT */
/* A server with one mutex: every callback locks it, and eight threads publish, subscribe and end streams while they
 * hold it. If callbacks ran inside publish, this would deadlock at once. Two loops, one order. */
#include "loop_thread.h"

#include <setjmp.h>
#include <sse/registry.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LOOPS 2
#define PUBLISHERS 8
#define EVENTS 200 /* of each publisher */
#define WITNESSES 6
#define PASSERS 24 /* come and go */
#define TEXT_SIZE ((size_t)256 << 10)

static pthread_mutex_t state; /* of the server */
static _Thread_local bool holds_state;
static _Thread_local bool calls_library;
static struct fake_platform fake;
static struct sse_platform platform;
static struct loop_thread loops[LOOPS];
static struct sse_registry *registry;

struct client {
    struct loop_thread *loop;
    struct sse_emitter *emitter;
    int peer; /* FD */
    char *text;
    size_t size;
    size_t callbacks; /* guarded by `state` */
    bool released;
};

static struct client witnesses[WITNESSES], passers[PASSERS];

static void take_state(void)
{
    require(!holds_state);
    pthread_mutex_lock(&state);
    holds_state = true;
}

static void leave_state(void)
{
    holds_state = false;
    pthread_mutex_unlock(&state);
}

/* A call of the library, while the mutex is held. */
static void begin_call(void)
{
    take_state();
    calls_library = true;
}

static void end_call(void)
{
    calls_library = false;
    leave_state();
}

/* Each callback runs in its loop's thread, and not inside a call of that thread. */
static struct client *enter_callback(void *user)
{
    struct client *client = user;

    require(loop_thread_is_mine(client->loop));
    require(!calls_library);
    take_state();
    client->callbacks++;
    return client;
}

static ssize_t write_bytes(void *user, const struct iovec *iov, int count)
{
    struct client *client = enter_callback(user);
    size_t before = client->size;

    for (int i = 0; i < count && client->text; i++) {
        require(client->size + iov[i].iov_len < TEXT_SIZE);
        memcpy(client->text + client->size, iov[i].iov_base, iov[i].iov_len);
        client->size += iov[i].iov_len;
    }
    leave_state();
    return client->text ? (ssize_t)(client->size - before) : (ssize_t)iov[0].iov_len;
}

static void read_all(struct client *client)
{
    char rest[1024];
    ssize_t size;

    do {
        char *to = client->text ? client->text + client->size : rest;
        size_t room = client->text ? TEXT_SIZE - 1 - client->size : sizeof(rest);

        size = sse_emitter_read(client->emitter, to, room);
        if (size > 0 && client->text)
            client->size += (size_t)size;
    } while (size > 0);
}

static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct client *client = enter_callback(user);

    if (what & SSE_READABLE) {
        require(emitter == client->emitter);
        read_all(client);
    }
    leave_state();
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter, (void)error;
    enter_callback(user);
    leave_state();
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)completion;
    enter_callback(user);
    leave_state();
}

static void on_release(void *user)
{
    enter_callback(user)->released = true;
    leave_state();
}

/* The caller holds the mutex, like most servers while they register the new client. */
static void open_client(struct client *client, unsigned number, bool is_witness)
{
    static const enum sse_output outputs[] = {SSE_OUTPUT_CALLBACK, SSE_OUTPUT_PULL, SSE_OUTPUT_FD};
    const struct sse_text topics[] = {sse_str("a"), sse_str("b")};
    enum sse_output output = outputs[number % 3];
    int ends[2] = {-1, -1};
    struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = &platform,
        .registry = registry,
        .loop = loops[number / 3 % LOOPS].loop,
        .topics = topics,
        .topic_count = 2,
        .output = output,
        .write = output == SSE_OUTPUT_CALLBACK ? write_bytes : NULL,
        .on_ready = on_ready,
        .on_error = on_error,
        .on_completion = on_completion,
        .on_release = on_release,
        .user = client,
    };

    *client = (struct client){.loop = &loops[number / 3 % LOOPS], .peer = -1};
    if (output == SSE_OUTPUT_FD) {
        require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        client->peer = ends[1];
        options.fd = ends[0];
    }
    if (is_witness) {
        client->text = malloc(TEXT_SIZE);
        require(client->text != NULL);
    }
    require(sse_emitter_new(&client->emitter, &options, NULL) == 0);
}

static void publish(unsigned publisher, unsigned sequence)
{
    static const char *const topics[] = {"a", "b", NULL};
    char data[32];
    struct sse_event event = {.data = {.ptr = data}};

    event.data.len = (size_t)snprintf(data, sizeof(data), "%u %u", publisher, sequence);
    require(sse_registry_publish(registry, sse_str(topics[sequence % 3]), &event, NULL) == 0);
}

static int visit(struct sse_emitter *emitter, void *user)
{
    (void)user;
    (void)sse_emitter_send(emitter, &(struct sse_event){.comment = sse_str("visited")});
    return 0;
}

/* Actions of servers on clients while they hold their lock. They must not close, because close may wait for a
 * callback, which locks the mutex. */
static void meddle(struct client *client, struct schedule_random *random)
{
    const struct sse_text topic = sse_str("c");

    if (!client->emitter)
        return;
    switch (schedule_below(random, 6)) {
    case 0:
        (void)sse_registry_subscribe(registry, client->emitter, &topic, 1, sse_str("unknown"), NULL);
        break;
    case 1:
        (void)sse_registry_unsubscribe(registry, client->emitter, &topic, 1);
        break;
    case 2:
        (void)sse_emitter_abort(client->emitter, -EIO);
        break;
    case 3:
        (void)sse_emitter_complete(client->emitter);
        break;
    case 4:
        (void)sse_emitter_flush(client->emitter);
        break;
    default:
        (void)sse_registry_each(registry, sse_str("c"), visit, NULL);
        break;
    }
}

static void *publish_all(void *user)
{
    unsigned publisher = (unsigned)(uintptr_t)user;
    struct schedule_random random;

    schedule_random_init(&random, schedule_seed(), publisher);
    for (unsigned sequence = 0; sequence < EVENTS; sequence++) {
        begin_call();
        publish(publisher, sequence);
        if (schedule_one_in(&random, 4))
            meddle(&passers[schedule_below(&random, PASSERS)], &random);
        end_call();
        schedule_pause(&random);
    }
    return NULL;
}

/* Reads the other end of a socket until its loop has closed it. In a driven loop, the server itself waits for
 * room. */
static void read_peer(struct client *client)
{
    char rest[1024];
    ssize_t size = 1;

    while (client->peer >= 0 && size > 0) {
        char *to = client->text ? client->text + client->size : rest;

        size = recv(client->peer, to, client->text ? TEXT_SIZE - 1 - client->size : sizeof(rest), 0);
        if (size > 0 && client->text)
            client->size += (size_t)size;
        (void)sse_emitter_flush(client->emitter);
    }
    if (client->peer >= 0)
        close(client->peer);
}

static void close_client(struct client *client)
{
    struct sse_emitter *emitter;

    take_state();
    emitter = client->emitter;
    client->emitter = NULL;
    leave_state();
    sse_emitter_close(emitter);
}

static void check_text(struct client *client, const char *first)
{
    unsigned newest[PUBLISHERS] = {0};
    unsigned events = 0;

    client->text[client->size] = '\0';
    require(!strncmp(client->text, ":\n", 2));
    require(!strcmp(client->text, first));
    for (const char *at = client->text; (at = strstr(at, "data: ")); at += 6) {
        unsigned publisher, sequence;

        require(sscanf(at, "data: %u %u\n", &publisher, &sequence) == 2 && publisher < PUBLISHERS);
        require(sequence == newest[publisher]++);
        events++;
    }
    require(events == PUBLISHERS * EVENTS);
}

static void open_server(void)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .platform = &platform, .gap_type = sse_str("gap")};

    fake_platform_init(&fake);
    schedule_platform_init(&platform, &fake, false);
    for (size_t i = 0; i < LOOPS; i++)
        loop_thread_open(&loops[i], &platform, i % 2);
    require(sse_registry_new(&registry, &options) == 0);
    begin_call();
    for (unsigned i = 0; i < WITNESSES; i++)
        open_client(&witnesses[i], i, true);
    for (unsigned i = 0; i < PASSERS; i++)
        open_client(&passers[i], i, false);
    end_call();
}

static void close_server(void)
{
    const struct sse_shutdown_options options = {.size = sizeof(options), .drain_ms = 60000};

    begin_call();
    require(sse_registry_shutdown(registry, &options) == 0);
    end_call();
    for (size_t i = 0; i < WITNESSES; i++)
        read_peer(&witnesses[i]);
    for (size_t i = 0; i < PASSERS; i++)
        close_client(&passers[i]);
    for (size_t i = 0; i < PASSERS; i++)
        read_peer(&passers[i]);
    for (size_t i = 0; i < LOOPS; i++)
        loop_thread_stop(&loops[i]);
    for (size_t i = 0; i < WITNESSES; i++)
        close_client(&witnesses[i]);
    require(sse_registry_wait(registry, 0) == 0);
    for (size_t i = 0; i < LOOPS; i++)
        loop_thread_close(&loops[i]);
    sse_registry_unref(registry);
}

static void run_server(void)
{
    pthread_t threads[PUBLISHERS];

    open_server();
    for (size_t i = 0; i < LOOPS; i++)
        loop_thread_start(&loops[i]);
    for (uintptr_t i = 0; i < PUBLISHERS; i++)
        require(pthread_create(&threads[i], NULL, publish_all, (void *)i) == 0);
    for (size_t i = 0; i < PUBLISHERS; i++)
        require(pthread_join(threads[i], NULL) == 0);
    close_server();
    for (size_t i = 0; i < WITNESSES; i++) {
        check_text(&witnesses[i], witnesses[0].text);
        require(witnesses[i].released && witnesses[i].callbacks > 0);
    }
    for (size_t i = 0; i < PASSERS; i++)
        require(passers[i].released);
    for (size_t i = 0; i < WITNESSES; i++)
        free(witnesses[i].text);
}

static void eight_threads_publish_under_the_mutex_of_every_callback(void **unused)
{
    unsigned rounds = schedule_rounds(20);

    (void)unused;
    pthread_mutex_init(&state, NULL);
    for (unsigned round = 0; round < rounds; round++)
        run_server();
    pthread_mutex_destroy(&state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_threads_publish_under_the_mutex_of_every_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
