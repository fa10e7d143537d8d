/* SPDX-License-Identifier: MIT */
/* How long an emitter remains, and who waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];

static int shut_down(void)
{
    const struct sse_shutdown_options options = {.size = sizeof(options), .drain_ms = 1000};

    return sse_registry_shutdown(registry, &options);
}

/* Row M7. */
static void an_empty_registry_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(sse_registry_wait(registry, 0), 0);
    assert_int_equal(sse_registry_wait(registry, -1), 0);
    assert_int_equal(sse_registry_wait(registry, -2), -EINVAL);
    assert_int_equal(sse_registry_wait(NULL, 0), -EINVAL);
    assert_int_equal(shut_down(), 0);
    assert_int_equal(sse_registry_wait(registry, -1), 0);
    assert_int_equal(stats().remaining, 0);
}

/* An emitter of the server remains until the server closes it, however long ago the stream ended. */
static void an_emitter_of_the_server_remains_until_it_is_closed(void **state)
{
    static const enum sse_output outputs[] = {SSE_OUTPUT_CALLBACK, SSE_OUTPUT_PULL, SSE_OUTPUT_FD};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    for (size_t i = 0; i < COUNT_OF(outputs); i++) {
        struct fake_client *client = prepare(0, outputs[i]);

        client->options.fd = i == 2 ? ends[0] : 0;
        client->options.keep_fd = i == 2;
        assert_int_equal(join(client, "t", absent), 0);
        (void)fake_loop_settle(&loop);
        assert_int_equal(sse_registry_wait(registry, 0), -ETIMEDOUT);
        assert_int_equal(sse_emitter_abort(client->emitter, -EIO), 0);
        (void)fake_loop_settle(&loop);
        expect_end(client, SSE_REASON_ABORTED, -EIO);
        assert_int_equal(count(NULL), 0);
        assert_int_equal(stats().remaining, 1);
        assert_int_equal(sse_registry_wait(registry, 0), -ETIMEDOUT);
        assert_int_equal(sse_registry_wait(registry, 10), -ETIMEDOUT);
        sse_emitter_close(client->emitter);
        client->emitter = NULL;
        assert_int_equal(sse_registry_wait(registry, 0), 0);
        (void)fake_loop_settle(&loop);
        assert_int_equal(client->releases, 1);
        fake_client_free(client);
    }
    close(ends[0]);
    close(ends[1]);
}

/* A close that ends the emitter: when the call returns, the library does not use the output any more. */
static void a_close_is_enough(void **state)
{
    (void)state;
    enter(0, "t");
    sse_emitter_ref(clients[0].emitter);
    sse_emitter_close(clients[0].emitter);
    assert_int_equal(clients[0].completions, 0);
    assert_int_equal(sse_registry_wait(registry, 0), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(clients[0].completions, 1);
    sse_emitter_unref(clients[0].emitter);
    clients[0].emitter = NULL;
    (void)fake_loop_settle(&loop);
    assert_int_equal(clients[0].releases, 1);
    fake_client_free(&clients[0]);
}

/* An evicted emitter still has bytes to write. */
static void an_evicted_emitter_remains(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.emitters_max = 1, .admission = SSE_ADMISSION_EVICT_OLDEST});
    enter(0, "t")->output.room = 0;
    assert_int_equal(send_data(&clients[0], "rest"), 0);
    enter(1, "t");
    assert_int_equal(stats().emitters, 1);
    assert_int_equal(stats().remaining, 2);
    fake_client_free(&clients[1]);
    assert_int_equal(sse_registry_wait(registry, 0), -ETIMEDOUT);
    fake_client_free(&clients[0]);
    assert_int_equal(sse_registry_wait(registry, 0), 0);
}

/* What the platform has allocated, and what is counted as written, while the next client is served. */
static size_t blocks_meanwhile;
static uint64_t events_meanwhile;

static void look_meanwhile(struct fake_output *output, void *user)
{
    (void)output;
    (void)user;
    blocks_meanwhile = atomic_load(&platform.blocks);
    events_meanwhile = stats().events_written;
}

/* Whoever waited may free the platform, so the turn must not keep a message of an emitter that has ended. */
static void what_an_emitter_wrote_is_settled_before_its_end(void **state)
{
    size_t blocks;

    (void)state;
    use_registry((struct sse_registry_options){.emitters_max = 2});
    enter(0, "t");
    enter(1, "u");
    clients[1].output.on_write = look_meanwhile;
    blocks = atomic_load(&platform.blocks);
    (void)publish_event('t', (struct sse_event){.data = sse_str("first")});
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    (void)publish_event('u', (struct sse_event){.data = sse_str("second")});
    (void)fake_loop_turn(&loop);
    expect_end(&clients[0], SSE_REASON_COMPLETED, 0);
    /* The first topic and the first message are gone, the second message is there. */
    assert_int_equal(blocks_meanwhile, blocks);
    assert_int_equal(events_meanwhile, 1);
}

/* The action of another thread during a wait without a limit. */
struct waiter {
    pthread_t thread;
    atomic_bool returned;
    int result;
};

static void *wait_for_all(void *user)
{
    struct waiter *waiter = user;

    waiter->result = sse_registry_wait(registry, -1);
    atomic_store(&waiter->returned, true);
    return NULL;
}

static void start_waiting(struct waiter *waiter)
{
    *waiter = (struct waiter){.result = 1};
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_for_all, waiter), 0);
    for (size_t i = 0; i < 100; i++)
        sched_yield();
    assert_false(atomic_load(&waiter->returned));
}

static void expect_woken(struct waiter *waiter)
{
    assert_int_equal(pthread_join(waiter->thread, NULL), 0);
    assert_int_equal(waiter->result, 0);
}

/* It waits without a limit, so the test passes if it returns. */
static void the_last_close_ends_the_wait(void **state)
{
    struct waiter waiter;

    (void)state;
    for (size_t shutting_down = 0; shutting_down < 2; shutting_down++) {
        enter(0, "t");
        enter(1, "t");
        if (shutting_down)
            assert_int_equal(shut_down(), 0);
        start_waiting(&waiter);
        (void)fake_loop_settle(&loop);
        fake_client_free(&clients[0]);
        for (size_t i = 0; i < 100; i++)
            sched_yield();
        assert_false(atomic_load(&waiter.returned));
        fake_client_free(&clients[1]);
        expect_woken(&waiter);
    }
}

static void *wait_and_be_cancelled(void *user)
{
    (void)wait_for_all(user);
    pthread_testcancel();
    return NULL;
}

/* The wait is not a cancellation point. It returns first, and no lock is held when the thread ends. */
static void a_wait_is_not_cancelled(void **state)
{
    struct waiter waiter = {.result = 1};
    void *result;

    (void)state;
    enter(0, "t");
    assert_int_equal(pthread_create(&waiter.thread, NULL, wait_and_be_cancelled, &waiter), 0);
    assert_int_equal(pthread_cancel(waiter.thread), 0);
    for (size_t i = 0; i < 100; i++)
        sched_yield();
    assert_false(atomic_load(&waiter.returned));
    fake_client_free(&clients[0]);
    assert_int_equal(pthread_join(waiter.thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_true(atomic_load(&waiter.returned));
    assert_int_equal(waiter.result, 0);
    assert_int_equal(count(NULL), 0);
}

static struct sse_emitter_options socket_options(struct sse_loop *in)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    return (struct sse_emitter_options){.size = sizeof(struct sse_emitter_options),
                                        .platform = &platform.platform,
                                        .registry = registry,
                                        .loop = in,
                                        .output = SSE_OUTPUT_FD,
                                        .fd = ends[0],
                                        .heartbeat_ms = SSE_TIMER_OFF,
                                        .stall_ms = SSE_TIMER_OFF};
}

static void expect_closed_descriptor(void)
{
    assert_int_equal(fcntl(ends[0], F_GETFD), -1);
    close(ends[1]);
}

/* The loop has released the emitter when it has closed the descriptor, whether or not the server keeps a
 * reference. */
static void an_emitter_of_the_loop_remains_until_it_is_closed(void **state)
{
    struct waiter waiter;

    (void)state;
    for (size_t kept = 0; kept < 2; kept++) {
        struct sse_emitter_options options = socket_options(loop.loop);
        struct sse_emitter *emitter = NULL;

        assert_int_equal(sse_emitter_new(kept ? &emitter : NULL, &options, NULL), 0);
        start_waiting(&waiter);
        assert_int_equal(sse_registry_complete(registry, absent), 0);
        assert_int_equal(sse_registry_wait(registry, 0), -ETIMEDOUT);
        (void)fake_loop_settle(&loop);
        expect_woken(&waiter);
        expect_closed_descriptor();
        sse_emitter_close(emitter);
        (void)fake_loop_settle(&loop);
    }
}

static void a_loop_that_is_freed_is_done(void **state)
{
    struct waiter waiter;
    struct sse_emitter *emitter;
    struct fake_loop other;
    struct sse_emitter_options options;

    (void)state;
    fake_loop_open(&other, &platform);
    options = socket_options(other.loop);
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
    start_waiting(&waiter);
    fake_loop_close(&other);
    expect_woken(&waiter);
    expect_closed_descriptor();
    assert_int_equal(count(NULL), 0);
    assert_int_equal(stats().ended_by[SSE_REASON_CLOSED], 1);
    sse_emitter_close(emitter);
}

static void *run_polled(void *polled)
{
    return (void *)(intptr_t)sse_loop_run(polled);
}

/* A server of two polled loops shuts down, and needs no counters for that. */
static void a_server_with_two_loops_needs_no_counting(void **state)
{
    struct sse_loop *loops[2];
    pthread_t threads[2];
    int peers[2];
    void *result;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct sse_emitter_options options;

        assert_int_equal(sse_loop_new(&loops[i], NULL), 0);
        options = socket_options(loops[i]);
        peers[i] = ends[1];
        assert_int_equal(sse_emitter_new(NULL, &options, NULL), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, run_polled, loops[i]), 0);
    }
    assert_int_equal(sse_registry_wait(registry, 0), -ETIMEDOUT);
    assert_int_equal(shut_down(), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(sse_loop_finish(loops[i]), 0);
    for (size_t i = 0; i < 2; i++) {
        char text[2];

        assert_int_equal(recv(peers[i], text, 2, MSG_WAITALL), 2);
        assert_int_equal(recv(peers[i], text, 1, 0), 0);
        close(peers[i]);
    }
    assert_int_equal(sse_registry_wait(registry, -1), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_int_equal((intptr_t)result, 0);
        sse_loop_free(loops[i]);
    }
    assert_int_equal(stats().shutdown_completed, 2);
    assert_int_equal(stats().shutdown_cut, 0);
}

/* Each emitter has its own thread. All are woken, end, and close. */
static void *serve_alone(void *user)
{
    struct fake_client *client = user;
    int result;

    client->owner = pthread_self();
    while ((result = sse_emitter_wait(client->emitter, -1)) > 0)
        (void)fake_client_pull(client);
    sse_emitter_close(client->emitter);
    client->emitter = NULL;
    return (void *)(intptr_t)result;
}

static void threads_that_wait_are_woken(void **state)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    void *result;

    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        prepare(i, SSE_OUTPUT_PULL)->loop = NULL;
        assert_int_equal(join(&clients[i], "t", absent), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, serve_alone, &clients[i]), 0);
    expect_delivery(publish_event('t', (struct sse_event){.data = sse_str("x")}), THREADS, 0, 0);
    assert_int_equal(shut_down(), 0);
    assert_int_equal(sse_registry_wait(registry, -1), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_int_equal((intptr_t)result, SSE_ENDED);
        assert_string_equal(fake_client_events(&clients[i]), EVENT("x", "1"));
        assert_int_equal(clients[i].completion.reason, SSE_REASON_SHUTDOWN);
        assert_int_equal(clients[i].completion.error, 0);
        fake_client_free(&clients[i]);
    }
    assert_int_equal(stats().shutdown_completed, THREADS);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(an_empty_registry_is_not_waited_for),
        STAGE_TEST(an_emitter_of_the_server_remains_until_it_is_closed),
        STAGE_TEST(a_close_is_enough),
        STAGE_TEST(an_evicted_emitter_remains),
        STAGE_TEST(what_an_emitter_wrote_is_settled_before_its_end),
        STAGE_TEST(the_last_close_ends_the_wait),
        STAGE_TEST(a_wait_is_not_cancelled),
        STAGE_TEST(an_emitter_of_the_loop_remains_until_it_is_closed),
        STAGE_TEST(a_loop_that_is_freed_is_done),
        STAGE_TEST(a_server_with_two_loops_needs_no_counting),
        STAGE_TEST(threads_that_wait_are_woken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
