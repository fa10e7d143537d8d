/* SPDX-License-Identifier: MIT */
/* An emitter that begins paused: the current state, or the events that fill a gap, come before everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define GAP(asked, oldest, digit) "event: gap\ndata: " asked "\ndata: " oldest "\nid: " ID(digit) "\n\n"

/* Three events in all are retained. */
static int use_short_history(void **state)
{
    (void)set_up(state);
    use_registry((struct sse_registry_options){
        .history = {.events = 3}, .id_prefix = sse_str("E"), .gap_type = sse_str("gap")});
    return 0;
}

static void publish_six(void)
{
    for (const char *number = "123456"; *number; number++)
        (void)publish('a', (const char[]){'a', *number, '\0'});
}

static struct fake_client *enter_paused(size_t which, enum sse_output output, const char *topics,
                                        const char *id)
{
    struct fake_client *client = prepare(which, output);

    client->options.paused = true;
    assert_int_equal(join(client, topics, sse_str(id)), 0);
    assert_true(fake_client_info(client).paused);
    return client;
}

static void send_named(struct fake_client *client, const char *data, const char *id)
{
    const struct sse_event event = {.data = sse_str(data), .id = sse_str(id)};

    assert_int_equal(sse_emitter_send(client->emitter, &event), 0);
}

static const char *events_of(struct fake_client *client)
{
    (void)fake_loop_settle(&loop);
    if (client->options.output == SSE_OUTPUT_PULL)
        (void)fake_client_pull(client);
    return fake_client_events(client);
}

/* Nothing is lost or sent twice, and nothing comes before the state. */
static void the_current_state_goes_first(void **state)
{
    static const enum sse_output outputs[] = {SSE_OUTPUT_CALLBACK, SSE_OUTPUT_PULL};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(outputs); i++) {
        struct fake_client *client = enter_paused(i, outputs[i], "a", NULL);

        assert_int_equal(client->replay.outcome, SSE_REPLAY_NONE);
        expect_delivery(publish_named('a', "live1", ""), i + 1, 0, 0);
        assert_string_equal(events_of(client), "");
        assert_int_equal(fake_client_info(client).queued_messages, 0);
        assert_int_equal(send_data(client, "state1"), 0);
        (void)publish_named(' ', "live2", "");
        assert_string_equal(events_of(client), "data: state1\n\n");
        assert_int_equal(send_data(client, "state2"), 0);
        assert_int_equal(sse_emitter_start(client->emitter, false), 0);
        assert_false(fake_client_info(client).paused);
        (void)publish_named('a', "live3", "");
        assert_int_equal(send_data(client, "sent4"), 0);
        assert_string_equal(events_of(client),
                            "data: state1\n\ndata: state2\n\ndata: live1\nid: \n\ndata: live2\nid: \n\n"
                            "data: live3\nid: \n\ndata: sent4\n\n");
        assert_int_equal(sse_emitter_start(client->emitter, false), -EALREADY);
        assert_int_equal(fake_client_info(client).dropped, 0);
    }
}

/* It is started before anything could be written. The order is the same. */
static void queued_events_keep_their_order_behind_a_slow_output(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);

    (void)state;
    client->output.room = 0;
    client->options.paused = true;
    assert_int_equal(join(client, "a", absent), 0);
    (void)publish_named('a', "1", "");
    assert_int_equal(send_data(client, "state"), 0);
    (void)publish_named('a', "2", "");
    assert_int_equal(sse_emitter_start(client->emitter, false), 0);
    (void)publish_named('a', "3", "");
    assert_int_equal(send_data(client, "4"), 0);
    assert_string_equal(fake_client_text(client), "");
    for (size_t i = 0; i < 100; i++)
        fake_client_make_room(client, 1);
    assert_string_equal(fake_client_text(client), ":\ndata: state\n\ndata: 1\nid: \n\ndata: 2\nid: \n\n"
                                                  "data: 3\nid: \n\ndata: 4\n\n");
}

/* A client with a known id gets its replay after the state, as without a pause. */
static void a_complete_replay_follows_the_state(void **state)
{
    struct fake_client *client;

    (void)state;
    publish_six();
    client = enter_paused(0, SSE_OUTPUT_CALLBACK, "a", ID("4"));
    assert_int_equal(client->replay.outcome, SSE_REPLAY_COMPLETE);
    assert_int_equal(client->replay.messages, 2);
    (void)publish('a', "a7");
    assert_int_equal(send_data(client, "state"), 0);
    assert_int_equal(sse_emitter_start(client->emitter, true), 0);
    assert_string_equal(events_of(client),
                        "data: state\n\n" EVENT("a5", "5") EVENT("a6", "6") EVENT("a7", "7"));
    assert_int_equal(stats().replays, 1);
    assert_int_equal(stats().gaps, 0);
}

/* The server reads the missing events from its own store. Events that are still in the history arrive once. */
static void a_gap_is_filled_or_reported(void **state)
{
    (void)state;
    publish_six();
    for (size_t filled = 0; filled < 2; filled++) {
        struct fake_client *client = enter_paused(filled, SSE_OUTPUT_CALLBACK, "a", ID("1"));

        assert_int_equal(client->replay.outcome, SSE_REPLAY_GAP);
        assert_int_equal(client->replay.messages, 3);
        assert_string_equal(client->replay.oldest, ID("4"));
        assert_string_equal(client->replay.newest, ID("6"));
        if (filled) {
            send_named(client, "a2", ID("2"));
            send_named(client, "a3", ID("3"));
        }
        assert_int_equal(sse_emitter_start(client->emitter, filled), 0);
    }
    (void)publish('a', "a7");
    assert_string_equal(events_of(&clients[0]), GAP(ID("1"), ID("4"), "1") EVENT("a4", "4") EVENT("a5", "5")
                                                    EVENT("a6", "6") EVENT("a7", "7"));
    assert_string_equal(events_of(&clients[1]), EVENT("a2", "2") EVENT("a3", "3") EVENT("a4", "4")
                                                    EVENT("a5", "5") EVENT("a6", "6") EVENT("a7", "7"));
    assert_int_equal(stats().gaps, 2);
}

/* A quiet topic still has events from inside the gap. The server's store has them too, so they come from the store,
 * or otherwise from the history. */
static void events_inside_the_gap_arrive_once(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100},
                                               .topic_history = {.events = 2},
                                               .id_prefix = sse_str("E"),
                                               .gap_type = sse_str("gap")});
    (void)publish('b', "b1");
    (void)publish('a', "a2");
    (void)publish('b', "b3");
    for (const char *number = "456"; *number; number++)
        (void)publish('a', (const char[]){'a', *number, '\0'});
    for (size_t filled = 0; filled < 2; filled++) {
        struct fake_client *client = enter_paused(filled, SSE_OUTPUT_CALLBACK, "ab", ID("1"));

        assert_int_equal(client->replay.outcome, SSE_REPLAY_GAP);
        assert_string_equal(client->replay.oldest, ID("5"));
        assert_string_equal(client->replay.newest, ID("6"));
        if (filled) {
            send_named(client, "a2", ID("2"));
            send_named(client, "b3", ID("3"));
            send_named(client, "a4", ID("4"));
        }
        assert_int_equal(sse_emitter_start(client->emitter, filled), 0);
    }
    assert_string_equal(events_of(&clients[0]),
                        GAP(ID("1"), ID("3"), "1") EVENT("b3", "3") EVENT("a5", "5") EVENT("a6", "6"));
    assert_string_equal(events_of(&clients[1]),
                        EVENT("a2", "2") EVENT("b3", "3") EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6"));
}

/* The registry does not know what follows an unknown id. The server's store may know. */
static void an_unknown_id_can_be_filled_too(void **state)
{
    static const char *const ids[] = {"other-7", "E", "a\nb"};

    (void)state;
    publish_six();
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        for (size_t filled = 0; filled < 2; filled++) {
            struct fake_client *client = enter_paused(filled, SSE_OUTPUT_CALLBACK, "a", ids[i]);

            assert_int_equal(client->replay.outcome, SSE_REPLAY_GAP);
            assert_string_equal(client->replay.oldest, ID("4"));
            assert_string_equal(client->replay.newest, ID("6"));
            if (filled)
                send_named(client, "a3", ID("3"));
            assert_int_equal(sse_emitter_start(client->emitter, filled), 0);
            assert_string_equal(events_of(client), filled ? EVENT("a3", "3") EVENT("a4", "4") EVENT("a5", "5")
                                                                EVENT("a6", "6")
                                                   : i == 0 ? GAP("other-7", "", "6")
                                                   : i == 1 ? GAP("E", "", "6")
                                                            : GAP("", "", "6"));
        }
    }
    (void)publish('a', "a7");
    assert_non_null(strstr(events_of(&clients[0]), EVENT("a7", "7")));
    assert_non_null(strstr(events_of(&clients[1]), EVENT("a6", "6") EVENT("a7", "7")));
}

/* Events for the other case are removed from the queue and from its counts, so the limit is the same as before. */
static void events_dropped_by_a_start_do_not_count(void **state)
{
    (void)state;
    publish_six();
    for (size_t filled = 0; filled < 2; filled++) {
        struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);

        client->options.queue_messages = 4;
        client->options.paused = true;
        assert_int_equal(join(client, "a", sse_str("unknown")), 0);
        (void)fake_loop_settle(&loop);
        client->output.room = 0;
        assert_int_equal(sse_emitter_start(client->emitter, filled), 0);
        for (size_t i = 0; i < 4; i++)
            expect_delivery(publish_named('a', "live", ""), 1, 0, 0);
        expect_delivery(publish_named('a', "live", ""), 0, 0, 1);
        expect_end(client, SSE_REASON_OVERFLOW, -ENOBUFS);
    }
}

/* Events that the history discards during the pause are already queued behind it. Fault 49. */
static void a_history_that_wraps_meanwhile_loses_nothing(void **state)
{
    struct fake_client *client;

    (void)state;
    publish_six();
    client = enter_paused(0, SSE_OUTPUT_CALLBACK, "a", ID("1"));
    publish_six();
    send_named(client, "a2", ID("2"));
    send_named(client, "a3", ID("3"));
    assert_int_equal(sse_emitter_start(client->emitter, true), 0);
    assert_string_equal(events_of(client),
                        EVENT("a2", "2") EVENT("a3", "3") EVENT("a4", "4") EVENT("a5", "5") EVENT("a6", "6")
                            EVENT("a1", "7") EVENT("a2", "8") EVENT("a3", "9") EVENT("a4", "a")
                                EVENT("a5", "b") EVENT("a6", "c"));
}

/* Without a history every id is unknown. Live events follow whatever the server has sent. */
static void without_a_history_a_gap_can_be_filled(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.gap_type = sse_str("gap")});
    for (size_t filled = 0; filled < 2; filled++) {
        struct fake_client *client = enter_paused(filled, SSE_OUTPUT_CALLBACK, "a", "17");

        assert_int_equal(client->replay.outcome, SSE_REPLAY_GAP);
        assert_int_equal(client->replay.messages, 0);
        assert_string_equal(client->replay.oldest, "");
        (void)publish_named('a', "live", "19");
        if (filled)
            send_named(client, "stored", "18");
        assert_int_equal(sse_emitter_start(client->emitter, filled), 0);
        assert_string_equal(events_of(client),
                            filled ? "data: stored\nid: 18\n\ndata: live\nid: 19\n\n"
                                   : "event: gap\ndata: 17\ndata: \n\ndata: live\nid: 19\n\n");
    }
}

/* Every id that a history retains fits into the result. */
static void the_longest_ids_are_reported(void **state)
{
    char id[SSE_ID_SIZE_MAX + 1] = {0};
    const struct sse_event event = {.data = sse_str("x"), .id = {id, SSE_ID_SIZE_MAX}};

    (void)state;
    memset(id, 'i', SSE_ID_SIZE_MAX);
    publish_six();
    for (size_t i = 0; i < 3; i++)
        (void)publish_event('a', event);
    enter_paused(0, SSE_OUTPUT_CALLBACK, "a", ID("1"));
    assert_string_equal(clients[0].replay.oldest, id);
    assert_string_equal(clients[0].replay.newest, id);
}

/* It subscribes to more topics while it is paused. */
static void a_subscription_during_the_pause_waits_too(void **state)
{
    struct sse_replay replay;
    struct fake_client *client;

    (void)state;
    (void)publish('b', "b1");
    (void)publish('b', "b2");
    client = enter_paused(0, SSE_OUTPUT_CALLBACK, "a", NULL);
    (void)publish('a', "a3");
    assert_int_equal(subscribe(client, "b", sse_str(ID("1")), &replay), 0);
    assert_int_equal(replay.outcome, SSE_REPLAY_COMPLETE);
    assert_int_equal(replay.messages, 1);
    (void)publish('b', "b4");
    assert_int_equal(send_data(client, "state"), 0);
    assert_int_equal(sse_emitter_start(client->emitter, false), 0);
    assert_string_equal(events_of(client),
                        "data: state\n\n" EVENT("a3", "3") EVENT("b2", "2") EVENT("b4", "4"));
}

/* The server may send any amount, although the queues have room for only a few events. */
static void the_state_has_no_limit(void **state)
{
    static const enum sse_output outputs[] = {SSE_OUTPUT_CALLBACK, SSE_OUTPUT_PULL};
    char kilobyte[1025];

    (void)state;
    memset(kilobyte, 's', 1024);
    kilobyte[1024] = '\0';
    for (size_t i = 0; i < COUNT_OF(outputs); i++) {
        struct fake_client *client = prepare(i, outputs[i]);

        client->output.room = i ? SIZE_MAX : 0;
        client->options.paused = true;
        client->options.queue_bytes = 2000;
        client->options.queue_messages = 2;
        assert_int_equal(join(client, "a", absent), 0);
        for (size_t sent = 0; sent < 2000; sent++)
            assert_int_equal(send_data(client, kilobyte), 0);
        (void)publish_named('a', "live1", "");
        (void)fake_loop_settle(&loop);
        expect_open(client);
        assert_int_equal(sse_emitter_start(client->emitter, false), 0);
        expect_delivery(publish_named('a', "live2", ""), i + 1, 0, 0);
        (void)fake_loop_settle(&loop);
        expect_open(client);
        if (!i)
            fake_client_make_room(client, SIZE_MAX);
        assert_int_equal(strlen(events_of(client)), 2000 * 1032 + 2 * strlen("data: live1\nid: \n\n"));
        assert_int_equal(fake_client_info(client).dropped, 0);
    }
}

/* During the pause, live events are held to the limits of a queue whose output was not tried. */
static void live_events_behind_a_pause_are_bounded(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);
    struct sse_delivery delivery = {.ended = 0};
    size_t published = 0;

    (void)state;
    client->options.paused = true;
    client->options.queue_messages = 5;
    assert_int_equal(join(client, "a", absent), 0);
    while (!delivery.ended && published < 100) {
        delivery = publish_named('a', "live", "");
        published++;
    }
    assert_in_range(published, 6, 21);
    expect_end(client, SSE_REASON_OVERFLOW, -ENOBUFS);
}

/* Ends during the pause: the deadline, a complete, an abort, a shutdown. */
static void a_pause_has_a_deadline(void **state)
{
    (void)state;
    prepare(0, SSE_OUTPUT_CALLBACK)->options.start_ms = 0;
    prepare(1, SSE_OUTPUT_PULL)->options.start_ms = 100;
    for (size_t i = 0; i < 2; i++) {
        clients[i].options.paused = true;
        assert_int_equal(join(&clients[i], "a", absent), 0);
        (void)publish_named('a', "live", "");
    }
    enter_paused(2, SSE_OUTPUT_CALLBACK, "a", NULL);
    advance_ms(99);
    expect_open(&clients[1]);
    advance_ms(1);
    expect_end(&clients[1], SSE_REASON_NOT_STARTED, -ETIMEDOUT);
    assert_int_equal(sse_emitter_start(clients[1].emitter, false), -ETIMEDOUT);
    assert_int_equal(sse_emitter_start(NULL, false), -EINVAL);
    advance_ms(29899);
    expect_open(&clients[0]);
    advance_ms(1);
    expect_end(&clients[0], SSE_REASON_NOT_STARTED, -ETIMEDOUT);
    advance_ms(1000000);
    expect_open(&clients[2]);
    assert_int_equal(count("a"), 1);
}

static void a_complete_drops_events_behind_the_pause(void **state)
{
    const struct sse_shutdown_options shutdown = {.size = sizeof(shutdown), .drain_ms = 1000};

    (void)state;
    publish_six();
    enter_paused(0, SSE_OUTPUT_CALLBACK, "a", ID("4"));
    enter_paused(1, SSE_OUTPUT_CALLBACK, "a", ID("5"));
    (void)publish('a', "a7");
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(send_data(&clients[i], "state"), 0);
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(sse_emitter_start(clients[0].emitter, false), SSE_ENDED);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[0], SSE_REASON_COMPLETED, 0);
    assert_string_equal(fake_client_events(&clients[0]), "data: state\n\n");
    assert_int_equal(clients[0].completion.dropped, 3);
    assert_int_equal(sse_registry_shutdown(registry, &shutdown), 0);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[1], SSE_REASON_SHUTDOWN, 0);
    assert_string_equal(fake_client_events(&clients[1]), "data: state\n\n");
    assert_int_equal(stats().backlog_bytes, 0);
}

#define PAUSED_TEST(function) cmocka_unit_test_setup_teardown(function, use_short_history, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAUSED_TEST(the_current_state_goes_first),
        PAUSED_TEST(queued_events_keep_their_order_behind_a_slow_output),
        PAUSED_TEST(a_complete_replay_follows_the_state),
        PAUSED_TEST(a_gap_is_filled_or_reported),
        PAUSED_TEST(events_inside_the_gap_arrive_once),
        PAUSED_TEST(an_unknown_id_can_be_filled_too),
        PAUSED_TEST(events_dropped_by_a_start_do_not_count),
        PAUSED_TEST(a_history_that_wraps_meanwhile_loses_nothing),
        PAUSED_TEST(without_a_history_a_gap_can_be_filled),
        PAUSED_TEST(the_longest_ids_are_reported),
        PAUSED_TEST(a_subscription_during_the_pause_waits_too),
        PAUSED_TEST(the_state_has_no_limit),
        PAUSED_TEST(live_events_behind_a_pause_are_bounded),
        PAUSED_TEST(a_pause_has_a_deadline),
        PAUSED_TEST(a_complete_drops_events_behind_the_pause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
