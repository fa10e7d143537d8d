/* SPDX-License-Identifier: MIT */
/* A reader that waits, or suspends itself, while other threads send, end the stream and interrupt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "connection/emitter.h"
#include "fake_client.h"
#include "tokens.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TICK "data: tick\n\n"
#define ROUNDS 50
#define MANY 5000

static const struct sse_event tick = {.data = {"tick", 4}};

static struct fake_platform fake;
static struct fake_loop loop;
static struct sse_registry *registry;
static struct fake_client client;

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &fake.platform};

    (void)state;
    fake_platform_init(&fake);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static void prepare_pull(void)
{
    fake_client_init(&client, &fake, SSE_OUTPUT_PULL);
    client.options.registry = registry;
}

/* Consumes the first byte of the body. */
static void open_pull(void)
{
    fake_client_open(&client);
    assert_int_equal(sse_emitter_wait(client.emitter, -1), 1);
    assert_int_equal(fake_client_pull(&client), 0);
    fake_client_forget(&client);
}

/* The action of another thread, and the result of the wait after it. */
struct help {
    int (*act)(void);
    int result;
    int chunked_result; /* the last chunk is there to consume */
};

static struct tokens start = TOKENS_NONE;

static int send_tick(void)
{
    return sse_emitter_send(client.emitter, &tick);
}

static int publish_tick(void)
{
    return sse_registry_publish(registry, sse_str(NULL), &tick, NULL);
}

static int ping(void)
{
    return sse_emitter_ping(client.emitter);
}

static int interrupt(void)
{
    return sse_emitter_interrupt(client.emitter);
}

static int complete(void)
{
    return sse_emitter_complete(client.emitter);
}

static int complete_all(void)
{
    return sse_registry_complete(registry, sse_str(NULL));
}

static int abort_it(void)
{
    return sse_emitter_abort(client.emitter, -EIO);
}

static int shut_down(void)
{
    const struct sse_shutdown_options options = {.size = sizeof(options), .drain_ms = 1000};

    return sse_registry_shutdown(registry, &options);
}

static const struct help helps[] = {
    {send_tick, 1, 1},           {publish_tick, 1, 1},      {ping, 1, 1},
    {interrupt, -EINTR, -EINTR}, {complete, SSE_ENDED, 1},  {complete_all, SSE_ENDED, 1},
    {abort_it, -EIO, -EIO},      {shut_down, SSE_ENDED, 1},
};

static void *help(void *argument)
{
    const struct help *with = argument;

    tokens_take(&start);
    if (with->act())
        abort();
    return NULL;
}

/* The callbacks run in the owner's wait: fake_client checks the thread. */
static void another_thread_ends_a_wait(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(helps) * 2 * ROUNDS; i++) {
        const struct help *with = &helps[i / ROUNDS / 2];
        unsigned framing = i % 2;
        pthread_t thread;

        sse_registry_unref(registry);
        assert_int_equal(sse_registry_new(&registry, NULL), 0);
        prepare_pull();
        client.options.framing = (enum sse_framing)framing;
        open_pull();
        assert_int_equal(pthread_create(&thread, NULL, help, (void *)(uintptr_t)with), 0);
        tokens_add(&start);
        assert_int_equal(sse_emitter_wait(client.emitter, -1), framing ? with->chunked_result : with->result);
        pthread_join(thread, NULL);
        if (with->result != 1 && with->result != -EINTR && !framing)
            assert_int_equal(client.completions, 1);
        fake_client_free(&client);
    }
}

static void *start_it(void *argument)
{
    (void)argument;
    tokens_take(&start);
    if (sse_emitter_start(client.emitter, false))
        abort();
    return NULL;
}

/* The events behind the pause can be read. */
static void the_end_of_a_pause_ends_a_wait(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;

        prepare_pull();
        client.options.paused = true;
        open_pull();
        assert_int_equal(sse_registry_publish(registry, sse_str(NULL), &tick, NULL), 0);
        assert_int_equal(sse_emitter_wait(client.emitter, 0), 0);
        assert_int_equal(pthread_create(&thread, NULL, start_it, NULL), 0);
        tokens_add(&start);
        assert_int_equal(sse_emitter_wait(client.emitter, -1), 1);
        assert_int_equal(fake_client_pull(&client), 0);
        assert_string_equal(fake_client_text(&client), TICK);
        pthread_join(thread, NULL);
        fake_client_free(&client);
    }
}

static void *send_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < MANY; i++)
        if (send_tick())
            abort();
    (void)complete();
    return NULL;
}

static void no_event_is_missed(void **state)
{
    pthread_t sender;
    size_t total = 0;
    char buffer[100];
    int result;

    (void)state;
    prepare_pull();
    client.options.queue_messages = MANY;
    open_pull();
    assert_int_equal(pthread_create(&sender, NULL, send_many, NULL), 0);
    while ((result = sse_emitter_wait(client.emitter, -1)) == 1) {
        ssize_t size;

        while ((size = sse_emitter_read(client.emitter, buffer, sizeof(buffer))) > 0)
            total += (size_t)size;
    }
    pthread_join(sender, NULL);
    assert_int_equal(result, SSE_ENDED);
    assert_int_equal(total, MANY * strlen(TICK));
    assert_int_equal(client.completions, 1);
    fake_client_free(&client);
}

static struct tokens ready = TOKENS_NONE, woken = TOKENS_NONE;
static atomic_bool finished;

static void post_woken(struct fake_loop *of, void *user)
{
    (void)of, (void)user;
    tokens_add(&woken);
}

static void post_ready(struct fake_client *of, void *user)
{
    (void)of, (void)user;
    tokens_add(&ready);
}

static void *take_turns(void *argument)
{
    (void)argument;
    while (!atomic_load(&finished)) {
        tokens_take(&woken);
        (void)fake_loop_settle(&loop);
    }
    return NULL;
}

/* The reader suspends itself at each 0 and continues when on_ready was called. If a wake were lost it would hang,
 * and if one came twice the counts would differ. */
static void no_wake_is_missed(void **state)
{
    pthread_t sender, turner;
    size_t total = 0, zeros = 0;
    ssize_t count;
    char buffer[100];

    (void)state;
    tokens_clear(&ready);
    tokens_clear(&woken);
    atomic_store(&finished, false);
    fake_loop_open(&loop, &fake);
    prepare_pull();
    client.loop = &loop;
    client.options.queue_messages = MANY;
    fake_client_open(&client);
    (void)fake_loop_settle(&loop);
    client.act = post_ready;
    loop.act = post_woken;
    assert_int_equal(pthread_create(&turner, NULL, take_turns, NULL), 0);
    assert_int_equal(pthread_create(&sender, NULL, send_many, NULL), 0);
    while ((count = sse_emitter_read(client.emitter, buffer, sizeof(buffer))) >= 0) {
        total += (size_t)count;
        zeros += !count;
        if (!count)
            tokens_take(&ready);
    }
    pthread_join(sender, NULL);
    atomic_store(&finished, true);
    tokens_add(&woken);
    pthread_join(turner, NULL);
    loop.act = NULL;
    assert_int_equal(count, SSE_ENDED);
    assert_int_equal(total, strlen(":\n") + MANY * strlen(TICK));
    assert_int_equal(client.readable, 1 + zeros);
    fake_client_free(&client);
    fake_loop_close(&loop);
}

static void *run_loop(void *inner)
{
    if (sse_loop_run(inner))
        abort();
    return NULL;
}

static void count_end(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)completion;
    atomic_fetch_add((atomic_int *)user, 1);
}

/* With a loop the wait does nothing else: the loop runs the timers and the callbacks. */
static void with_a_loop_a_wait_only_waits(void **state)
{
    atomic_int ends = 0;
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .registry = registry,
                                          .output = SSE_OUTPUT_PULL,
                                          .heartbeat_ms = 1,
                                          .lifetime_ms = 20,
                                          .on_completion = count_end,
                                          .user = &ends};
    struct sse_emitter *emitter;
    pthread_t thread;
    char buffer[100];
    int result;

    (void)state;
    assert_int_equal(sse_loop_new(&options.loop, NULL), 0);
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, options.loop), 0);
    assert_int_equal(publish_tick(), 0);
    while ((result = sse_emitter_wait(emitter, -1)) == 1)
        assert_true(sse_emitter_read(emitter, buffer, sizeof(buffer)) != 0);
    assert_int_equal(result, SSE_ENDED);
    assert_int_equal(sse_emitter_interrupt(emitter), 0);
    assert_int_equal(sse_emitter_wait(emitter, -1), -EINTR);
    sse_emitter_close(emitter);
    assert_int_equal(sse_loop_finish(options.loop), 0);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&ends), 1);
    sse_loop_free(options.loop);
}

/* It has consumed everything, and on_ready is not armed. */
static void *consume_and_wait(void *argument)
{
    struct iovec iov;

    (void)argument;
    if (sse_emitter_peek(client.emitter, &iov, 1) != 1 || sse_emitter_consume(client.emitter, iov.iov_len))
        abort();
    if (sse_emitter_wait(client.emitter, -1) != -ECANCELED)
        abort();
    return NULL;
}

static bool is_waited_for(void)
{
    bool waits;

    pthread_mutex_lock(&client.emitter->lock);
    waits = client.emitter->waiters != NULL;
    pthread_mutex_unlock(&client.emitter->lock);
    return waits;
}

/* The wait has no limit, so the test passes if it returns. */
static void the_end_of_the_loop_ends_a_wait(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;

        fake_loop_open(&loop, &fake);
        prepare_pull();
        client.loop = &loop;
        fake_client_open(&client);
        (void)fake_loop_settle(&loop);
        assert_int_equal(pthread_create(&thread, NULL, consume_and_wait, NULL), 0);
        while (!is_waited_for())
            sched_yield();
        fake_loop_close(&loop);
        pthread_join(thread, NULL);
        assert_int_equal(client.completion.reason, SSE_REASON_CLOSED);
        fake_client_free(&client);
    }
}

/* One thread accepts the emitter, and another one serves it. */
static void *serve(void *argument)
{
    (void)argument;
    client.owner = pthread_self();
    if (sse_emitter_send(client.emitter, &tick) || sse_emitter_complete(client.emitter))
        abort();
    sse_emitter_close(client.emitter);
    client.emitter = NULL;
    return NULL;
}

static void an_emitter_may_be_handed_to_another_thread(void **state)
{
    pthread_t thread;

    (void)state;
    fake_client_init(&client, &fake, SSE_OUTPUT_CALLBACK);
    fake_client_open(&client);
    assert_int_equal(sse_emitter_flush(client.emitter), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(fake_client_events(&client), TICK);
    assert_string_equal(client.log, "cx");
    assert_int_equal(client.completion.reason, SSE_REASON_COMPLETED);
    fake_client_free(&client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_thread_ends_a_wait),
        TEST(the_end_of_a_pause_ends_a_wait),
        TEST(no_event_is_missed),
        TEST(no_wake_is_missed),
        TEST(with_a_loop_a_wait_only_waits),
        TEST(the_end_of_the_loop_ends_a_wait),
        TEST(an_emitter_may_be_handed_to_another_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
