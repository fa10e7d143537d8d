/* SPDX-License-Identifier: MIT */
/* An emitter has joined its registry, but sse_emitter_new has not returned. The tests act at that moment, in the
 * server's on_wake for an evicted client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include "descriptor_pair.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

/* More than half of a queue. A publisher would write to an emitter that is already open. */
#define LIMIT 8
#define EVENTS 6

static struct descriptor_pair pair;

/* A client is in the registry, which has room for one. The next one evicts it. */
static int take_the_place(void (*act)(struct fake_loop *loop, void *user))
{
    struct fake_client *client;
    int error;

    use_registry((struct sse_registry_options){.emitters_max = 1, .admission = SSE_ADMISSION_EVICT_OLDEST});
    enter(0, "t");
    pair_open(&pair, PAIR_STREAM);
    client = prepare(1, SSE_OUTPUT_FD);
    client->options.fd = pair.server;
    client->options.queue_messages = LIMIT;
    loop.act = act;
    error = join(client, "t", absent);
    loop.act = NULL;
    return error;
}

static void publish_many(struct fake_loop *of, void *user)
{
    char data[12];

    (void)of, (void)user;
    for (int i = 0; i < EVENTS; i++) {
        (void)snprintf(data, sizeof(data), "%d", i);
        expect_delivery(publish_event('t', (struct sse_event){.data = sse_str(data)}), 1, 0, 0);
    }
    assert_true(pair_is_quiet(&pair));
}

/* The events follow the beginning of the stream, and are written with it. */
static void what_is_published_follows_the_beginning(void **state)
{
    (void)state;
    assert_int_equal(take_the_place(publish_many), 0);
    pair_expect(&pair, ":\ndata: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\ndata: 5\n\n");
    (void)fake_loop_settle(&loop);
    expect_open(&clients[1]);
    assert_int_equal(clients[0].completions, 1);
    fake_client_free(&clients[1]);
    pair_close(&pair);
}

static void complete_all(struct fake_loop *of, void *user)
{
    (void)of, (void)user;
    assert_int_equal(sse_registry_complete(registry, sse_str("t")), 0);
}

/* new succeeds, and the emitter ends like any other: its loop runs the callbacks. */
static void an_emitter_completed_while_opening_writes_its_beginning(void **state)
{
    (void)state;
    assert_int_equal(take_the_place(complete_all), 0);
    assert_int_equal(clients[1].completions, 0);
    pair_expect(&pair, ":\n");
    (void)fake_loop_settle(&loop);
    expect_end(&clients[1], SSE_REASON_COMPLETED, 0);
    assert_true(pair_has_ended(&pair));
    pair_close(&pair);
}

static void *run_loop(void *user)
{
    (void)user;
    (void)fake_loop_settle(&loop);
    return NULL;
}

static void complete_all_and_run_loop(struct fake_loop *of, void *user)
{
    pthread_t thread;

    of->act = NULL;
    complete_all(of, user);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(clients[1].completions, 0);
}

/* A loop in another thread does not run callbacks until new has returned the emitter. */
static void an_opening_emitter_is_not_served(void **state)
{
    (void)state;
    assert_int_equal(take_the_place(complete_all_and_run_loop), 0);
    assert_int_equal(clients[1].completions, 0);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[1], SSE_REASON_COMPLETED, 0);
    pair_close(&pair);
}

static int abort_emitter(struct sse_emitter *emitter, void *user)
{
    (void)user;
    return sse_emitter_abort(emitter, -ECANCELED);
}

static void abort_all(struct fake_loop *of, void *user)
{
    (void)of, (void)user;
    assert_int_equal(sse_registry_each(registry, absent, abort_emitter, NULL), 0);
}

static void an_emitter_aborted_while_opening_writes_nothing(void **state)
{
    (void)state;
    assert_int_equal(take_the_place(abort_all), 0);
    assert_int_equal(clients[1].completions, 0);
    assert_int_equal(count(NULL), 0);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[1], SSE_REASON_ABORTED, -ECANCELED);
    assert_true(pair_has_ended(&pair));
    pair_close(&pair);
}

static void dispatch_polled(struct fake_loop *of, void *user)
{
    of->act = NULL;
    assert_int_equal(sse_loop_dispatch(user, 0), 0);
}

/* The client has closed its sending side, and its loop learns that before new has returned. epoll(7) does not report
 * it again. With poll(2), some systems do not report it at all. */
static void a_hang_up_while_opening_is_not_forgotten(void **state)
{
    const struct sse_loop_options with_epoll = {.size = sizeof(with_epoll), .poller = SSE_POLLER_EPOLL};
    struct sse_emitter_options options = {.size = sizeof(options), .output = SSE_OUTPUT_PULL};
    struct sse_emitter *emitter;
    char bytes[8];

    (void)state;
    if (sse_loop_new(&options.loop, &with_epoll) == -ENOTSUP)
        return;
    use_registry((struct sse_registry_options){.emitters_max = 1, .admission = SSE_ADMISSION_EVICT_OLDEST});
    enter(0, "t");
    pair_open(&pair, PAIR_STREAM);
    assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
    options.registry = registry;
    options.watch_fd = pair.server;
    loop.act = dispatch_polled;
    loop.act_user = options.loop;
    assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
    assert_null(loop.act);
    assert_int_equal(sse_emitter_read(emitter, bytes, sizeof(bytes)), 2);
    assert_int_equal(sse_loop_dispatch(options.loop, 0), 0);
    assert_int_equal(sse_emitter_read(emitter, bytes, sizeof(bytes)), 2);
    assert_memory_equal(bytes, ":\n", 2);
    sse_emitter_close(emitter);
    sse_loop_free(options.loop);
    pair_close(&pair);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_published_follows_the_beginning),
        TEST(an_emitter_completed_while_opening_writes_its_beginning),
        TEST(an_opening_emitter_is_not_served),
        TEST(an_emitter_aborted_while_opening_writes_nothing),
        TEST(a_hang_up_while_opening_is_not_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
