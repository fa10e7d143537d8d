/* SPDX-License-Identifier: MIT */
/* Loops in their own threads, while others publish, send, end and close. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SENDERS 8
#define SENDS 400
#define LOOPS 2
#define CLIENTS 12
#define ADDERS 4
#define ADDS 60

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};
static const struct sse_event tick = {.data = {"tick", 4}};

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* A program that locks its mutex in every callback, and also when it publishes and sends. */
struct program {
    pthread_mutex_t mutex;
    struct sse_registry *registry;
    struct sse_loop *loops[LOOPS];
    pthread_t threads[LOOPS];
    struct member {
        struct program *program;
        struct sse_emitter *emitter;
        unsigned loop;
        unsigned counts[6]; /* calls of its callbacks, guarded by the mutex */
        bool is_full;       /* its write callback accepts nothing the next time */
    } members[CLIENTS];
    unsigned left; /* members that are not released */
};

enum { WRITES, READY, TIMEOUTS, ERRORS, COMPLETIONS, RELEASES };

/* Callbacks run in the thread of their loop. Each locks the mutex that the publishers hold. */
static void enter(struct member *member, int which)
{
    struct program *program = member->program;

    require(pthread_equal(pthread_self(), program->threads[member->loop]), "a callback in another thread");
    pthread_mutex_lock(&program->mutex);
    member->counts[which]++;
}

static ssize_t on_write(void *user, const struct iovec *iov, int count)
{
    struct member *member = user;
    ssize_t size = 0;

    enter(member, WRITES);
    for (int i = 0; i < count; i++)
        size += (ssize_t)iov[i].iov_len;
    if (member->is_full)
        size = -EAGAIN;
    member->is_full = member->counts[WRITES] % 5 == 0;
    pthread_mutex_unlock(&member->program->mutex);
    return size;
}

/* It also publishes while it holds the mutex, from inside the loop. */
static void on_ready(struct sse_emitter *emitter, unsigned what, void *user)
{
    struct member *member = user;
    char buffer[1000];

    enter(member, READY);
    if (what == SSE_BLOCKED)
        (void)sse_emitter_flush(emitter);
    while (what == SSE_READABLE && sse_emitter_read(emitter, buffer, sizeof(buffer)) > 0)
        ;
    if (member->counts[READY] % 7 == 0)
        (void)sse_registry_publish(member->program->registry, sse_str(NULL), &tick, NULL);
    pthread_mutex_unlock(&member->program->mutex);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter, (void)reason;
    enter(user, TIMEOUTS);
    pthread_mutex_unlock(&((struct member *)user)->program->mutex);
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter, (void)error;
    enter(user, ERRORS);
    pthread_mutex_unlock(&((struct member *)user)->program->mutex);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct member *member = user;

    (void)emitter, (void)completion;
    enter(member, COMPLETIONS);
    (void)sse_registry_publish(member->program->registry, sse_str(NULL), &tick, NULL);
    pthread_mutex_unlock(&member->program->mutex);
}

static void on_release(void *user)
{
    struct member *member = user;

    enter(member, RELEASES);
    member->program->left--;
    pthread_mutex_unlock(&member->program->mutex);
}

static void join(struct program *program, unsigned which)
{
    struct member *member = &program->members[which];
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .registry = program->registry,
                                          .loop = program->loops[which % LOOPS],
                                          .output = which / LOOPS % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK,
                                          .write = which / LOOPS % 2 ? NULL : on_write,
                                          .overflow = SSE_OVERFLOW_DROP_OLDEST,
                                          .heartbeat_ms = 1,
                                          .lifetime_ms = which % 5 == 4 ? 20 : 0,
                                          .on_ready = on_ready,
                                          .on_timeout = on_timeout,
                                          .on_error = on_error,
                                          .on_completion = on_completion,
                                          .on_release = on_release,
                                          .user = member};

    *member = (struct member){.program = program, .loop = which % LOOPS};
    program->left++;
    assert_int_equal(sse_emitter_new(&member->emitter, &options, NULL), 0);
}

static void *publish_under_the_mutex(void *argument)
{
    struct program *program = argument;

    for (unsigned i = 0; i < SENDS; i++) {
        struct member *member = &program->members[i % CLIENTS];

        pthread_mutex_lock(&program->mutex);
        (void)sse_registry_publish(program->registry, sse_str(NULL), &tick, NULL);
        (void)sse_emitter_send(member->emitter, &tick);
        (void)sse_emitter_flush(member->emitter);
        if (i == SENDS / 2)
            (void)sse_emitter_complete(program->members[0].emitter);
        if (i == SENDS / 2)
            (void)sse_emitter_abort(program->members[1].emitter, -EPROTO);
        pthread_mutex_unlock(&program->mutex);
    }
    return NULL;
}

static void *run_loop(void *loop)
{
    require(!sse_loop_run(loop), "the loop failed");
    return NULL;
}

static unsigned count_of(struct member *member, int which)
{
    unsigned count;

    pthread_mutex_lock(&member->program->mutex);
    count = member->counts[which];
    pthread_mutex_unlock(&member->program->mutex);
    return count;
}

static void run_program(struct program *program, enum sse_poller poller)
{
    const struct sse_loop_options options = {.size = sizeof(options), .poller = poller};
    pthread_t senders[SENDERS];

    assert_int_equal(pthread_mutex_init(&program->mutex, NULL), 0);
    assert_int_equal(sse_registry_new(&program->registry, NULL), 0);
    pthread_mutex_lock(&program->mutex);
    for (unsigned i = 0; i < LOOPS; i++) {
        assert_int_equal(sse_loop_new(&program->loops[i], &options), 0);
        assert_int_equal(pthread_create(&program->threads[i], NULL, run_loop, program->loops[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        join(program, i);
    pthread_mutex_unlock(&program->mutex);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&senders[i], NULL, publish_under_the_mutex, program), 0);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    /* It was completed, so all events for it are written first. */
    while (!count_of(&program->members[0], COMPLETIONS))
        sched_yield();
    for (unsigned i = 0; i < CLIENTS; i++)
        sse_emitter_close(program->members[i].emitter);
    for (unsigned i = 0; i < LOOPS; i++) {
        assert_int_equal(sse_loop_finish(program->loops[i]), 0);
        pthread_join(program->threads[i], NULL);
        sse_loop_free(program->loops[i]);
    }
    assert_int_equal(program->left, 0);
    assert_true(program->members[0].counts[WRITES] > 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(program->members[i].counts[COMPLETIONS], 1);
        assert_int_equal(program->members[i].counts[RELEASES], 1);
    }
    sse_registry_unref(program->registry);
    pthread_mutex_destroy(&program->mutex);
}

static void a_mutex_in_every_callback_is_no_deadlock(void **state)
{
    static struct program program;

    memset(&program, 0, sizeof(program));
    run_program(&program, ((struct loop_stage *)*state)->poller);
}

/* Another thread than the loop's ends it. The descriptor is still closed, in the loop's thread. */
static void ends_of_other_threads(void **state)
{
    struct loop_client client;
    struct loop_runner runner;

    loop_runner_start(&runner, *state);
    for (int i = 0; i < 100; i++) {
        loop_client_open(&client, *state, i % 2 ? LOOP_CLIENT_TCP : LOOP_CLIENT_PIPE, NULL);
        assert_int_equal(loop_client_send(&client, "x"), 0);
        if (i % 3)
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        else
            assert_int_equal(sse_emitter_abort(client.emitter, -ECANCELED), 0);
        while (descriptor_is_open(client.server_fd) || !atomic_load(&client.completions))
            sched_yield();
        assert_true(pthread_equal(client.thread, runner.thread));
        loop_client_close(&client);
    }
    loop_runner_stop(&runner);
}

/* The loop is already waiting. Only sse_emitter_new itself tells it about the new emitter. */
static void departed_before_new_while_it_runs(void **state)
{
    struct loop_client client;
    struct loop_runner runner;

    loop_runner_start(&runner, *state);
    for (int i = 0; i < 50; i++) {
        loop_client_connect(&client, *state, LOOP_CLIENT_UNIX);
        loop_client_leave(&client);
        assert_int_equal(loop_client_try_open(&client, NULL), 0);
        while (descriptor_is_open(client.server_fd))
            sched_yield();
        loop_client_close(&client);
    }
    loop_runner_stop(&runner);
}

static void slow_reader_while_it_runs(void **state)
{
    struct loop_client client;
    struct loop_runner runner;
    pthread_t reader;
    size_t size = 0;

    loop_runner_start(&runner, *state);
    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    for (int i = 0; i < 40; i++)
        size += loop_client_fill(&client);
    client.user = (void *)(uintptr_t)size;
    assert_int_equal(pthread_create(&reader, NULL, loop_client_read_and_leave, &client), 0);
    pthread_join(reader, NULL);
    while (!atomic_load(&client.completions))
        sched_yield();
    assert_int_equal(client.reason, SSE_REASON_DISCONNECTED);
    loop_runner_stop(&runner);
    loop_client_close(&client);
}

struct adder {
    struct loop_stage *stage;
    unsigned number;
    struct loop_client clients[ADDS];
    pthread_t thread;
};

/* Clients that connect, and end in every possible way, without waiting for anything. */
static void *add_many(void *argument)
{
    struct adder *adder = argument;

    for (unsigned i = 0; i < ADDS; i++) {
        struct loop_client *client = &adder->clients[i];

        loop_client_open(client, adder->stage, (i + adder->number) % 3 ? LOOP_CLIENT_TCP : LOOP_CLIENT_UNIX,
                         NULL);
        (void)loop_client_send(client, "hello");
        if (i % 5 == 0)
            (void)sse_registry_publish(adder->stage->registry, sse_str(NULL), &tick, NULL);
        if (i % 4 == 0)
            (void)sse_emitter_complete(client->emitter);
        if (i % 4 == 1)
            (void)sse_emitter_abort(client->emitter, -ECANCELED);
        if (i % 4 == 2)
            loop_client_leave(client);
        if (i % 8 == 3)
            shutdown(client->fd, SHUT_WR);
    }
    return NULL;
}

static void emitters_of_other_threads(void **state)
{
    static struct adder adders[ADDERS];
    struct loop_runner runner;

    loop_runner_start(&runner, *state);
    for (unsigned i = 0; i < ADDERS; i++) {
        adders[i].stage = *state;
        adders[i].number = i;
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add_many, &adders[i]), 0);
    }
    for (int i = 0; i < ADDERS; i++)
        pthread_join(adders[i].thread, NULL);
    for (int i = 0; i < ADDERS * ADDS; i++) {
        struct loop_client *client = &adders[i / ADDS].clients[i % ADDS];

        loop_client_leave(client);
        while (!atomic_load(&client->completions))
            sched_yield();
        assert_true(pthread_equal(client->thread, runner.thread));
        loop_client_close(client);
        assert_int_equal(atomic_load(&client->completions), 1);
    }
    loop_runner_stop(&runner);
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, loop_stage_set_up, loop_stage_tear_down,              \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mutex_in_every_callback_is_no_deadlock, poller),
        TEST(ends_of_other_threads, poller),
        TEST(departed_before_new_while_it_runs, poller),
        TEST(slow_reader_while_it_runs, poller),
        TEST(emitters_of_other_threads, poller),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    int failed = run(&pollers[0], "poll");

    if (loop_stage_has(SSE_POLLER_EPOLL))
        failed += run(&pollers[1], "epoll");
    return failed;
}
