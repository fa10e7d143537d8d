/* SPDX-License-Identifier: MIT */
/* A loop that holds its registry between two rounds: what is published meanwhile leaves in one write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_stage.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#define EVENTS 16
#define FAST_EVENTS 3000

static const enum sse_poller pollers[] = {SSE_POLLER_POLL, SSE_POLLER_EPOLL};

static int set_up(void **state)
{
    struct loop_stage *stage;
    int status = loop_stage_set_up_without_loop(state);
    struct sse_loop_options options = {.size = sizeof(options), .cork = true};

    stage = *state;
    options.host = &stage->fake.host;
    options.poller = stage->poller;
    return status ? status : sse_loop_new(&stage->loop, stage->registry, &options);
}

static int publish(struct sse_registry *registry, struct sse_delivery *delivery)
{
    const struct sse_event event = {.data = {.ptr = "x", .len = 1}};

    return sse_registry_broadcast(registry, &event, delivery);
}

static void publish_some(struct sse_registry *registry, unsigned count)
{
    while (count--)
        assert_int_equal(publish(registry, NULL), 0);
}

static struct sse_emitter_info info_of(const struct loop_client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    assert_int_equal(sse_emitter_info(client->emitter, &info), 0);
    return info;
}

static void events_between_two_rounds_leave_in_the_next(void **state)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(client.stage);
    assert_int_equal(publish(client.stage->registry, &delivery), 0);
    assert_int_equal(delivery.queued, 1);
    assert_int_equal(delivery.written, 0);
    publish_some(client.stage->registry, EVENTS - 1);
    assert_int_equal(info_of(&client).queued_messages, EVENTS);
    assert_true(loop_client_is_quiet(&client));
    loop_stage_dispatch(client.stage);
    assert_int_equal(info_of(&client).queued_messages, 0);
    loop_client_drain(&client, EVENTS * 9);
    publish_some(client.stage->registry, 1);
    loop_client_expect(&client, "data: x\n\n");
    loop_client_depart(&client);
}

static void the_first_event_wakes_the_loop(void **state)
{
    struct pollfd descriptor = {.events = POLLIN};
    struct loop_client client;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(client.stage);
    descriptor.fd = sse_loop_fd(client.stage->loop);
    if (descriptor.fd >= 0)
        assert_int_equal(poll(&descriptor, 1, 0), 0);
    publish_some(client.stage->registry, 1);
    if (descriptor.fd >= 0)
        assert_int_equal(poll(&descriptor, 1, 0), 1);
    /* It would wait for ever. */
    assert_int_equal(sse_loop_dispatch(client.stage->loop, -1), 0);
    loop_client_expect(&client, "data: x\n\n");
    loop_client_depart(&client);
}

/* The host's own hold ends while the loop sleeps. */
static void a_release_of_the_host_wakes_the_loop(void **state)
{
    struct loop_client client;
    struct sse_registry *registry;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    registry = client.stage->registry;
    loop_stage_dispatch(client.stage);
    assert_int_equal(sse_registry_hold(registry), 0);
    publish_some(registry, 1);
    loop_stage_dispatch(client.stage);
    assert_true(loop_client_is_quiet(&client));
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(sse_loop_dispatch(client.stage->loop, -1), 0);
    loop_client_expect(&client, "data: x\n\n");
    loop_client_depart(&client);
}

/* It could not write, and only the host's release changes that. */
static void the_loop_sleeps_while_the_host_holds(void **state)
{
    struct pollfd descriptor = {.events = POLLIN};
    struct loop_client client;
    struct sse_registry *registry;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, NULL);
    registry = client.stage->registry;
    loop_stage_dispatch(client.stage);
    descriptor.fd = sse_loop_fd(client.stage->loop);
    assert_int_equal(sse_registry_hold(registry), 0);
    publish_some(registry, 1);
    assert_int_equal(sse_loop_dispatch(client.stage->loop, 0), 0);
    if (descriptor.fd >= 0)
        assert_int_equal(poll(&descriptor, 1, 0), 0);
    assert_true(loop_client_is_quiet(&client));
    assert_int_equal(sse_registry_release(registry), 0);
    if (descriptor.fd >= 0)
        assert_int_equal(poll(&descriptor, 1, 0), 1);
    assert_int_equal(sse_loop_dispatch(client.stage->loop, -1), 0);
    loop_client_expect(&client, "data: x\n\n");
    loop_client_depart(&client);
}

static void tell_the_other(struct loop_client *client)
{
    publish_some(client->stage->registry, 1);
}

static void what_a_hook_publishes_leaves_in_the_next_round(void **state)
{
    struct loop_client leaves, stays;

    loop_client_open(&leaves, *state, LOOP_CLIENT_TCP, NULL);
    loop_client_open(&stays, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(stays.stage);
    leaves.when_ended = tell_the_other;
    assert_int_equal(sse_emitter_complete(leaves.emitter), 0);
    assert_true(loop_client_is_quiet(&stays));
    assert_int_equal(sse_loop_dispatch(stays.stage->loop, -1), 0);
    loop_client_expect(&stays, "data: x\n\n");
    loop_client_close(&leaves);
    loop_client_depart(&stays);
}

static void a_client_that_has_left_ends_in_the_round(void **state)
{
    struct loop_client leaves, stays;

    loop_client_open(&leaves, *state, LOOP_CLIENT_TCP, NULL);
    loop_client_open(&stays, *state, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(stays.stage);
    publish_some(stays.stage->registry, 2);
    loop_client_reset(&leaves);
    loop_client_dispatch_to_end(&leaves);
    loop_client_drain(&stays, 2 * 9);
    loop_client_close(&leaves);
    loop_client_depart(&stays);
}

static void the_end_of_the_loop_writes_what_is_held(void **state)
{
    struct loop_stage *stage = *state;
    struct loop_client client;

    loop_client_open(&client, stage, LOOP_CLIENT_TCP, NULL);
    loop_stage_dispatch(stage);
    publish_some(stage->registry, EVENTS);
    sse_loop_free(stage->loop);
    stage->loop = NULL;
    assert_int_equal(loop_client_read_to_end(&client), EVENTS * 9);
    /* Nobody holds it any more. */
    assert_int_equal(sse_registry_release(stage->registry), -EALREADY);
    loop_client_close(&client);
}

/* Not even while the loop writes is there a moment in which a publisher does. */
static void *publish_fast(void *registry)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    for (unsigned i = 0; i < FAST_EVENTS; i++)
        if (publish(registry, &delivery) || delivery.written)
            return registry;
    return NULL;
}

static void threads_publish_while_it_runs(void **state)
{
    /* All may come while the loop's thread does not run: nobody else writes. */
    const struct sse_emitter_options options = {.queue_messages = 2 * FAST_EVENTS};
    struct loop_client client;
    struct loop_runner runner;
    pthread_t threads[2];
    void *failed;

    loop_client_open(&client, *state, LOOP_CLIENT_TCP, &options);
    loop_runner_start(&runner, *state);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_fast, client.stage->registry), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    loop_runner_stop(&runner);
    loop_client_drain(&client, 2 * FAST_EVENTS * 9);
    loop_client_depart(&client);
}

#define TEST(function, poller)                                                                               \
    cmocka_unit_test_prestate_setup_teardown(function, set_up, loop_stage_tear_down,                         \
                                             (void *)(uintptr_t)(poller))

static int run(const enum sse_poller *poller, const char *name)
{
    const struct CMUnitTest tests[] = {
        TEST(events_between_two_rounds_leave_in_the_next, poller),
        TEST(the_first_event_wakes_the_loop, poller),
        TEST(a_release_of_the_host_wakes_the_loop, poller),
        TEST(the_loop_sleeps_while_the_host_holds, poller),
        TEST(what_a_hook_publishes_leaves_in_the_next_round, poller),
        TEST(a_client_that_has_left_ends_in_the_round, poller),
        TEST(the_end_of_the_loop_writes_what_is_held, poller),
        TEST(threads_publish_while_it_runs, poller),
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
