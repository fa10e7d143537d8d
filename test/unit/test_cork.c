/* SPDX-License-Identifier: MIT */
/* Writing that is held back: nothing leaves before the release, and nothing is lost to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 4

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];
static unsigned wakes;

static void on_wake(struct sse_registry *woken, void *user)
{
    (void)woken, (void)user;
    wakes++;
}

static int set_up(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .host = &host.host, .on_wake = on_wake};

    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
    wakes = 0;
    options.host = &host.host;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    fake_host_check_no_leak(&host);
    return 0;
}

static struct fake_client *prepare(size_t which, enum sse_drain drain)
{
    fake_client_init(&clients[which], &host, drain);
    return &clients[which];
}

static struct fake_client *join(struct fake_client *client, const char *topic)
{
    const struct sse_str name = sse_str(topic);

    fake_client_open(client);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, &name, 1, sse_str(NULL), NULL), 0);
    client->sink.calls = 0;
    return client;
}

static struct sse_delivery publish(const char *topic, const char *data)
{
    const struct sse_event event = {.data = sse_str(data)};
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    assert_int_equal(sse_registry_publish(registry, sse_str(topic), &event, &delivery), 0);
    return delivery;
}

static void publish_numbers(const char *topic, unsigned count)
{
    char data[16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(data, sizeof(data), "%u", i);
        (void)publish(topic, data);
    }
}

static void expect_numbers(struct fake_client *client, unsigned count)
{
    char *text = calloc(count + 1, 24);
    size_t length = 0;

    assert_non_null(text);
    for (unsigned i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, 24, "data: %u\n\n", i);
    assert_string_equal(fake_client_text(client), text);
    free(text);
}

static void hold(void)
{
    assert_int_equal(sse_registry_hold(registry), 0);
}

static void release(void)
{
    assert_int_equal(sse_registry_release(registry), 0);
}

static void a_burst_is_one_write_for_each_client(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        join(prepare(i, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 16);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(clients[i].sink.calls, 0);
    release();
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(clients[i].sink.calls, 1);
        expect_numbers(&clients[i], 16);
    }
    (void)publish("t", "16");
    expect_numbers(&clients[0], 17);
}

static void receivers_of_several_topics_and_of_all_are_written_to_once(void **state)
{
    const struct sse_str second = sse_str("u");
    const struct sse_event event = {.data = sse_str("c")};

    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    join(prepare(1, SSE_DRAIN_CALLBACK), "u");
    assert_int_equal(sse_registry_subscribe(registry, clients[0].emitter, &second, 1, sse_str(NULL), NULL),
                     0);
    hold();
    (void)publish("t", "a");
    (void)publish("u", "b");
    assert_int_equal(sse_registry_broadcast(registry, &event, NULL), 0);
    release();
    assert_int_equal(clients[0].sink.calls, 1);
    assert_int_equal(clients[1].sink.calls, 1);
    assert_string_equal(fake_client_text(&clients[0]), "data: a\n\ndata: b\n\ndata: c\n\n");
    assert_string_equal(fake_client_text(&clients[1]), "data: b\n\ndata: c\n\n");
}

static void the_last_of_several_releases_writes(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    hold();
    publish_numbers("t", 2);
    release();
    assert_int_equal(clients[0].sink.calls, 0);
    publish_numbers("t", 0);
    release();
    assert_int_equal(clients[0].sink.calls, 1);
    expect_numbers(&clients[0], 2);
}

static void a_flush_of_the_registry_writes_and_goes_on_holding(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    assert_int_equal(sse_registry_flush(registry), -EALREADY);
    assert_int_equal(sse_registry_flush(NULL), -EINVAL);
    hold();
    publish_numbers("t", 2);
    assert_int_equal(sse_registry_flush(registry), 0);
    expect_numbers(&clients[0], 2);
    (void)publish("t", "2");
    assert_int_equal(clients[0].sink.calls, 1);
    release();
    expect_numbers(&clients[0], 3);
}

static void a_flush_leaves_what_another_holds(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    hold();
    publish_numbers("t", 2);
    assert_int_equal(sse_registry_flush(registry), 0);
    assert_int_equal(clients[0].sink.calls, 0);
    wakes = 0;
    release();
    assert_int_equal(wakes, 1);
    assert_int_equal(sse_registry_flush(registry), 0);
    expect_numbers(&clients[0], 2);
    release();
}

static void publish_more(struct fake_sink *sink, void *user)
{
    (void)user;
    sink->on_write = NULL;
    (void)publish("t", "2");
}

/* As by another thread meanwhile: it is held for the next time. */
static void what_is_published_in_a_flush_is_held(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    clients[0].sink.on_write = publish_more;
    wakes = 0;
    assert_int_equal(sse_registry_flush(registry), 0);
    assert_int_equal(wakes, 1);
    release();
    expect_numbers(&clients[0], 3);
}

static void bad_calls_are_refused(void **state)
{
    (void)state;
    assert_int_equal(sse_registry_hold(NULL), -EINVAL);
    assert_int_equal(sse_registry_release(NULL), -EINVAL);
    assert_int_equal(sse_registry_release(registry), -EALREADY);
    hold();
    release();
    assert_int_equal(sse_registry_release(registry), -EALREADY);
}

static void what_is_held_is_counted_as_queued(void **state)
{
    struct sse_registry_stats stats = {.size = sizeof(stats)};
    struct sse_delivery delivery;

    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    join(prepare(1, SSE_DRAIN_PULL), "t");
    hold();
    delivery = publish("t", "a");
    assert_int_equal(delivery.queued, 2);
    assert_int_equal(delivery.written + delivery.dropped + delivery.closed, 0);
    delivery = publish("nobody", "a");
    assert_int_equal(delivery.queued, 0);
    release();
    assert_int_equal(sse_registry_stats(registry, &stats), 0);
    assert_int_equal(stats.published, 2);
    assert_int_equal(stats.written, 1);
    assert_int_equal(stats.backlog_bytes, strlen("data: a\n\n"));
}

/* However small the queue: without the hold each of them would have left at once. */
static void a_hold_makes_no_queue_overflow(void **state)
{
    (void)state;
    for (size_t messages = 1; messages < 5; messages++) {
        struct fake_client *client = prepare(0, SSE_DRAIN_CALLBACK);

        client->options.queue_messages = messages;
        client->options.queue_bytes = 64;
        join(client, "t");
        join(prepare(1, SSE_DRAIN_CALLBACK), "t");
        hold();
        publish_numbers("t", 100);
        release();
        expect_numbers(&clients[0], 100);
        expect_numbers(&clients[1], 100);
        assert_int_equal(clients[0].completions + clients[1].completions, 0);
        fake_clients_free(clients, 2);
    }
}

static void events_that_nearly_fill_a_queue_pass_one_by_one(void **state)
{
    char data[91];
    struct fake_client *client = prepare(0, SSE_DRAIN_CALLBACK);

    (void)state;
    memset(data, 'x', sizeof(data) - 1);
    data[sizeof(data) - 1] = '\0';
    client->options.queue_bytes = 100;
    join(client, "t");
    hold();
    (void)publish("t", "small");
    (void)publish("t", data);
    (void)publish("t", data);
    (void)publish("t", "small");
    release();
    assert_int_equal(client->completions, 0);
    assert_int_equal(strlen(fake_client_text(client)), 2 * strlen("data: small\n\n") + 2 * 98);
}

static void a_long_hold_writes_what_a_socket_takes(void **state)
{
    static char data[20001];

    (void)state;
    memset(data, 'x', sizeof(data) - 1);
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    for (int i = 0; i < 7; i++)
        (void)publish("t", data);
    /* The fourth is beyond 64 KiB. */
    assert_int_equal(clients[0].sink.calls, 1);
    release();
    assert_int_equal(clients[0].sink.calls, 2);
    assert_int_equal(strlen(fake_client_text(&clients[0])), 7 * 20008);
}

static void a_send_writes_what_is_before_it(void **state)
{
    const struct sse_event event = {.data = sse_str("2")};

    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    assert_int_equal(sse_emitter_send(clients[0].emitter, &event), 0);
    expect_numbers(&clients[0], 3);
    (void)publish("t", "3");
    release();
    expect_numbers(&clients[0], 4);
    assert_int_equal(clients[0].sink.calls, 2);
}

static void a_flush_writes_what_is_held(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    assert_int_equal(sse_emitter_flush(clients[0].emitter), 0);
    expect_numbers(&clients[0], 2);
    release();
    assert_int_equal(clients[0].sink.calls, 1);
}

static void one_that_is_removed_is_written_to_at_once(void **state)
{
    struct fake_client *client = &clients[0];

    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    join(prepare(1, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    assert_int_equal(sse_registry_remove(registry, client->emitter), 0);
    expect_numbers(client, 2);
    sse_emitter_unref(client->emitter);
    /* The hold keeps no reference: the host may close and free what its hooks use. */
    assert_int_equal(client->completions, 1);
    assert_int_equal(client->releases, 1);
    client->emitter = NULL;
    fake_sink_free(&client->sink);
    free(client->text);
    assert_int_equal(clients[1].sink.calls, 0);
    release();
    expect_numbers(&clients[1], 2);
}

static void one_that_was_detached_is_not_touched(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    join(prepare(1, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    assert_int_equal(sse_emitter_detach(clients[0].emitter), 0);
    assert_int_equal(clients[0].completions, 1);
    release();
    assert_int_equal(clients[0].sink.calls, 0);
    assert_int_equal(clients[0].completions, 1);
    assert_int_equal(clients[0].completion.dropped, 2);
    expect_numbers(&clients[1], 2);
}

static void one_that_completes_gets_what_is_held_first(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    expect_numbers(&clients[0], 2);
    assert_int_equal(clients[0].completions, 1);
    release();
    assert_int_equal(clients[0].completions, 1);
}

static void one_that_moves_to_another_registry_is_held_there_anew(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};
    const struct sse_event event = {.data = sse_str("2")};
    struct sse_registry *other;

    (void)state;
    assert_int_equal(sse_registry_new(&other, &options), 0);
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    assert_int_equal(sse_registry_hold(other), 0);
    publish_numbers("t", 2);
    assert_int_equal(sse_registry_remove(registry, clients[0].emitter), 0);
    assert_int_equal(sse_registry_add(other, clients[0].emitter), 0);
    assert_int_equal(sse_registry_broadcast(other, &event, NULL), 0);
    release();
    expect_numbers(&clients[0], 2);
    assert_int_equal(sse_registry_release(other), 0);
    expect_numbers(&clients[0], 3);
    sse_registry_unref(other);
}

static void an_overflow_is_counted_at_once_and_told_at_the_release(void **state)
{
    struct fake_client *client = prepare(0, SSE_DRAIN_CALLBACK);
    struct sse_delivery delivery;

    (void)state;
    client->options.queue_messages = 4;
    join(client, "t");
    client->sink.room = 0;
    publish_numbers("t", 4);
    hold();
    delivery = publish("t", "4");
    assert_int_equal(delivery.closed, 1);
    assert_int_equal(delivery.queued, 0);
    assert_int_equal(client->completions, 0);
    release();
    assert_int_equal(client->completions, 1);
    assert_int_equal(client->completion.reason, SSE_REASON_OVERFLOW);
}

static void a_policy_that_drops_does_so_under_a_hold(void **state)
{
    struct fake_client *client = prepare(0, SSE_DRAIN_CALLBACK);

    (void)state;
    client->options.queue_messages = 2;
    client->options.overflow = SSE_OVERFLOW_DROP_NEWEST;
    join(client, "t");
    client->sink.room = 0;
    publish_numbers("t", 2);
    hold();
    assert_int_equal(publish("t", "2").dropped, 1);
    release();
    fake_client_make_room(client, SIZE_MAX);
    expect_numbers(client, 2);
}

static void a_client_that_breaks_at_the_release_disturbs_nobody(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        join(prepare(i, SSE_DRAIN_CALLBACK), "t");
    clients[1].sink.error_at = clients[1].sink.size;
    clients[1].sink.error = -EPIPE;
    hold();
    publish_numbers("t", 3);
    assert_int_equal(clients[1].completions, 0);
    release();
    expect_numbers(&clients[0], 3);
    expect_numbers(&clients[2], 3);
    assert_int_equal(clients[1].completions, 1);
}

static void a_full_sink_gets_the_rest_when_it_has_room(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    clients[0].sink.room = 12;
    hold();
    publish_numbers("t", 3);
    release();
    assert_int_equal(clients[0].blocked, 1);
    /* Held again, while it is full: it is tried with the release. */
    hold();
    (void)publish("t", "3");
    clients[0].sink.room = SIZE_MAX;
    release();
    expect_numbers(&clients[0], 4);
}

static void a_reader_is_told_at_the_release(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_PULL), "t");
    (void)fake_client_pull(&clients[0]);
    clients[0].ready = 0;
    hold();
    publish_numbers("t", 3);
    assert_int_equal(clients[0].ready, 0);
    release();
    assert_int_equal(clients[0].ready, 1);
    (void)fake_client_pull(&clients[0]);
    expect_numbers(&clients[0], 3);
}

static void the_host_is_woken_by_the_first_that_is_held(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    wakes = 0;
    hold();
    (void)publish("nobody", "x");
    assert_int_equal(wakes, 0);
    publish_numbers("t", 3);
    assert_int_equal(wakes, 1);
    hold();
    release();
    assert_int_equal(wakes, 2);
    release();
    assert_int_equal(wakes, 2);
}

static void publish_on_blocked(struct fake_client *client, void *user)
{
    (void)client, (void)user;
    hold();
    (void)publish("u", "0");
    (void)publish("u", "1");
    release();
    /* Only the outer call writes. */
    assert_int_equal(clients[1].sink.calls, 0);
}

static void a_burst_inside_a_hook_is_left_to_the_outer_call(void **state)
{
    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    join(prepare(1, SSE_DRAIN_CALLBACK), "u");
    clients[0].sink.room = 0;
    clients[0].act = publish_on_blocked;
    hold();
    (void)publish("t", "x");
    release();
    assert_int_equal(clients[0].blocked, 1);
    assert_int_equal(clients[1].sink.calls, 1);
    expect_numbers(&clients[1], 2);
}

static void the_last_reference_writes_what_is_held(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};

    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    sse_registry_unref(registry);
    expect_numbers(&clients[0], 2);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
}

static void a_shutdown_writes_what_is_held(void **state)
{
    const struct sse_event farewell = {.data = sse_str("2")};
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .farewell = &farewell, .drain_ms = 1000};

    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    assert_int_equal(sse_registry_shutdown(registry, &options), 0);
    expect_numbers(&clients[0], 3);
    assert_int_equal(clients[0].completions, 1);
    release();
    assert_int_equal(clients[0].completions, 1);
}

static void without_memory_nothing_of_that_event_is_held(void **state)
{
    const struct sse_event event = {.data = sse_str("lost")};
    size_t nth = 1;
    int error = -ENOMEM;

    (void)state;
    join(prepare(0, SSE_DRAIN_CALLBACK), "t");
    join(prepare(1, SSE_DRAIN_CALLBACK), "t");
    hold();
    publish_numbers("t", 2);
    for (; error; nth++) {
        fake_host_fail_at(&host, nth, false);
        error = sse_registry_publish(registry, sse_str("t"), &event, NULL);
        fake_host_fail_at(&host, 0, false);
        assert_true(!error || error == -ENOMEM);
        if (clients[0].completions || error == 0)
            break;
        assert_int_equal(fake_client_info(&clients[0]).queued_messages, 2);
        assert_int_equal(fake_client_info(&clients[1]).queued_messages, 2);
    }
    assert_true(nth > 1);
    release();
}

static void a_replay_between_joins_without_gap_or_duplicate(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};
    const struct sse_str topic = sse_str("t");
    struct sse_replay replay = {.size = sizeof(replay)};
    char first[SSE_ASSIGNED_ID_SIZE];

    (void)state;
    sse_registry_unref(registry);
    options.history.events = 100;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    memcpy(first, publish("t", "a").id, sizeof(first));
    hold();
    (void)publish("t", "b");
    fake_client_open(prepare(0, SSE_DRAIN_CALLBACK));
    assert_int_equal(sse_registry_subscribe(registry, clients[0].emitter, &topic, 1, sse_str(first), &replay),
                     0);
    assert_int_equal(replay.outcome, SSE_REPLAY_COMPLETE);
    (void)publish("t", "c");
    release();
    assert_non_null(strstr(fake_client_text(&clients[0]), "data: b\n"));
    assert_non_null(strstr(fake_client_text(&clients[0]), "data: c\n"));
    assert_null(strstr(strstr(fake_client_text(&clients[0]), "data: b\n") + 1, "data: b\n"));
    assert_null(strstr(strstr(fake_client_text(&clients[0]), "data: c\n") + 1, "data: c\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_burst_is_one_write_for_each_client),
        TEST(receivers_of_several_topics_and_of_all_are_written_to_once),
        TEST(the_last_of_several_releases_writes),
        TEST(a_flush_of_the_registry_writes_and_goes_on_holding),
        TEST(a_flush_leaves_what_another_holds),
        TEST(what_is_published_in_a_flush_is_held),
        TEST(bad_calls_are_refused),
        TEST(what_is_held_is_counted_as_queued),
        TEST(a_hold_makes_no_queue_overflow),
        TEST(events_that_nearly_fill_a_queue_pass_one_by_one),
        TEST(a_long_hold_writes_what_a_socket_takes),
        TEST(a_send_writes_what_is_before_it),
        TEST(a_flush_writes_what_is_held),
        TEST(one_that_is_removed_is_written_to_at_once),
        TEST(one_that_was_detached_is_not_touched),
        TEST(one_that_completes_gets_what_is_held_first),
        TEST(one_that_moves_to_another_registry_is_held_there_anew),
        TEST(an_overflow_is_counted_at_once_and_told_at_the_release),
        TEST(a_policy_that_drops_does_so_under_a_hold),
        TEST(a_client_that_breaks_at_the_release_disturbs_nobody),
        TEST(a_full_sink_gets_the_rest_when_it_has_room),
        TEST(a_reader_is_told_at_the_release),
        TEST(the_host_is_woken_by_the_first_that_is_held),
        TEST(a_burst_inside_a_hook_is_left_to_the_outer_call),
        TEST(the_last_reference_writes_what_is_held),
        TEST(a_shutdown_writes_what_is_held),
        TEST(without_memory_nothing_of_that_event_is_held),
        TEST(a_replay_between_joins_without_gap_or_duplicate),
    };

    return cmocka_run_group_tests_name("cork", tests, NULL, NULL);
}
