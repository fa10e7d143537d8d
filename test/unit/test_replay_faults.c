/* SPDX-License-Identifier: MIT */
/* Every allocation of a call fails in turn, once and for good: all of the call or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define SWEEP_MAX 100

static void begin(size_t events)
{
    (void)set_up(NULL);
    use_registry((struct sse_registry_options){
        .history = {.events = events}, .id_prefix = sse_str("E"), .gap_type = sse_str("gap")});
}

static int try_publish(const char *topic, const char *data, const char *id, struct sse_delivery *delivery)
{
    const struct sse_event event = {.data = sse_str(data), .id = sse_str(id)};

    return sse_registry_publish(registry, *topic ? sse_str(topic) : absent, &event, delivery);
}

static int try_publish_message(const char *topic, const char *data, const char *id,
                               struct sse_delivery *delivery)
{
    const struct sse_event event = {.data = sse_str(data), .id = sse_str(id)};
    struct sse_message *message;
    int error = sse_message_new(&message, &event, 1, &platform.platform);

    if (error)
        return error;
    error = sse_registry_publish_message(registry, *topic ? sse_str(topic) : absent, message, delivery);
    sse_message_unref(message);
    return error;
}

static void publish_six(void)
{
    (void)publish('a', "a1");
    (void)publish('b', "b2");
    (void)publish(' ', "all3");
    (void)publish_named('a', "a4", "own-4");
    (void)publish('c', "c5");
    (void)publish('b', "b6");
}

static size_t allocations_of_a_publish(void)
{
    size_t before = atomic_load(&platform.allocations);

    (void)publish('a', "x");
    return atomic_load(&platform.allocations) - before;
}

/* The last id is kept with the emitter: room for it is made when it joins. */
static void the_first_event_of_a_stream_needs_no_memory(void **state)
{
    size_t steady;

    (void)state;
    begin(2);
    for (unsigned i = 0; i < 4; i++)
        (void)allocations_of_a_publish();
    steady = allocations_of_a_publish();
    enter(0, "a");
    assert_int_equal(allocations_of_a_publish(), steady);
    assert_string_equal(fake_client_text(&clients[0]), EVENT("x", "6"));
    (void)tear_down(NULL);
}

/* How a client comes back, and what it is sent if there is memory. */
struct visit {
    const char *id;
    size_t events; /* that the history holds */
    enum { NEW, PAUSED, MEMBER } how;
    enum sse_replay_outcome outcome;
    const char *text;
};

#define ALL_BUT_ALL3 EVENT("a1", "1") EVENT("b2", "2") "data: a4\nid: own-4\n\n" EVENT("b6", "6")
#define WHO_GAP "event: gap\ndata: who\ndata: \nid: " ID("6") "\n\n"

#define GAP_1(oldest) "event: gap\ndata: " ID("1") "\ndata: " ID(oldest) "\nid: " ID("1") "\n\n"

static const struct visit visits[] = {
    {ID("0"), 100, NEW, SSE_REPLAY_COMPLETE,
     EVENT("a1", "1") EVENT("b2", "2") EVENT("all3", "3") "data: a4\nid: own-4\n\n" EVENT("b6", "6")},
    {ID("0"), 100, PAUSED, SSE_REPLAY_COMPLETE,
     EVENT("a1", "1") EVENT("b2", "2") EVENT("all3", "3") "data: a4\nid: own-4\n\n" EVENT("b6", "6")},
    {ID("0"), 100, MEMBER, SSE_REPLAY_COMPLETE, ALL_BUT_ALL3},
    {"own-4", 100, NEW, SSE_REPLAY_COMPLETE, EVENT("b6", "6")},
    {"who", 100, NEW, SSE_REPLAY_GAP, WHO_GAP},
    {"who", 100, PAUSED, SSE_REPLAY_GAP, WHO_GAP},
    {ID("1"), 3, NEW, SSE_REPLAY_GAP, GAP_1("3") EVENT("all3", "3") EVENT("b6", "6")},
    {ID("1"), 3, PAUSED, SSE_REPLAY_GAP, GAP_1("3") EVENT("all3", "3") EVENT("b6", "6")},
    {ID("1"), 3, MEMBER, SSE_REPLAY_GAP, GAP_1("6") EVENT("b6", "6")},
    {NULL, 100, NEW, SSE_REPLAY_NONE, ""},
    {NULL, 0, PAUSED, SSE_REPLAY_NONE, ""},
    {"who", 0, MEMBER, SSE_REPLAY_GAP, "event: gap\ndata: who\ndata: \n\n"},
};

static int call(const struct visit *visit)
{
    struct fake_client *client = &clients[0];

    if (visit->how == MEMBER)
        return subscribe(client, "ab", sse_str(visit->id), &client->replay);
    client->options.paused = visit->how == PAUSED;
    return join(client, "ab", sse_str(visit->id));
}

/* Returns false once the call got by without the allocation that was to fail. */
static bool visit_once(const struct visit *visit, size_t nth, bool for_good)
{
    struct fake_client *client = &clients[0];
    struct sse_registry_stats before, after;
    int error;

    begin(visit->events);
    publish_six();
    if (visit->how == MEMBER)
        enter(0, "z");
    else
        prepare(0, SSE_OUTPUT_CALLBACK);
    client->replay.messages = 77;
    before = stats();
    fake_platform_fail_at(&platform, nth, for_good);
    error = call(visit);
    fake_platform_fail_at(&platform, 0, false);
    if (error) {
        after = stats();
        assert_int_equal(error, -ENOMEM);
        assert_int_equal(client->replay.messages, 77);
        assert_memory_equal(&before, &after, sizeof(after));
        (void)fake_loop_settle(&loop);
        assert_int_equal(client->output.size, 0);
        assert_int_equal(sse_loop_count(loop.loop), visit->how == MEMBER);
        assert_int_equal(call(visit), 0);
    }
    if (visit->how == PAUSED)
        assert_int_equal(sse_emitter_start(client->emitter, false), 0);
    (void)publish_named('b', "live", "l");
    assert_int_equal(client->replay.outcome, visit->outcome);
    assert_memory_equal(fake_client_events(client), visit->text, strlen(visit->text));
    assert_string_equal(fake_client_events(client) + strlen(visit->text), "data: live\nid: l\n\n");
    assert_int_equal(stats().added, 1);
    (void)tear_down(NULL);
    return error;
}

static void a_subscription_happens_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(visits); i++) {
        for (int for_good = 0; for_good < 2; for_good++) {
            size_t failures = 0;

            for (size_t nth = 1; nth < SWEEP_MAX; nth++)
                failures += visit_once(&visits[i], nth, for_good);
            assert_in_range(failures, 2, 40);
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
    {try_publish, "n", NULL, 3},         {try_publish, "a", NULL, 1},
    {try_publish, "", NULL, 1},          {try_publish, "n", "own", 4},
    {try_publish_message, "n", NULL, 4}, {try_publish_message, "a", "own", 2},
    {try_publish_message, "", NULL, 2},
};

/* It joins with what was published before, so that a gap in the numbers would show. */
static void expect_history(const struct publication *publication, bool kept)
{
    char expected[128] = "";

    if (kept)
        (void)snprintf(expected, sizeof(expected), "data: seven\nid: %s\n\n",
                       publication->id ? publication->id : ID("7"));
    come_back(1, "an", sse_str(ID("6")), SSE_REPLAY_COMPLETE, expected);
    fake_client_free(&clients[1]);
}

static bool publish_once(const struct publication *publication, size_t nth, bool for_good)
{
    struct sse_delivery delivery = {.receivers = 77};
    struct sse_registry_stats before, after;
    int error;

    begin(100);
    publish_six();
    enter(0, "a");
    before = stats();
    fake_platform_fail_at(&platform, nth, for_good);
    error = publication->publish(publication->topic, "seven", publication->id, &delivery);
    fake_platform_fail_at(&platform, 0, false);
    (void)fake_loop_settle(&loop);
    if (error) {
        after = stats();
        assert_int_equal(error, -ENOMEM);
        assert_int_equal(delivery.receivers, 77);
        assert_memory_equal(&before, &after, sizeof(after));
        assert_int_equal(clients[0].output.size, 0);
        expect_history(publication, false);
        assert_int_equal(publication->publish(publication->topic, "seven", publication->id, &delivery), 0);
    }
    assert_string_equal(delivery.id, publication->id ? "" : ID("7"));
    assert_int_equal(delivery.receivers, publication->topic[0] != 'n');
    expect_history(publication, true);
    (void)tear_down(NULL);
    return error;
}

/* An id is not spent on an event that was not published. */
static void a_publish_is_kept_and_sent_or_neither(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(publications); i++) {
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
    for (size_t i = 0; i < COUNT_OF(publications); i++) {
        size_t failures = 0;

        for (size_t nth = 1; nth < 30; nth++) {
            int error;

            begin(100);
            fake_platform_fail_at(&platform, nth, false);
            error = publications[i].publish(publications[i].topic, "one", publications[i].id, NULL);
            fake_platform_fail_at(&platform, 0, false);
            assert_int_equal(error, error ? -ENOMEM : 0);
            assert_int_equal(stats().topics, error || !publications[i].topic[0] ? 0 : 1);
            assert_int_equal(stats().history_events, !error);
            failures += error != 0;
            (void)tear_down(NULL);
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
    begin(20);
    for (size_t i = 0; i < 400; i++) {
        int error;

        (void)snprintf(name, sizeof(name), "name-%zu", i % 50);
        fake_platform_fail_at(&platform, i % 7, i % 3);
        error = try_publish("a", name, name, NULL);
        fake_platform_fail_at(&platform, 0, false);
        if (!error)
            memcpy(last, name, sizeof(name));
        failures += error == -ENOMEM;
        if (*last)
            come_back(0, "a", sse_str(last), SSE_REPLAY_COMPLETE, "");
    }
    assert_true(failures > 50);
    assert_int_equal(stats().history_events, 20);
    (void)tear_down(NULL);
}

static void a_registry_is_made_whole_or_not_at_all(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .platform = &platform.platform,
                                                 .history = {.events = 9},
                                                 .gap_type = sse_str("gap")};

    (void)state;
    fake_platform_init(&platform);
    for (int for_good = 0; for_good < 2; for_good++) {
        size_t failures = 0;

        for (size_t nth = 1; nth < 10; nth++) {
            struct sse_registry *made = NULL;
            int error;

            fake_platform_fail_at(&platform, nth, for_good);
            error = sse_registry_new(&made, &options);
            fake_platform_fail_at(&platform, 0, false);
            assert_true(error ? error == -ENOMEM && !made : made != NULL);
            failures += error != 0;
            sse_registry_unref(made);
            assert_int_equal(atomic_load(&platform.blocks), 0);
        }
        assert_in_range(failures, 2, 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_event_of_a_stream_needs_no_memory),
        cmocka_unit_test(a_subscription_happens_whole_or_not_at_all),
        cmocka_unit_test(a_publish_is_kept_and_sent_or_neither),
        cmocka_unit_test(a_first_publish_leaves_no_topic_behind),
        cmocka_unit_test(names_and_history_stay_one),
        cmocka_unit_test(a_registry_is_made_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
