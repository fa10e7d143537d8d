/* SPDX-License-Identifier: MIT */
/* How a client is notified that it may have missed events. How a gap is filled: test_paused.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define GAP(asked, oldest, digit) "event: gap\ndata: " asked "\ndata: " oldest "\nid: " ID(digit) "\n\n"

static const char letters[50000];

/* Three events in all are retained. */
static void use_short_registry(void)
{
    use_registry((struct sse_registry_options){
        .history = {.events = 3}, .id_prefix = sse_str("E"), .gap_type = sse_str("gap")});
}

static int use_short_history(void **state)
{
    (void)set_up(state);
    use_short_registry();
    return 0;
}

static void publish_six(void)
{
    for (const char *number = "123456"; *number; number++)
        (void)publish('a', (const char[]){'a', *number, '\0'});
}

static void expect_replay(const char *oldest, const char *newest)
{
    assert_string_equal(clients[0].replay.oldest, oldest);
    assert_string_equal(clients[0].replay.newest, newest);
}

/* The place is known, and some of the events after it are retained. The client receives those. */
static void an_evicted_place_is_reported_with_the_next_one(void **state)
{
    (void)state;
    publish_six();
    come_back(0, "a", sse_str(ID("1")), SSE_REPLAY_GAP,
              GAP(ID("1"), ID("4"), "1") EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
    expect_replay(ID("4"), ID("6"));
    come_back(0, "a", sse_str(ID("2")), SSE_REPLAY_GAP,
              GAP(ID("2"), ID("4"), "2") EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
    come_back(0, "a", sse_str(ID("3")), SSE_REPLAY_COMPLETE,
              EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
    expect_replay("", "");
    come_back(0, "a", sse_str(ID("6")), SSE_REPLAY_COMPLETE, "");
}

/* The registry does not know what follows an unknown id. After the gap event the client has a known place again. */
static void an_unknown_place_begins_with_live_events(void **state)
{
    (void)state;
    come_back(0, "a", sse_str("who"), SSE_REPLAY_GAP, GAP("who", "", "0"));
    expect_replay("", "");
    publish_six();
    come_back(0, "a", sse_str("who"), SSE_REPLAY_GAP, GAP("who", "", "6"));
    expect_replay("", ID("6"));
    (void)publish('a', "a7");
    assert_string_equal(fake_client_events(&clients[0]), GAP("who", "", "6") EVENT("a7", "7"));
    come_back(0, "a", sse_str(ID("6")), SSE_REPLAY_COMPLETE, EVENT("a7", "7"));
}

/* Events that the client did not ask for cannot be missing. */
static void a_loss_in_another_topic_is_no_gap(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 100}, .topic_history = {.events = 2}, .id_prefix = sse_str("E")});
    (void)publish('b', "b1");
    for (size_t i = 2; i <= 6; i++)
        (void)publish('a', "a");
    come_back(0, "b", sse_str(ID("0")), SSE_REPLAY_COMPLETE, EVENT("b1", "1"));
    come_back(0, "b", sse_str(ID("1")), SSE_REPLAY_COMPLETE, "");
    come_back(0, "ab", sse_str(ID("1")), SSE_REPLAY_GAP, EVENT("a", "5") EVENT("a", "6"));
    come_back(0, "ab", sse_str(ID("4")), SSE_REPLAY_COMPLETE, EVENT("a", "5") EVENT("a", "6"));
    for (size_t i = 7; i <= 9; i++)
        (void)publish(' ', "all");
    come_back(0, "b", sse_str(ID("6")), SSE_REPLAY_GAP, EVENT("all", "8") EVENT("all", "9"));
    come_back(0, "b", sse_str(ID("7")), SSE_REPLAY_COMPLETE, EVENT("all", "8") EVENT("all", "9"));
}

/* A freed topic may have had events, so its loss is remembered. */
static void a_topic_that_has_vanished_is_a_gap(void **state)
{
    (void)state;
    (void)publish('q', "the largest, which is the first to go");
    (void)publish('a', "a2");
    (void)publish('b', "b3");
    assert_int_equal(stats().topics, 3);
    (void)publish('c', "c4");
    assert_int_equal(stats().topics, 3);
    come_back(0, "q", sse_str(ID("0")), SSE_REPLAY_GAP, GAP(ID("0"), "", "0"));
    come_back(0, "q", sse_str(ID("1")), SSE_REPLAY_COMPLETE, "");
    come_back(0, "a", sse_str(ID("0")), SSE_REPLAY_COMPLETE, EVENT("a2", "2"));
    come_back(0, "aq", sse_str(ID("0")), SSE_REPLAY_GAP, GAP(ID("0"), ID("2"), "0") EVENT("a2", "2"));
    assert_int_equal(count("q"), 1);
    come_back(0, "q", sse_str(ID("0")), SSE_REPLAY_GAP, GAP(ID("0"), "", "0"));
}

/* Two tabs with a topic of their own are away for a moment, and have missed nothing. Topics that nobody has any
 * more have lost newer events. */
static void what_other_topics_have_lost_is_no_gap(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100},
                                               .history_age_ms = 1000,
                                               .id_prefix = sse_str("E"),
                                               .gap_type = sse_str("gap")});
    enter(0, "u");
    enter(1, "u");
    (void)publish('u', "u1");
    (void)publish('b', "b2");
    (void)publish('c', "c3");
    fake_platform_advance_ms(&platform, 1000);
    assert_int_equal(stats().topics, 1);
    fake_client_free(&clients[0]);
    fake_client_free(&clients[1]);
    assert_int_equal(stats().topics, 0);
    assert_int_equal(stats().history_bytes, 0);
    for (size_t i = 0; i < 2; i++) {
        come_back(0, "u", sse_str(ID("1")), SSE_REPLAY_COMPLETE, "");
        come_back(1, "b", sse_str(ID("1")), SSE_REPLAY_GAP, GAP(ID("1"), "", "1"));
        come_back(1, "b", sse_str(ID("2")), SSE_REPLAY_COMPLETE, "");
        come_back(1, "c", sse_str(ID("2")), SSE_REPLAY_GAP, GAP(ID("2"), "", "2"));
        come_back(1, "new", sse_str(ID("1")), SSE_REPLAY_COMPLETE, "");
    }
    (void)publish('b', "b4");
    come_back(0, "b", sse_str(ID("2")), SSE_REPLAY_COMPLETE, EVENT("b4", "4"));
    come_back(0, "b", sse_str(ID("1")), SSE_REPLAY_GAP, GAP(ID("1"), ID("4"), "1") EVENT("b4", "4"));
}

static enum sse_replay_outcome outcome_of(struct sse_text topic, unsigned id)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);
    char text[SSE_ASSIGNED_ID_SIZE];

    (void)snprintf(text, sizeof(text), "E-%016x", id);
    client->options.topics = &topic;
    client->options.topic_count = 1;
    client->options.last_event_id = sse_str(text);
    assert_int_equal(fake_client_try_open(client), 0);
    return client->replay.outcome;
}

static void publish_numbered(unsigned number, size_t size)
{
    char name[8];

    (void)snprintf(name, sizeof(name), "%u", number);
    assert_int_equal(
        sse_registry_publish(registry, sse_str(name), &(struct sse_event){.data = {letters, size}}, NULL), 0);
}

/* The memory of topics that are not in use is within history.bytes. The others are forgotten, the first one first,
 * and count as having lost what any of them has lost. */
static void topics_are_remembered_while_there_is_room(void **state)
{
    enum { TOPICS = 1000, BYTES = 50000 };
    size_t before;

    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 100, .bytes = BYTES}, .history_age_ms = 1000, .id_prefix = sse_str("E")});
    before = atomic_load(&platform.bytes);
    for (unsigned i = 1; i <= TOPICS; i++) {
        publish_numbered(i, 1);
        fake_platform_advance_ms(&platform, 1000);
    }
    assert_int_equal(stats().history_events, 0);
    assert_in_range(atomic_load(&platform.bytes) - before, BYTES / 2, BYTES + BYTES / 4);
    assert_int_equal(outcome_of(sse_str("900"), 900), SSE_REPLAY_COMPLETE);
    assert_int_equal(outcome_of(sse_str("999"), 999), SSE_REPLAY_COMPLETE);
    assert_int_equal(outcome_of(sse_str("999"), 998), SSE_REPLAY_GAP);
    assert_int_equal(outcome_of(sse_str("1"), 1), SSE_REPLAY_GAP);
    assert_int_equal(outcome_of(sse_str("1"), 990), SSE_REPLAY_COMPLETE);
    /* A large event leaves them hardly any room. */
    assert_int_equal(sse_registry_publish(registry, sse_str("large"),
                                          &(struct sse_event){.data = {letters, BYTES - 1500}}, NULL),
                     0);
    assert_int_equal(stats().history_events, 1);
    assert_int_equal(outcome_of(sse_str("901"), 901), SSE_REPLAY_GAP);
    assert_int_equal(outcome_of(sse_str("999"), 999), SSE_REPLAY_COMPLETE);
}

/* Events that expire leave room for their topics. */
static void topics_that_expire_together_are_remembered(void **state)
{
    unsigned count = 0;

    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 1000, .bytes = 50000}, .history_age_ms = 1000, .id_prefix = sse_str("E")});
    while (stats().history_bytes < 49000)
        publish_numbered(++count, 400);
    assert_int_equal(stats().history_events, count);
    fake_platform_advance_ms(&platform, 1000);
    assert_int_equal(outcome_of(sse_str("1"), 1), SSE_REPLAY_COMPLETE);
    assert_int_equal(stats().history_events, 0);
    for (unsigned i = 2; i <= count; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "%u", i);
        assert_int_equal(outcome_of(sse_str(name), i), SSE_REPLAY_COMPLETE);
    }
}

/* A member that subscribes to more topics is notified as well, after the events sent to it. */
static void a_later_subscription_has_its_own_gap(void **state)
{
    struct sse_replay replay;
    struct fake_client *client;

    (void)state;
    client = enter(0, "b");
    publish_six();
    (void)publish('b', "b7");
    assert_int_equal(subscribe(client, "a", sse_str(ID("2")), &replay), 0);
    (void)publish('a', "a8");
    assert_int_equal(replay.outcome, SSE_REPLAY_GAP);
    assert_int_equal(replay.messages, 2);
    assert_string_equal(replay.oldest, ID("5"));
    assert_string_equal(replay.newest, ID("7"));
    assert_string_equal(fake_client_text(client), EVENT("b7", "7") GAP(ID("2"), ID("5"), "2") EVENT("a5", "5")
                                                      EVENT("a6", "6") EVENT("a8", "8"));
}

/* A member has had the events to everyone and those of its topics. It does not ask for them when it subscribes to
 * another topic. */
static void a_later_subscription_lacks_only_what_is_new_to_it(void **state)
{
    static const char others[] = {' ', 'b'};

    (void)state;
    for (size_t i = 0; i < sizeof(others); i++) {
        struct sse_replay replay;
        struct fake_client *client;

        use_registry((struct sse_registry_options){.history = {.events = 100},
                                                   .topic_history = {.events = 2},
                                                   .id_prefix = sse_str("E"),
                                                   .gap_type = sse_str("gap")});
        client = enter(0, "b");
        (void)publish('a', "a1");
        for (const char *number = "234"; *number; number++)
            (void)publish(others[i], "x");
        (void)publish('a', "a5");
        assert_int_equal(subscribe(client, "ba", sse_str(ID("1")), &replay), 0);
        assert_int_equal(replay.outcome, SSE_REPLAY_COMPLETE);
        (void)publish('a', "a6");
        assert_string_equal(fake_client_text(client), EVENT("x", "2") EVENT("x", "3") EVENT("x", "4")
                                                          EVENT("a5", "5") EVENT("a6", "6"));
        come_back(1, "ab", sse_str(ID("1")), SSE_REPLAY_GAP,
                  GAP(ID("1"), ID("3"), "1") EVENT("x", "3") EVENT("x", "4") EVENT("a5", "5") EVENT("a6", "6"));
    }
}

static void without_history_a_gap_has_no_id(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.gap_type = sse_str("gap")});
    come_back(0, "a", sse_str("some-id"), SSE_REPLAY_GAP, "event: gap\ndata: some-id\ndata: \n\n");
    expect_replay("", "");
}

static void without_a_type_there_is_no_gap_event(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 3}, .id_prefix = sse_str("E")});
    publish_six();
    come_back(0, "a", sse_str("who"), SSE_REPLAY_GAP, "");
    come_back(0, "a", sse_str(ID("2")), SSE_REPLAY_GAP, EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
}

static void a_bad_type_is_refused(void **state)
{
    const struct sse_text bad[] = {sse_str("a\nb"), sse_str("\r"), {"a\0", 2}, {.len = 1}};
    struct sse_registry_options options = {.size = sizeof(options), .platform = &platform.platform};
    struct sse_registry *made = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        options.gap_type = bad[i];
        assert_int_equal(sse_registry_new(&made, &options), -EINVAL);
    }
    options.gap_type = sse_str("\xff");
    assert_int_equal(sse_registry_new(&made, &options), -EILSEQ);
    options.gap_type = sse_str("gap");
    options.history_age_ms = -1;
    assert_int_equal(sse_registry_new(&made, &options), -EINVAL);
    assert_null(made);
}

/* Two lines of data, whatever id the client sends. */
static void an_invalid_id_is_not_sent_back(void **state)
{
    static char long_id[SSE_ID_SIZE_MAX + 1];
    const struct sse_text odd[] = {sse_str("a\nb"),
                                   sse_str("\n"),
                                   sse_str("a\r"),
                                   sse_str("\ta"),
                                   {"a\0b", 3},
                                   sse_str("\xff"),
                                   sse_str("\x7f"),
                                   sse_str("\xed\xa0\x80"),
                                   {long_id, sizeof(long_id)}};
    char expected[SSE_ID_SIZE_MAX + 100];

    (void)state;
    memset(long_id, 'x', sizeof(long_id));
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        come_back(0, "a", odd[i], SSE_REPLAY_GAP, GAP("", "", "0"));
    come_back(0, "a", sse_str("data: \xc3\xa9 x"), SSE_REPLAY_GAP, GAP("data: \xc3\xa9 x", "", "0"));
    (void)snprintf(expected, sizeof(expected), "event: gap\ndata: %.*s\ndata: \nid: " ID("0") "\n\n",
                   SSE_ID_SIZE_MAX, long_id);
    come_back(0, "a", (struct sse_text){long_id, SSE_ID_SIZE_MAX}, SSE_REPLAY_GAP, expected);
}

/* What a paused client has not got, as its completion record and the statistics count it. */
static void expect_dropped(uint64_t events)
{
    assert_int_equal(sse_emitter_abort(clients[0].emitter, -EPIPE), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(clients[0].completion.dropped, events);
    assert_int_equal(stats().dropped, events);
}

/* What it would have got counts: the event that tells of the gap, what is retained if its place is known, and
 * what came meanwhile. Not what waited for the case that the gap is filled, unless it was. */
static void an_end_before_the_start_counts_one_case(void **state)
{
    static const struct {
        const char *id;
        enum { NOT_STARTED, COMPLETED, NOT_FILLED, FILLED } how;
        uint64_t dropped;
    } rows[] = {
        {ID("1"), NOT_STARTED, 1 + 3 + 1}, {ID("1"), COMPLETED, 1 + 3 + 1}, {ID("1"), NOT_FILLED, 1 + 3 + 1},
        {ID("1"), FILLED, 3 + 1},          {"who", NOT_STARTED, 1 + 1},     {"who", COMPLETED, 1 + 1},
        {"who", NOT_FILLED, 1 + 1},        {"who", FILLED, 3 + 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        use_short_registry();
        publish_six();
        prepare(0, SSE_OUTPUT_CALLBACK)->options.paused = true;
        clients[0].output.room = 0;
        assert_int_equal(join(&clients[0], "a", sse_str(rows[i].id)), 0);
        (void)publish('a', "a7");
        if (rows[i].how == COMPLETED)
            assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
        else if (rows[i].how != NOT_STARTED)
            assert_int_equal(sse_emitter_start(clients[0].emitter, rows[i].how == FILLED), 0);
        expect_dropped(rows[i].dropped);
    }
}

#define GAP_TEST(function) cmocka_unit_test_setup_teardown(function, use_short_history, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GAP_TEST(an_evicted_place_is_reported_with_the_next_one),
        GAP_TEST(an_unknown_place_begins_with_live_events),
        GAP_TEST(a_loss_in_another_topic_is_no_gap),
        GAP_TEST(a_topic_that_has_vanished_is_a_gap),
        GAP_TEST(what_other_topics_have_lost_is_no_gap),
        GAP_TEST(topics_are_remembered_while_there_is_room),
        GAP_TEST(topics_that_expire_together_are_remembered),
        GAP_TEST(a_later_subscription_has_its_own_gap),
        GAP_TEST(a_later_subscription_lacks_only_what_is_new_to_it),
        GAP_TEST(without_history_a_gap_has_no_id),
        GAP_TEST(without_a_type_there_is_no_gap_event),
        GAP_TEST(a_bad_type_is_refused),
        GAP_TEST(an_invalid_id_is_not_sent_back),
        GAP_TEST(an_end_before_the_start_counts_one_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
