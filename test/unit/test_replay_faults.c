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

/* Every allocation of a call fails in turn, once and for good: all of the call or nothing. */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ID(digit) "E-000000000000000" digit
#define EVENT(data, digit) "data: " data "\nid: " ID(digit) "\n\n"
#define SWEEP_MAX 100

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client client;

static bool on_gap(struct sse_registry *source, struct sse_emitter *emitter, const struct sse_gap *gap,
                   void *user)
{
    (void)source, (void)emitter, (void)gap, (void)user;
    return true;
}

static int set_up(void **state)
{
    (void)state;
    fake_host_init(&host);
    memset(&client, 0, sizeof(client));
    registry = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&host.blocks), 0);
    return 0;
}

static void begin(size_t events, bool fills)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .host = &host.host,
                                                 .history = {.events = events},
                                                 .epoch = sse_str("E"),
                                                 .gap_type = sse_str("gap"),
                                                 .on_gap = fills ? on_gap : NULL};

    assert_int_equal(sse_registry_new(&registry, &options), 0);
    fake_client_new(&client, &host, SSE_DRAIN_CALLBACK);
}

static void end(void)
{
    fake_client_free(&client);
    sse_registry_unref(registry);
    registry = NULL;
}

static struct sse_registry_stats stats(void)
{
    struct sse_registry_stats result = {.size = sizeof(result)};

    assert_int_equal(sse_registry_stats(registry, &result), 0);
    return result;
}

static int publish(const char *topic, const char *data, const char *id, struct sse_delivery *delivery)
{
    const struct sse_event event = {.data = sse_str(data), .id = sse_str(id)};

    return *topic ? sse_registry_publish(registry, sse_str(topic), &event, delivery)
                  : sse_registry_broadcast(registry, &event, delivery);
}

static int publish_message(const char *topic, const char *data, const char *id, struct sse_delivery *delivery)
{
    const struct sse_event event = {.data = sse_str(data), .id = sse_str(id)};
    struct sse_message *message;
    int error = sse_message_new(&message, &event, 1, &host.host);

    if (error)
        return error;
    error = *topic ? sse_registry_publish_message(registry, sse_str(topic), message, delivery)
                   : sse_registry_broadcast_message(registry, message, delivery);
    sse_message_unref(message);
    return error;
}

static void publish_six(void)
{
    assert_int_equal(publish("a", "a1", NULL, NULL), 0);
    assert_int_equal(publish("b", "b2", NULL, NULL), 0);
    assert_int_equal(publish("", "all3", NULL, NULL), 0);
    assert_int_equal(publish("a", "a4", "own-4", NULL), 0);
    assert_int_equal(publish("c", "c5", NULL, NULL), 0);
    assert_int_equal(publish("b", "b6", NULL, NULL), 0);
}

static size_t allocations_of_a_publish(void)
{
    size_t before = atomic_load(&host.allocations);

    assert_int_equal(publish("a", "x", NULL, NULL), 0);
    return atomic_load(&host.allocations) - before;
}

/* The last id is kept with the emitter: room for it is made when it joins. */
static void the_first_event_of_a_stream_needs_no_memory(void **state)
{
    const struct sse_str topic = sse_str("a");
    size_t steady;

    (void)state;
    begin(2, false);
    for (unsigned i = 0; i < 4; i++)
        (void)allocations_of_a_publish();
    steady = allocations_of_a_publish();
    assert_int_equal(sse_registry_subscribe(registry, client.emitter, &topic, 1, sse_str(NULL), NULL), 0);
    assert_int_equal(allocations_of_a_publish(), steady);
    assert_string_equal(fake_client_text(&client), EVENT("x", "6"));
    end();
}

/* How a client comes back, and what it is sent if there is memory. */
struct visit {
    const char *id;
    size_t events; /* that the history holds */
    bool fills;
    bool member; /* of the registry, with another topic */
    enum sse_replay_outcome outcome;
    const char *text;
};

static const struct visit visits[] = {
    {ID("0"), 100, false, false, SSE_REPLAY_COMPLETE,
     EVENT("a1", "1") EVENT("b2", "2") EVENT("all3", "3") "data: a4\nid: own-4\n\n" EVENT("b6", "6")},
    {ID("0"), 100, false, true, SSE_REPLAY_COMPLETE,
     EVENT("a1", "1") EVENT("b2", "2") "data: a4\nid: own-4\n\n" EVENT("b6", "6")},
    {"own-4", 100, false, false, SSE_REPLAY_COMPLETE, EVENT("b6", "6")},
    {"who", 100, false, false, SSE_REPLAY_GAP, "event: gap\ndata: who\ndata: \nid: " ID("6") "\n\n"},
    {ID("1"), 100, true, false, SSE_REPLAY_COMPLETE,
     EVENT("b2", "2") EVENT("all3", "3") "data: a4\nid: own-4\n\n" EVENT("b6", "6")},
    {"who", 100, true, false, SSE_REPLAY_FILLED, ""},
    {NULL, 100, false, false, SSE_REPLAY_NONE, ""},
    {NULL, 0, false, false, SSE_REPLAY_NONE, ""},
    {"who", 0, false, true, SSE_REPLAY_GAP, "event: gap\ndata: who\ndata: \n\n"},
};

static void expect_nothing(const struct visit *visit, const struct sse_registry_stats *before)
{
    struct sse_registry_stats after = stats();

    assert_memory_equal(before, &after, sizeof(after));
    assert_int_equal(sse_registry_has(registry, client.emitter), visit->member);
    assert_int_equal(sse_registry_count(registry, sse_str("a")), 0);
    assert_int_equal(sse_registry_count(registry, sse_str("b")), 0);
    assert_int_equal(client.sink.size, 0);
    assert_int_equal(client.completions, 0);
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    assert_int_equal(fake_client_info(&client).queued_messages, 0);
}

/* Returns false once the call got by without the allocation that was to fail. */
static bool visit_once(const struct visit *visit, size_t nth, bool for_good)
{
    const struct sse_str topics[] = {sse_str("a"), sse_str("b")};
    const struct sse_str other = sse_str("z");
    struct sse_replay replay = {.size = sizeof(replay), .messages = 77};
    struct sse_registry_stats before;
    int error;

    begin(visit->events, visit->fills);
    publish_six();
    if (visit->member)
        assert_int_equal(sse_registry_subscribe(registry, client.emitter, &other, 1, sse_str(NULL), NULL), 0);
    before = stats();
    fake_host_fail_at(&host, nth, for_good);
    error = sse_registry_subscribe(registry, client.emitter, topics, 2, sse_str(visit->id), &replay);
    fake_host_fail_at(&host, 0, false);
    if (error) {
        assert_int_equal(error, -ENOMEM);
        assert_int_equal(replay.messages, 77);
        expect_nothing(visit, &before);
        assert_int_equal(
            sse_registry_subscribe(registry, client.emitter, topics, 2, sse_str(visit->id), &replay), 0);
    }
    assert_int_equal(replay.outcome, visit->outcome);
    assert_string_equal(fake_client_text(&client), visit->text);
    assert_int_equal(stats().added, 1);
    assert_int_equal(publish("b", "live", "l", NULL), 0);
    assert_string_equal(fake_client_text(&client) + strlen(visit->text), "data: live\nid: l\n\n");
    end();
    return error;
}

static void a_subscription_happens_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(visits); i++) {
        for (int for_good = 0; for_good < 2; for_good++) {
            size_t nth = 1, failures = 0;

            for (; nth < SWEEP_MAX; nth++)
                failures += visit_once(&visits[i], nth, for_good);
            assert_in_range(failures, 3, 30);
        }
    }
}

/* A publish, with the state of the registry in front of it. */
struct publication {
    int (*publish)(const char *topic, const char *data, const char *id, struct sse_delivery *delivery);
    const char *topic;
    const char *id;
    size_t least_failures;
};

static const struct publication publications[] = {
    {publish, "new", NULL, 3},      {publish, "a", NULL, 1},           {publish, "", NULL, 1},
    {publish, "new", "own", 4},     {publish_message, "new", NULL, 4}, {publish_message, "a", "own", 2},
    {publish_message, "", NULL, 2},
};

/* It joins with what was published before, so that a gap in the numbers would show. */
static void expect_history(const struct publication *publication, const char *data, bool kept)
{
    const struct sse_str topics[] = {sse_str("a"), sse_str("new")};
    struct fake_client visitor;
    char expected[128];

    (void)snprintf(expected, sizeof(expected), "data: %s\nid: %s\n\n", data,
                   publication->id ? publication->id : ID("7"));
    fake_client_new(&visitor, &host, SSE_DRAIN_CALLBACK);
    assert_int_equal(sse_registry_subscribe(registry, visitor.emitter, topics, 2, sse_str(ID("6")), NULL), 0);
    assert_string_equal(fake_client_text(&visitor), kept ? expected : "");
    fake_client_free(&visitor);
}

static bool publish_once(const struct publication *publication, size_t nth, bool for_good)
{
    const struct sse_str topics[] = {sse_str("a"), sse_str("new")};
    struct sse_delivery delivery = {.size = sizeof(delivery), .written = 77};
    struct sse_registry_stats before, after;
    int error;

    begin(100, false);
    publish_six();
    if (publication->topic[0] != 'n')
        assert_int_equal(sse_registry_subscribe(registry, client.emitter, topics, 1, sse_str(NULL), NULL), 0);
    before = stats();
    fake_host_fail_at(&host, nth, for_good);
    error = publication->publish(publication->topic, "seven", publication->id, &delivery);
    fake_host_fail_at(&host, 0, false);
    if (error) {
        after = stats();
        assert_int_equal(error, -ENOMEM);
        assert_int_equal(delivery.written, 77);
        assert_memory_equal(&before, &after, sizeof(after));
        assert_int_equal(client.sink.size, 0);
        expect_history(publication, "seven", false);
        assert_int_equal(publication->publish(publication->topic, "seven", publication->id, &delivery), 0);
    }
    assert_string_equal(delivery.id, publication->id ? "" : ID("7"));
    assert_int_equal(delivery.written, publication->topic[0] != 'n');
    expect_history(publication, "seven", true);
    end();
    return error;
}

/* An id is not spent on an event that was not published. */
static void a_publish_is_kept_and_sent_or_neither(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(publications); i++) {
        for (int for_good = 0; for_good < 2; for_good++) {
            size_t failures = 0;

            for (size_t nth = 1; nth < 30; nth++)
                failures += publish_once(&publications[i], nth, for_good);
            assert_in_range(failures, publications[i].least_failures, 12);
        }
    }
}

/* The very first, for which nothing is there yet. */
static void a_first_publish_leaves_no_topic_behind(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(publications); i++) {
        size_t failures = 0;

        for (size_t nth = 1; nth < 30; nth++) {
            struct sse_delivery delivery = {.size = sizeof(delivery)};
            int error;

            begin(100, false);
            fake_host_fail_at(&host, nth, false);
            error = publications[i].publish(publications[i].topic, "one", publications[i].id, &delivery);
            fake_host_fail_at(&host, 0, false);
            assert_int_equal(error, error ? -ENOMEM : 0);
            assert_int_equal(stats().topics, error || !publications[i].topic[0] ? 0 : 1);
            assert_int_equal(stats().history_events, !error);
            failures += error != 0;
            end();
            assert_int_equal(atomic_load(&host.blocks), 0);
        }
        assert_in_range(failures, 4, 12);
    }
}

/* Ids that publishers give take memory of their own; the history stays one with its index. */
static void names_and_history_stay_one(void **state)
{
    char name[24], last[24] = "";
    size_t failures = 0;

    (void)state;
    begin(20, false);
    for (size_t i = 0; i < 400; i++) {
        int error;

        (void)snprintf(name, sizeof(name), "name-%zu", i % 50);
        fake_host_fail_at(&host, i % 7, i % 3);
        error = publish("a", name, name, NULL);
        fake_host_fail_at(&host, 0, false);
        if (!error)
            memcpy(last, name, sizeof(name));
        failures += error == -ENOMEM;
        if (*last) {
            const struct sse_str topic = sse_str("a");
            struct sse_replay replay = {.size = sizeof(replay)};
            struct fake_client visitor;

            fake_client_new(&visitor, &host, SSE_DRAIN_CALLBACK);
            assert_int_equal(
                sse_registry_subscribe(registry, visitor.emitter, &topic, 1, sse_str(last), &replay), 0);
            assert_int_equal(replay.outcome, SSE_REPLAY_COMPLETE);
            assert_int_equal(replay.messages, 0);
            fake_client_free(&visitor);
        }
    }
    assert_true(failures > 50);
    assert_int_equal(stats().history_events, 20);
    end();
}

static void a_registry_is_made_whole_or_not_at_all(void **state)
{
    const struct sse_registry_options options = {
        .size = sizeof(options), .host = &host.host, .history = {.events = 9}, .gap_type = sse_str("gap")};

    (void)state;
    for (int for_good = 0; for_good < 2; for_good++) {
        size_t failures = 0;

        for (size_t nth = 1; nth < 10; nth++) {
            int error;

            registry = NULL;
            fake_host_fail_at(&host, nth, for_good);
            error = sse_registry_new(&registry, &options);
            fake_host_fail_at(&host, 0, false);
            assert_true(error ? error == -ENOMEM && !registry : registry != NULL);
            failures += error != 0;
            sse_registry_unref(registry);
            assert_int_equal(atomic_load(&host.blocks), 0);
        }
        assert_int_equal(failures, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_event_of_a_stream_needs_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_subscription_happens_whole_or_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_publish_is_kept_and_sent_or_neither, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_first_publish_leaves_no_topic_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_and_history_stay_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_registry_is_made_whole_or_not_at_all, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
