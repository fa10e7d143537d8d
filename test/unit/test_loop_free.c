/* SPDX-License-Identifier: MIT */
/* The end of a loop: what happens to its emitters, to references to them, and to threads that use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROUNDS 200
#define SENDERS 3
#define CROWD 20

static const struct sse_event tick = {.data = {"tick", 4}};

static struct fake_platform fake;
static struct fake_loop loop;
static struct sse_registry *registry;
static struct fake_client clients[CROWD];

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &fake.platform};

    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    memset(clients, 0, sizeof(clients));
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CROWD);
    fake_loop_close(&loop);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static struct fake_client *prepare(size_t which, enum sse_output output)
{
    struct fake_client *client = &clients[which];

    fake_client_init(client, &fake, output);
    client->loop = &loop;
    client->options.registry = registry;
    return client;
}

static int publish(void)
{
    return sse_registry_publish(registry, sse_str(NULL), &tick, NULL);
}

/* The loop never had a turn, or it had one. Bytes are queued, or the emitter drains. */
enum stage { FRESH, BEGUN, QUEUED, DRAINING, ENDED, STAGES };

static void bring_to(struct fake_client *client, enum stage stage)
{
    fake_client_open(client);
    if (stage >= BEGUN)
        (void)fake_loop_settle(&loop);
    client->output.room = stage == QUEUED || stage == DRAINING ? 5 : SIZE_MAX;
    if (stage == QUEUED || stage == DRAINING)
        assert_int_equal(sse_emitter_send(client->emitter, &tick), 0);
    if (stage == DRAINING)
        assert_int_equal(sse_emitter_complete(client->emitter), 0);
    if (stage == ENDED)
        assert_int_equal(sse_emitter_abort(client->emitter, -EPROTO), 0);
}

/* The callbacks run inside sse_loop_free, in its thread. fake_client checks that. */
static void emitters_that_are_left_end(void **state)
{
    (void)state;
    for (int i = 0; i < STAGES * 2; i++) {
        enum stage stage = (enum stage)(i / 2);
        struct fake_client *client = prepare(0, i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK);

        bring_to(client, stage);
        fake_loop_close(&loop);
        assert_int_equal(client->completions, 1);
        assert_int_equal(client->completion.reason, stage == ENDED ? SSE_REASON_ABORTED : SSE_REASON_CLOSED);
        assert_int_equal(client->completion.error, stage == ENDED ? -EPROTO : -ECANCELED);
        assert_int_equal(client->completion.dropped, stage == QUEUED || stage == DRAINING);
        assert_int_equal(sse_registry_count(registry, sse_str(NULL)), 0);
        assert_int_equal(client->releases, 0);
        assert_int_equal(sse_emitter_send(client->emitter, &tick), client->completion.error);
        assert_int_equal(sse_emitter_complete(client->emitter), -EALREADY);
        fake_client_free(client);
        assert_int_equal(client->releases, 1);
        assert_int_equal(client->completions, 1);
        fake_loop_open(&loop, &fake);
    }
}

/* A connection that waits for on_ready is notified of the end before on_completion. */
static void a_suspended_reader_is_notified(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_PULL);

    (void)state;
    fake_client_open(client);
    (void)fake_loop_settle(&loop);
    assert_int_equal(fake_client_pull(client), 0);
    fake_loop_close(&loop);
    assert_string_equal(client->log, "rrc");
    assert_int_equal(fake_client_pull(client), -ECANCELED);
    fake_client_free(client);
}

static void descriptors_are_closed_unless_they_are_kept(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const bool keep = i % 2, polled = i / 2;
        struct sse_loop *inner = NULL;
        struct fake_client *client = prepare(0, SSE_OUTPUT_FD);
        struct descriptor_pair pair;

        pair_open(&pair, PAIR_TCP);
        client->options.fd = pair.server;
        client->options.keep_fd = keep;
        if (polled) {
            client->loop = NULL;
            assert_int_equal(sse_loop_new(&inner, NULL), 0);
            client->options.loop = inner;
            assert_int_equal(sse_emitter_new(&client->emitter, &client->options, NULL), 0);
            assert_int_equal(sse_loop_dispatch(inner, 0), 0);
            sse_loop_free(inner);
        } else {
            fake_client_open(client);
            fake_loop_close(&loop);
        }
        pair_expect(&pair, ":\n");
        assert_int_equal(client->completions, 1);
        assert_int_equal(descriptor_is_open(pair.server), keep);
        sse_emitter_close(client->emitter);
        client->emitter = NULL;
        assert_int_equal(descriptor_is_open(pair.server), keep);
        assert_int_equal(client->releases, 1);
        fake_client_free(client);
        pair_close(&pair);
        if (!loop.loop)
            fake_loop_open(&loop, &fake);
    }
}

static void free_ignores_null(void **state)
{
    (void)state;
    sse_loop_free(NULL);
}

/* The registry and its other loops continue. */
static void other_loops_continue(void **state)
{
    struct fake_client *here = prepare(0, SSE_OUTPUT_CALLBACK), *there = prepare(1, SSE_OUTPUT_CALLBACK);
    struct fake_loop other;

    (void)state;
    fake_loop_open(&other, &fake);
    there->loop = &other;
    fake_client_open(here);
    fake_client_open(there);
    fake_loop_close(&loop);
    assert_int_equal(publish(), 0);
    (void)fake_loop_settle(&other);
    assert_string_equal(fake_client_events(there), "data: tick\n\n");
    assert_int_equal(here->output.size, 0);
    fake_client_free(there);
    fake_loop_close(&other);
}

/* References */

static pthread_t released_in;

static void note_thread(void *user)
{
    (void)user;
    released_in = pthread_self();
}

static void *release(void *emitter)
{
    sse_emitter_close(emitter);
    return NULL;
}

static void on_release_runs_where_the_last_reference_is_released(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_PULL);
    struct sse_emitter *kept;
    pthread_t thread;

    (void)state;
    client->options.on_release = note_thread;
    fake_client_open(client);
    kept = sse_emitter_ref(client->emitter);
    fake_loop_close(&loop);
    assert_int_equal(client->completions, 1);
    sse_emitter_close(client->emitter);
    client->emitter = NULL;
    assert_int_equal(sse_emitter_flush(kept), -ECANCELED);
    assert_int_equal(pthread_create(&thread, NULL, release, kept), 0);
    pthread_join(thread, NULL);
    assert_true(pthread_equal(released_in, thread));
}

/* The actions of callbacks during the end. */
static void end_all_others(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)completion, (void)user;
    assert_int_equal(publish(), 0);
    for (size_t i = 1; i < CROWD; i++) {
        (void)sse_emitter_send(clients[i].emitter, &tick);
        (void)sse_emitter_complete(clients[i].emitter);
    }
}

static void open_another(struct fake_client *client, void *user)
{
    struct sse_emitter *made = NULL;

    (void)user;
    assert_int_equal(sse_emitter_new(&made, &client->options, NULL), -ECONNREFUSED);
}

static void callbacks_may_use_other_emitters(void **state)
{
    struct fake_client *first = prepare(0, SSE_OUTPUT_CALLBACK);

    (void)state;
    first->options.on_completion = end_all_others;
    fake_client_open(first);
    for (size_t i = 1; i < CROWD; i++) {
        prepare(i, SSE_OUTPUT_PULL)->act = open_another;
        fake_client_open(&clients[i]);
    }
    fake_loop_close(&loop);
    for (size_t i = 1; i < CROWD; i++) {
        assert_int_equal(clients[i].completions, 1);
        assert_int_equal(clients[i].readable, 1);
    }
}

/* Other threads */

static atomic_bool go_on;

static void *send_and_publish(void *argument)
{
    struct sse_emitter *emitter = argument;

    while (atomic_load(&go_on)) {
        (void)sse_emitter_send(emitter, &tick);
        (void)publish();
        (void)sse_emitter_flush(emitter);
        (void)sse_registry_count(registry, sse_str(NULL));
    }
    sse_emitter_close(emitter);
    return NULL;
}

static void do_nothing(struct sse_loop *of, void *user)
{
    (void)of, (void)user;
}

static ssize_t take_all(void *user, const struct iovec *iov, int count)
{
    ssize_t size = 0;

    (void)user;
    for (int i = 0; i < count; i++)
        size += (ssize_t)iov[i].iov_len;
    return size;
}

static void count_end(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)completion;
    atomic_fetch_add((atomic_int *)user, 1);
}

static void count_release(void *user)
{
    atomic_fetch_add((atomic_int *)user + 1, 1);
}

static void free_among_threads(bool polled, enum sse_output output)
{
    struct sse_loop_options loop_options = {.size = sizeof(loop_options),
                                            .on_wake = polled ? NULL : do_nothing};
    atomic_int ends[2] = {0, 0};
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .registry = registry,
                                          .output = output,
                                          .write = output == SSE_OUTPUT_CALLBACK ? take_all : NULL,
                                          .overflow = SSE_OVERFLOW_DROP_OLDEST,
                                          .queue_messages = 100,
                                          .on_completion = count_end,
                                          .on_release = count_release,
                                          .user = ends};
    struct descriptor_pair pairs[SENDERS];
    pthread_t threads[SENDERS];

    assert_int_equal(sse_loop_new(&options.loop, &loop_options), 0);
    atomic_store(&go_on, true);
    for (int i = 0; i < SENDERS; i++) {
        struct sse_emitter *emitter;

        pair_open(&pairs[i], PAIR_STREAM);
        options.fd = output == SSE_OUTPUT_FD ? pairs[i].server : 0;
        assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, send_and_publish, emitter), 0);
    }
    for (int i = 0; i < 3; i++)
        assert_true((polled ? sse_loop_dispatch(options.loop, 0) : sse_loop_turn(options.loop)) >= -1);
    sse_loop_free(options.loop);
    assert_int_equal(atomic_load(&ends[0]), SENDERS);
    for (int i = 0; i < SENDERS && output == SSE_OUTPUT_FD; i++)
        assert_false(descriptor_is_open(pairs[i].server));
    atomic_store(&go_on, false);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&ends[0]), SENDERS);
    assert_int_equal(atomic_load(&ends[1]), SENDERS);
    for (int i = 0; i < SENDERS; i++)
        pair_close(&pairs[i]);
}

/* Fault 39. */
static void free_while_others_publish_and_send(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++)
        free_among_threads(i % 2, (enum sse_output)(i / 2 % 3 + 1));
}

/* A thread inside on_wake is waited for. */
static atomic_bool inside, left;

static void stay_inside(struct fake_loop *of, void *user)
{
    (void)of, (void)user;
    atomic_store(&inside, true);
    for (int i = 0; i < 200; i++)
        sched_yield();
    atomic_store(&left, true);
}

static void *send_once(void *emitter)
{
    (void)sse_emitter_send(emitter, &tick);
    return NULL;
}

/* Row M4. */
static void free_waits_for_threads_that_wake_the_loop(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);
        pthread_t thread;

        fake_client_open(client);
        (void)fake_loop_settle(&loop);
        atomic_store(&inside, false);
        atomic_store(&left, false);
        loop.act = stay_inside;
        assert_int_equal(pthread_create(&thread, NULL, send_once, client->emitter), 0);
        while (!atomic_load(&inside))
            sched_yield();
        fake_loop_close(&loop);
        assert_true(atomic_load(&left));
        pthread_join(thread, NULL);
        fake_client_free(client);
        fake_loop_open(&loop, &fake);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(emitters_that_are_left_end),
        TEST(a_suspended_reader_is_notified),
        TEST(descriptors_are_closed_unless_they_are_kept),
        TEST(free_ignores_null),
        TEST(other_loops_continue),
        TEST(on_release_runs_where_the_last_reference_is_released),
        TEST(callbacks_may_use_other_emitters),
        TEST(free_while_others_publish_and_send),
        TEST(free_waits_for_threads_that_wake_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
