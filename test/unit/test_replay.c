/* SPDX-License-Identifier: MIT */
/* A client that reconnects receives exactly what it has missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

static void a_replay_holds_exactly_what_was_missed(void **state)
{
    (void)state;
    (void)publish('a', "a1");
    (void)publish('b', "b2");
    (void)publish('c', "c3");
    (void)publish(' ', "all4");
    (void)publish('a', "a5");
    (void)publish('c', "c6");
    come_back(0, "ac", sse_str(ID("1")), SSE_REPLAY_COMPLETE,
              EVENT("c3", "3") EVENT("all4", "4") EVENT("a5", "5") EVENT("c6", "6"));
    (void)publish('a', "a7");
    (void)publish('b', "b8");
    (void)publish(' ', "all9");
    assert_string_equal(fake_client_events(&clients[0]),
                        EVENT("c3", "3") EVENT("all4", "4") EVENT("a5", "5") EVENT("c6", "6") EVENT("a7", "7")
                            EVENT("all9", "9"));
    come_back(1, "b", sse_str(ID("4")), SSE_REPLAY_COMPLETE, EVENT("b8", "8") EVENT("all9", "9"));
    come_back(1, "b", sse_str(ID("8")), SSE_REPLAY_COMPLETE, EVENT("all9", "9"));
    come_back(1, "b", sse_str(ID("9")), SSE_REPLAY_COMPLETE, "");
    come_back(1, "x", sse_str(ID("0")), SSE_REPLAY_COMPLETE, EVENT("all4", "4") EVENT("all9", "9"));
    come_back(1, "", sse_str(ID("4")), SSE_REPLAY_COMPLETE, EVENT("all9", "9"));
    come_back(1, "abc", absent, SSE_REPLAY_NONE, "");
    come_back(1, "abc", sse_str(""), SSE_REPLAY_NONE, "");
    assert_int_equal(stats().replays, 6);
    assert_int_equal(stats().replayed, 4 + 2 + 1 + 0 + 2 + 1);
    assert_int_equal(stats().gaps, 0);
}

/* The client chooses the topics, and may name one many times. Row M6. */
static void a_topic_that_is_named_twice_is_replayed_once(void **state)
{
    struct sse_text *topics = calloc(2000, sizeof(*topics));
    struct fake_client *client;
    size_t before;

    (void)state;
    assert_non_null(topics);
    (void)publish('a', "a1");
    (void)publish('b', "b2");
    (void)publish('a', "a3");
    come_back(0, "abaab", sse_str(ID("0")), SSE_REPLAY_COMPLETE,
              EVENT("a1", "1") EVENT("b2", "2") EVENT("a3", "3"));
    fake_client_forget(&clients[0]);
    expect_delivery(publish('a', "a4"), 1, 0, 0);
    assert_string_equal(fake_client_text(&clients[0]), EVENT("a4", "4"));
    for (size_t i = 0; i < 2000; i++)
        topics[i] = sse_str("a");
    client = prepare(1, SSE_OUTPUT_PULL);
    client->options.topics = topics;
    client->options.topic_count = 2000;
    client->options.last_event_id = sse_str(ID("0"));
    before = atomic_load(&platform.bytes);
    assert_int_equal(fake_client_try_open(client), 0);
    assert_in_range(atomic_load(&platform.bytes) - before, 0, 8192);
    assert_int_equal(client->replay.messages, 3);
    assert_int_equal(count("a"), 2);
    free(topics);
}

/* It has already received the events of its earlier topics, and the events to everyone. */
static void a_member_gets_only_what_is_new_to_it(void **state)
{
    struct sse_replay replay;
    struct fake_client *client;

    (void)state;
    (void)publish(' ', "all1");
    (void)publish('b', "b2");
    client = enter(0, "a");
    (void)publish('a', "a3");
    (void)publish(' ', "all4");
    (void)publish('b', "b5");
    fake_client_forget(client);
    assert_int_equal(subscribe(client, "ab", sse_str(ID("0")), &replay), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(replay.outcome, SSE_REPLAY_COMPLETE);
    assert_int_equal(replay.messages, 2);
    assert_string_equal(fake_client_text(client), EVENT("b2", "2") EVENT("b5", "5"));
    fake_client_forget(client);
    assert_int_equal(subscribe(client, "ab", sse_str(ID("0")), &replay), 0);
    assert_int_equal(replay.messages, 0);
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_text(client), "");
    assert_int_equal(count("b"), 1);
}

/* In between, the client did not have the topic, so events published at that time are missing. */
static void a_topic_can_be_subscribed_again(void **state)
{
    struct fake_client *client = enter(0, "ab");

    (void)state;
    (void)publish('a', "a1");
    assert_int_equal(unsubscribe(client, "a"), 0);
    (void)publish('a', "a2");
    (void)publish('b', "b3");
    fake_client_forget(client);
    assert_int_equal(subscribe(client, "a", sse_str(ID("1")), NULL), 0);
    (void)publish('a', "a4");
    assert_string_equal(fake_client_text(client), EVENT("a2", "2") EVENT("a4", "4"));
}

static void an_id_without_a_place_is_a_gap(void **state)
{
    const char *const unknown[] = {
        "other",
        "E",
        "E-",
        "E-1",
        "E-000000000000000",
        "E-00000000000000001",
        "E-000000000000000A",
        "E-000000000000000g",
        "E_0000000000000001",
        "F-0000000000000001",
        "e-0000000000000001",
        "EE-0000000000000001",
        " " ID("1"),
        ID("1") " ",
        ID("1") "\n",
        ID("4"),
        "E-ffffffffffffffff",
        "E--000000000000001",
        "E-0x00000000000001",
        "\xff\xfe",
        "\n",
        "\x7f",
    };

    (void)state;
    (void)publish('a', "a1");
    (void)publish('a', "a2");
    (void)publish('a', "a3");
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        come_back(0, "a", sse_str(unknown[i]), SSE_REPLAY_GAP, "");
    come_back(0, "a", (struct sse_text){ID("1") "\0", sizeof(ID("1"))}, SSE_REPLAY_GAP, "");
    come_back(0, "a", (struct sse_text){"\0", 1}, SSE_REPLAY_GAP, "");
    assert_int_equal(stats().gaps, COUNT_OF(unknown) + 2);
    assert_int_equal(stats().replays, 0);
    (void)publish('a', "a4");
    assert_string_equal(fake_client_events(&clients[0]), EVENT("a4", "4"));
}

/* A client may send any id. It is answered, and nothing of that size is copied. Row L12. Fault 8. */
static void a_huge_id_is_only_unknown(void **state)
{
    struct sse_text id = {.len = (size_t)1 << 20};
    char *text = malloc(id.len);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', id.len);
    id.ptr = text;
    use_registry((struct sse_registry_options){
        .history = {.events = 10}, .id_prefix = sse_str("E"), .gap_type = sse_str("gap")});
    (void)publish('a', "a1");
    (void)publish_named('a', "a2", "named");
    for (size_t paused = 0; paused < 2; paused++) {
        struct fake_client *client = prepare(paused, SSE_OUTPUT_CALLBACK);
        size_t before = atomic_load(&platform.bytes);

        client->options.paused = paused;
        assert_int_equal(join(client, "a", id), 0);
        assert_in_range(atomic_load(&platform.bytes) - before, 0, 4096);
        if (paused)
            assert_int_equal(sse_emitter_start(client->emitter, false), 0);
        (void)fake_loop_settle(&loop);
        assert_string_equal(fake_client_events(client), "event: gap\ndata: \ndata: \nid: " ID("2") "\n\n");
    }
    free(text);
}

/* Whoever knows or guesses an id gets no access to the topic of the event. */
static void an_id_opens_no_other_topic(void **state)
{
    (void)state;
    (void)publish('s', "secret1");
    (void)publish_named('s', "secret2", "secret-id");
    (void)publish('a', "a3");
    (void)publish('s', "secret4");
    (void)publish('a', "a5");
    come_back(0, "a", sse_str(ID("1")), SSE_REPLAY_COMPLETE, EVENT("a3", "3") EVENT("a5", "5"));
    come_back(0, "a", sse_str(ID("4")), SSE_REPLAY_COMPLETE, EVENT("a5", "5"));
    come_back(0, "", sse_str(ID("0")), SSE_REPLAY_COMPLETE, "");
    (void)publish('s', "secret6");
    assert_string_equal(fake_client_events(&clients[0]), "");
}

static void publish_message(char topic, const char *data)
{
    const struct sse_event batch[] = {{.data = sse_str(data)}, {.data = sse_str("tail")}};
    const struct sse_text name = {&topic, 1};
    struct sse_message *message;

    assert_int_equal(sse_message_new(&message, batch, COUNT_OF(batch), &platform.platform), 0);
    assert_int_equal(sse_registry_publish_message(registry, topic == ' ' ? absent : name, message, NULL), 0);
    sse_message_unref(message);
    (void)fake_loop_settle(&loop);
}

static void publish_anything(uint64_t random, size_t number)
{
    static const char topics[] = "ab cx";
    char data[24], id[24];
    char topic = topics[random % (sizeof(topics) - 1)];

    (void)snprintf(data, sizeof(data), "%zu", number);
    (void)snprintf(id, sizeof(id), "id-%zu", number);
    if (random >> 8 & 1)
        (void)publish(topic, data);
    else if (random >> 9 & 1)
        (void)publish_named(topic, data, id);
    else
        publish_message(topic, data);
}

static void wander(size_t which, const char *id)
{
    struct fake_client *client = prepare(which, SSE_OUTPUT_CALLBACK);

    assert_int_equal(join(client, "abc", sse_str(id)), 0);
    assert_int_equal(client->replay.outcome, *id ? SSE_REPLAY_COMPLETE : SSE_REPLAY_NONE);
}

static size_t size_up_to_last_id(const char *text)
{
    size_t size = 0;

    for (const char *at = text; (at = strstr(at, "\nid: ")); at++) {
        const char *end = strstr(at, "\n\n");

        if (end)
            size = (size_t)(end - text) + 2;
    }
    return size;
}

/* A witness stays connected. A second client disconnects at any byte, and reconnects with the id of its last
 * complete event. It must receive the same events as the witness. */
static void a_client_that_reconnects_often_misses_nothing(void **state)
{
    char id[128] = ID("1"), seen[40000] = EVENT("first", "1");
    struct fake_client *witness = enter(0, "abc");

    (void)state;
    (void)publish('a', "first");
    for (size_t round = 0; round < 120; round++) {
        uint64_t random = platform.platform.random(&platform);
        const char *text;
        size_t whole;

        wander(1, id);
        clients[1].output.room = random >> 32 & 127;
        for (size_t i = 0; i < (random >> 40 & 7); i++)
            publish_anything(platform.platform.random(&platform), round * 16 + i);
        assert_int_equal(sse_emitter_abort(clients[1].emitter, -EPIPE), 0);
        (void)fake_loop_settle(&loop);
        if (clients[1].last_id[0])
            memcpy(id, clients[1].last_id, sizeof(id));
        text = fake_client_events(&clients[1]);
        whole = size_up_to_last_id(text);
        assert_true(strlen(seen) + whole < sizeof(seen));
        strncat(seen, text, whole);
        for (size_t i = 0; i < (random >> 48 & 3); i++)
            publish_anything(platform.platform.random(&platform), round * 16 + 8 + i);
    }
    wander(1, id);
    (void)fake_loop_settle(&loop);
    strcat(seen, fake_client_events(&clients[1]));
    assert_string_equal(seen, fake_client_text(witness));
    assert_true(stats().replayed > 100);
}

static void nothing_changes_when_a_subscription_is_refused(void **state)
{
    const struct sse_text names[] = {sse_str("a"), sse_str("")};
    struct sse_replay replay = {.outcome = SSE_REPLAY_GAP, .messages = 77};
    struct fake_client *client = enter(0, "");

    (void)state;
    (void)publish('a', "a1");
    assert_int_equal(subscribe(client, "a", (struct sse_text){.len = 1}, &replay), -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, names, 2, sse_str(ID("0")), &replay),
                     -EBADMSG);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, NULL, 1, sse_str(ID("0")), &replay),
                     -EINVAL);
    assert_int_equal(sse_emitter_complete(client->emitter), 0);
    assert_int_equal(subscribe(client, "a", sse_str(ID("0")), &replay), SSE_ENDED);
    assert_int_equal(replay.outcome, SSE_REPLAY_GAP);
    assert_int_equal(replay.messages, 77);
    assert_int_equal(count("a"), 0);
    assert_int_equal(stats().replays, 0);
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_text(client), "");
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(a_replay_holds_exactly_what_was_missed),
        STAGE_TEST(a_topic_that_is_named_twice_is_replayed_once),
        STAGE_TEST(a_member_gets_only_what_is_new_to_it),
        STAGE_TEST(a_topic_can_be_subscribed_again),
        STAGE_TEST(an_id_without_a_place_is_a_gap),
        STAGE_TEST(a_huge_id_is_only_unknown),
        STAGE_TEST(an_id_opens_no_other_topic),
        STAGE_TEST(a_client_that_reconnects_often_misses_nothing),
        STAGE_TEST(nothing_changes_when_a_subscription_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
