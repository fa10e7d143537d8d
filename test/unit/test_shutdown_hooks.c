/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A shutdown from wherever a hook can call, with what hooks do to it, and without memory. */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CLIENTS 4
#define DRAIN_MS 1000

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];
static unsigned shutdowns;
static int64_t drain_ms;
static enum sse_trace traced;

static int shut_down(void)
{
    const struct sse_event farewell = {.data = sse_str("bye")};
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .farewell = &farewell,
                                                 .retry_min_ms = 7,
                                                 .retry_max_ms = 7,
                                                 .drain_ms = drain_ms};

    return sse_registry_shutdown(registry, &options);
}

/* From every hook again: only the first counts. */
static void shut_down_once(void)
{
    int expected = shutdowns++ ? -EALREADY : 0;

    assert_int_equal(shut_down(), expected);
}

static void on_trace(struct sse_registry *source, struct sse_emitter *emitter, enum sse_trace step,
                     void *user)
{
    (void)source, (void)emitter, (void)user;
    if (step == traced)
        shut_down_once();
}

static void open_registry(void)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .host = &host.host, .on_trace = on_trace};

    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
    shutdowns = 0;
    drain_ms = DRAIN_MS;
    traced = 0;
    open_registry();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

static struct fake_client *join(size_t which, enum sse_drain drain, size_t room)
{
    const struct sse_str topic = sse_str("t");
    struct fake_client *client = &clients[which];

    fake_client_init(client, &host, drain);
    client->sink.room = room;
    fake_client_open(client);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, &topic, 1, sse_str(NULL), NULL), 0);
    return client;
}

static void send_one(struct fake_client *client)
{
    (void)sse_emitter_send(client->emitter, &(struct sse_event){.data = sse_str("1")});
}

static struct sse_delivery publish(void)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    const struct sse_event event = {.data = sse_str("1")};

    assert_int_equal(sse_registry_publish(registry, sse_str("t"), &event, &delivery), 0);
    return delivery;
}

static void expect_report(size_t remaining, size_t completed, size_t cut)
{
    struct sse_shutdown_report report = {.size = sizeof(report)};

    assert_int_equal(sse_registry_shutdown_report(registry, &report), 0);
    assert_int_equal(report.remaining, remaining);
    assert_int_equal(report.completed, completed);
    assert_int_equal(report.cut, cut);
}

static void expect_told(struct fake_client *client)
{
    assert_string_equal(fake_client_text(client), "data: 1\n\ndata: bye\n\nretry: 7\n\n");
    assert_int_equal(client->completion.reason, SSE_REASON_SHUTDOWN);
    assert_int_equal(client->completion.error, 0);
    assert_int_equal(client->completions, 1);
}

static void act_shut_down(struct fake_client *client, void *user)
{
    (void)client, (void)user;
    shut_down_once();
}

static void write_shut_down(struct fake_sink *sink, void *user)
{
    (void)sink, (void)user;
    shut_down_once();
}

/* Its own emitter is busy: the farewell waits until the callback has returned. */
static void in_a_write_callback(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        join(i, SSE_DRAIN_CALLBACK, SIZE_MAX)->sink.on_write = write_shut_down;
    assert_int_equal(publish().written, 3);
    assert_true(shutdowns > 1);
    for (size_t i = 0; i < 3; i++)
        expect_told(&clients[i]);
    expect_report(0, 3, 0);
}

static void in_on_blocked(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        join(i, SSE_DRAIN_CALLBACK, 4)->act = act_shut_down;
    assert_int_equal(publish().queued, 3);
    assert_int_equal(shutdowns, 3);
    expect_report(3, 0, 0);
    for (size_t i = 0; i < 3; i++) {
        fake_client_make_room(&clients[i], SIZE_MAX);
        expect_told(&clients[i]);
    }
    expect_report(0, 3, 0);
}

static void in_on_ready(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        join(i, SSE_DRAIN_PULL, SIZE_MAX)->act = act_shut_down;
        assert_int_equal(fake_client_pull(&clients[i]), 0);
    }
    assert_int_equal(publish().queued, 3);
    expect_report(3, 0, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fake_client_pull(&clients[i]), -ESHUTDOWN);
        expect_told(&clients[i]);
    }
    expect_report(0, 3, 0);
}

/* Cut off at once, and the sink that is being written to says afterwards what it took. */
static void in_a_write_callback_without_time_to_drain(void **state)
{
    (void)state;
    drain_ms = 0;
    join(0, SSE_DRAIN_CALLBACK, SIZE_MAX)->sink.on_write = write_shut_down;
    clients[0].sink.take_max = 5;
    (void)publish();
    assert_string_equal(fake_client_text(&clients[0]), "data:");
    assert_int_equal(clients[0].completion.bytes, 5);
    assert_int_equal(clients[0].completion.dropped, 2);
    assert_int_equal(clients[0].completion.reason, SSE_REASON_SHUTDOWN);
    assert_int_equal(clients[0].completion.error, -ETIMEDOUT);
    expect_report(0, 0, 1);
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter, (void)completion, (void)user;
    shut_down_once();
}

static void in_on_completion(void **state)
{
    (void)state;
    fake_client_init(&clients[0], &host, SSE_DRAIN_CALLBACK);
    clients[0].options.on_completion = on_completion;
    fake_client_open(&clients[0]);
    assert_int_equal(sse_registry_add(registry, clients[0].emitter), 0);
    send_one(join(1, SSE_DRAIN_CALLBACK, SIZE_MAX));
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    expect_told(&clients[1]);
    /* The first had left its registry before its hook ran. */
    expect_report(0, 1, 0);
}

static void in_a_trace(void **state)
{
    (void)state;
    send_one(join(0, SSE_DRAIN_CALLBACK, SIZE_MAX));
    send_one(join(1, SSE_DRAIN_CALLBACK, SIZE_MAX));
    traced = SSE_TRACE_ENDED;
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_true(shutdowns > 1);
    expect_told(&clients[1]);
    expect_report(0, 1, 0);
    sse_registry_unref(registry);

    shutdowns = 0;
    traced = SSE_TRACE_SUBSCRIBED;
    open_registry();
    fake_client_free(&clients[0]);
    join(0, SSE_DRAIN_CALLBACK, SIZE_MAX);
    assert_string_equal(fake_client_text(&clients[0]), "data: bye\n\nretry: 7\n\n");
    expect_report(0, 1, 0);
}

static int visit(struct sse_emitter *emitter, void *user)
{
    (void)emitter, (void)user;
    shut_down_once();
    return 0;
}

static void in_a_visitor(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        send_one(join(i, SSE_DRAIN_CALLBACK, SIZE_MAX));
    assert_int_equal(sse_registry_each(registry, sse_str(NULL), visit, NULL), 0);
    assert_int_equal(shutdowns, 3);
    for (size_t i = 0; i < 3; i++)
        expect_told(&clients[i]);
}

static void on_wake(struct sse_registry *source, void *user)
{
    (void)source, (void)user;
    shut_down_once();
}

static void in_a_wake(void **state)
{
    (void)state;
    assert_int_equal(sse_registry_set_wake(registry, on_wake, NULL), 0);
    join(0, SSE_DRAIN_PULL, SIZE_MAX);
    assert_int_equal(fake_client_pull(&clients[0]), 0);
    send_one(&clients[0]);
    assert_true(shutdowns > 0);
    assert_int_equal(fake_client_pull(&clients[0]), -ESHUTDOWN);
    expect_told(&clients[0]);
}

static void remove_the_others(struct sse_emitter *emitter, const struct sse_completion *completion,
                              void *user)
{
    (void)emitter, (void)completion, (void)user;
    assert_int_equal(sse_registry_remove(registry, clients[1].emitter), 0);
    assert_int_equal(sse_registry_remove(registry, clients[2].emitter), 0);
    assert_int_equal(sse_registry_add(user, clients[2].emitter), 0);
}

static size_t remaining_at_last_wake;

static void look_at_report(struct sse_registry *source, void *user)
{
    struct sse_shutdown_report report = {.size = sizeof(report)};

    (void)user;
    if (!sse_registry_shutdown_report(source, &report))
        remaining_at_last_wake = report.remaining;
}

/* As a thread of its own would, for a loop that sleeps until it is woken. */
static void whoever_takes_the_last_byte_wakes_the_loop(void **state)
{
    (void)state;
    assert_int_equal(sse_registry_set_wake(registry, look_at_report, NULL), 0);
    for (size_t i = 0; i < CLIENTS; i++)
        join(i, SSE_DRAIN_PULL, SIZE_MAX);
    remaining_at_last_wake = SIZE_MAX;
    assert_int_equal(shut_down(), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_not_equal(remaining_at_last_wake, 0);
        assert_int_equal(fake_client_pull(&clients[i]), -ESHUTDOWN);
    }
    assert_int_equal(remaining_at_last_wake, 0);
}

/* The host took them out in time: they are not the registry's to end. */
static void those_that_are_removed_meanwhile_live_on(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};
    struct sse_registry *other;

    (void)state;
    assert_int_equal(sse_registry_new(&other, &options), 0);
    fake_client_init(&clients[0], &host, SSE_DRAIN_CALLBACK);
    clients[0].options.on_completion = remove_the_others;
    clients[0].options.user = other;
    clients[0].options.drain = SSE_DRAIN_PULL;
    clients[0].options.on_release = NULL;
    fake_client_open(&clients[0]);
    assert_int_equal(sse_registry_add(registry, clients[0].emitter), 0);
    for (size_t i = 1; i < 4; i++)
        send_one(join(i, SSE_DRAIN_CALLBACK, SIZE_MAX));
    drain_ms = 0;
    assert_int_equal(shut_down(), 0);
    expect_told(&clients[3]);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(fake_client_info(&clients[i]).state, SSE_STATE_OPEN);
        assert_string_equal(fake_client_text(&clients[i]), "data: 1\n\n");
        assert_int_equal(clients[i].completions, 0);
    }
    assert_true(sse_registry_has(other, clients[2].emitter));
    expect_report(0, 1, 1);
    sse_registry_unref(other);
}

/* Before it has begun nothing changes; after that a client goes without what there is no memory for. */
static bool shut_down_without(size_t nth, bool for_good)
{
    static const char *const texts[] = {"", "data: bye\n\n", "retry: 7\n\n", "data: bye\n\nretry: 7\n\n"};
    bool known = false;
    int error;

    for (size_t i = 0; i < 2; i++)
        join(i, SSE_DRAIN_CALLBACK, SIZE_MAX);
    fake_host_fail_at(&host, nth, for_good);
    error = shut_down();
    fake_host_fail_at(&host, 0, false);
    if (error) {
        struct sse_shutdown_report report = {.size = sizeof(report)};

        assert_int_equal(error, -ENOMEM);
        assert_int_equal(sse_registry_shutdown_report(registry, &report), -EAGAIN);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(fake_client_info(&clients[i]).state, SSE_STATE_OPEN);
            assert_string_equal(fake_client_text(&clients[i]), "");
        }
        assert_int_equal(shut_down(), 0);
    }
    expect_report(0, 2, 0);
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < COUNT(texts); j++)
            known |= !strcmp(fake_client_text(&clients[i]), texts[j]);
        assert_true(known);
        fake_client_free(&clients[i]);
    }
    return error;
}

static void without_memory(void **state)
{
    (void)state;
    for (int for_good = 0; for_good < 2; for_good++) {
        size_t failures = 0;

        for (size_t nth = 1; nth < 12; nth++) {
            sse_registry_unref(registry);
            open_registry();
            failures += shut_down_without(nth, for_good);
        }
        assert_in_range(failures, 1, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_a_write_callback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_on_blocked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_on_ready, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_a_write_callback_without_time_to_drain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_on_completion, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_a_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_a_visitor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(in_a_wake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whoever_takes_the_last_byte_wakes_the_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_that_are_removed_meanwhile_live_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
