/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replay_stage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

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
    assert_string_equal(fake_client_text(&clients[0]),
                        EVENT("c3", "3") EVENT("all4", "4") EVENT("a5", "5") EVENT("c6", "6") EVENT("a7", "7")
                            EVENT("all9", "9"));
    come_back(1, "b", sse_str(ID("4")), SSE_REPLAY_COMPLETE, EVENT("b8", "8") EVENT("all9", "9"));
    come_back(1, "b", sse_str(ID("8")), SSE_REPLAY_COMPLETE, EVENT("all9", "9"));
    come_back(1, "b", sse_str(ID("9")), SSE_REPLAY_COMPLETE, "");
    come_back(1, "x", sse_str(ID("0")), SSE_REPLAY_COMPLETE, EVENT("all4", "4") EVENT("all9", "9"));
    come_back(1, "abc", no_id, SSE_REPLAY_NONE, "");
    come_back(1, "abc", sse_str(""), SSE_REPLAY_NONE, "");
    assert_int_equal(stats().replays, 5);
    assert_int_equal(stats().replayed, 4 + 2 + 1 + 0 + 2);
    assert_int_equal(stats().gaps, 0);
}

/* The topics are the client's own choice and may name one twice. */
static void a_topic_that_is_named_twice_is_replayed_once(void **state)
{
    (void)state;
    (void)publish('a', "a1");
    (void)publish('b', "b2");
    (void)publish('a', "a3");
    come_back(0, "abaab", sse_str(ID("0")), SSE_REPLAY_COMPLETE,
              EVENT("a1", "1") EVENT("b2", "2") EVENT("a3", "3"));
    fake_client_forget(&clients[0]);
    assert_int_equal(publish('a', "a4").written, 1);
    assert_string_equal(fake_client_text(&clients[0]), EVENT("a4", "4"));
}

/* What it is subscribed to already it has received already. */
static void a_member_gets_only_what_is_new_to_it(void **state)
{
    struct sse_replay replay = {.size = sizeof(replay)};
    struct fake_client *client = connect_client(0);

    (void)state;
    (void)publish(' ', "all1");
    (void)publish('b', "b2");
    assert_int_equal(subscribe(client, "a", no_id, NULL), 0);
    (void)publish('a', "a3");
    (void)publish(' ', "all4");
    (void)publish('b', "b5");
    fake_client_forget(client);
    assert_int_equal(subscribe(client, "ab", sse_str(ID("0")), &replay), 0);
    assert_int_equal(replay.outcome, SSE_REPLAY_COMPLETE);
    assert_int_equal(replay.messages, 2);
    assert_string_equal(fake_client_text(client), EVENT("b2", "2") EVENT("b5", "5"));
    fake_client_forget(client);
    assert_int_equal(subscribe(client, "ab", sse_str(ID("0")), &replay), 0);
    assert_int_equal(replay.messages, 0);
    assert_int_equal(subscribe(client, "", sse_str(ID("0")), &replay), -EALREADY);
    assert_string_equal(fake_client_text(client), "");
    assert_int_equal(sse_registry_count(registry, sse_str("b")), 1);
}

/* Between the two, the client had the topic no longer: what was published then is missing. */
static void a_topic_can_be_taken_up_again(void **state)
{
    const struct sse_str topic = sse_str("a");
    struct fake_client *client = connect_client(0);

    (void)state;
    assert_int_equal(subscribe(client, "ab", no_id, NULL), 0);
    (void)publish('a', "a1");
    assert_int_equal(sse_registry_unsubscribe(registry, client->emitter, &topic, 1), 0);
    (void)publish('a', "a2");
    (void)publish('b', "b3");
    fake_client_forget(client);
    assert_int_equal(subscribe(client, "a", sse_str(ID("1")), NULL), 0);
    assert_string_equal(fake_client_text(client), EVENT("a2", "2"));
}

static void broadcasts_are_replayed_without_a_topic(void **state)
{
    struct fake_client *client = connect_client(1);

    (void)state;
    (void)publish(' ', "all1");
    (void)publish('a', "a2");
    (void)publish(' ', "all3");
    come_back(0, "", sse_str(ID("1")), SSE_REPLAY_COMPLETE, EVENT("all3", "3"));
    assert_int_equal(sse_registry_add(registry, client->emitter), 0);
    assert_string_equal(fake_client_text(client), "");
    (void)publish(' ', "all4");
    assert_string_equal(fake_client_text(&clients[0]), EVENT("all3", "3") EVENT("all4", "4"));
    assert_string_equal(fake_client_text(client), EVENT("all4", "4"));
}

static void what_has_no_place_is_a_gap(void **state)
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
    };

    (void)state;
    (void)publish('a', "a1");
    (void)publish('a', "a2");
    (void)publish('a', "a3");
    for (size_t i = 0; i < COUNT(unknown); i++)
        come_back(0, "a", sse_str(unknown[i]), SSE_REPLAY_GAP, "");
    come_back(0, "a", (struct sse_str){ID("1") "\0", sizeof(ID("1"))}, SSE_REPLAY_GAP, "");
    assert_int_equal(stats().gaps, COUNT(unknown) + 1);
    assert_int_equal(stats().replays, 0);
    (void)publish('a', "a4");
    assert_string_equal(fake_client_text(&clients[0]), EVENT("a4", "4"));
}

/* A client says what it likes; it is answered, and nothing of that size is ever copied. */
static void a_huge_id_is_only_unknown(void **state)
{
    struct sse_str id = {.len = (size_t)1 << 20};
    char *text = malloc(id.len);
    size_t before;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', id.len);
    id.ptr = text;
    use_registry((struct sse_registry_options){
        .history = {.events = 10}, .epoch = sse_str("E"), .gap_type = sse_str("gap")});
    (void)publish('a', "a1");
    (void)publish_named('a', "a2", "named");
    connect_client(0);
    before = atomic_load(&host.bytes);
    assert_int_equal(subscribe(&clients[0], "a", id, NULL), 0);
    assert_in_range(atomic_load(&host.bytes) - before, 0, 4096);
    assert_string_equal(fake_client_text(&clients[0]), "event: gap\ndata: \ndata: \nid: " ID("2") "\n\n");
    free(text);
}

/* To know or to guess an id is no right to the topic that it belongs to. */
static void an_id_opens_no_other_topic(void **state)
{
    (void)state;
    (void)publish('s', "secret1");
    (void)publish_named('s', "secret2", "secret-id");
    (void)publish('a', "a3");
    (void)publish('s', "secret4");
    (void)publish('a', "a5");
    come_back(0, "a", sse_str(ID("1")), SSE_REPLAY_COMPLETE, EVENT("a3", "3") EVENT("a5", "5"));
    come_back(0, "a", sse_str("secret-id"), SSE_REPLAY_COMPLETE, EVENT("a3", "3") EVENT("a5", "5"));
    come_back(0, "a", sse_str(ID("4")), SSE_REPLAY_COMPLETE, EVENT("a5", "5"));
    come_back(0, "", sse_str(ID("0")), SSE_REPLAY_COMPLETE, "");
    (void)publish('s', "secret6");
    assert_string_equal(fake_client_text(&clients[0]), "");
}

/* Its memory is the history's; what is published afterwards is held to the limits again. */
static void a_replay_is_not_held_to_the_limits_of_the_queue(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++)
        (void)publish('a', "event");
    for (int overflow = SSE_OVERFLOW_CLOSE; overflow <= SSE_OVERFLOW_COALESCE; overflow++) {
        bool drops = overflow == SSE_OVERFLOW_DROP_NEWEST || overflow == SSE_OVERFLOW_DROP_OLDEST;
        struct sse_replay replay = {.size = sizeof(replay)};
        struct fake_client *client = &clients[overflow];
        struct sse_delivery delivery;

        fake_client_init(client, &host, SSE_DRAIN_CALLBACK);
        client->options.overflow = (enum sse_overflow)overflow;
        client->options.queue_bytes = 100;
        client->sink.room = 0;
        fake_client_open(client);
        assert_int_equal(subscribe(client, "a", sse_str("E-0000000000000032"), &replay), 0);
        assert_int_equal(replay.messages, 50 + (size_t)overflow);
        assert_int_equal(fake_client_info(client).queued_messages, 50 + overflow);
        assert_int_equal(fake_client_info(client).dropped, 0);
        delivery = publish('a', "event");
        assert_int_equal(delivery.closed, !drops);
        assert_int_equal(delivery.dropped, overflow == SSE_OVERFLOW_DROP_NEWEST);
        assert_int_equal(delivery.queued, overflow == SSE_OVERFLOW_DROP_OLDEST);
        fake_client_free(client);
    }
}

static void publish_message(char topic, const char *data)
{
    const struct sse_event batch[] = {{.data = sse_str(data)}, {.data = sse_str("tail")}};
    struct sse_message *message;

    assert_int_equal(sse_message_new(&message, batch, COUNT(batch), &host.host), 0);
    if (topic == ' ')
        assert_int_equal(sse_registry_broadcast_message(registry, message, NULL), 0);
    else
        assert_int_equal(sse_registry_publish_message(registry, (struct sse_str){&topic, 1}, message, NULL),
                         0);
    sse_message_unref(message);
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
    struct sse_replay replay = {.size = sizeof(replay)};
    struct fake_client *client = connect_client(which);

    assert_int_equal(subscribe(client, "abc", sse_str(id), &replay), 0);
    assert_int_equal(replay.outcome, *id ? SSE_REPLAY_COMPLETE : SSE_REPLAY_NONE);
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

/* A witness stays; a wanderer goes at any byte, and comes back with the last id that it has whole.
 * Its events are together those of the witness. */
static void a_client_that_wanders_misses_nothing(void **state)
{
    char id[128] = "", seen[40000] = "";
    struct fake_client *witness = connect_client(0);

    (void)state;
    assert_int_equal(subscribe(witness, "abc", no_id, NULL), 0);
    (void)publish('a', "first");
    memcpy(id, ID("1"), sizeof(ID("1")));
    strcat(seen, EVENT("first", "1"));
    for (size_t round = 0; round < 120; round++) {
        uint64_t random = host.host.random(host.host.user);
        const char *text;
        size_t whole;

        wander(1, id);
        clients[1].sink.room = random >> 32 & 127;
        for (size_t i = 0; i < (random >> 40 & 7); i++)
            publish_anything(host.host.random(host.host.user), round * 16 + i);
        assert_int_equal(sse_emitter_complete_with_error(clients[1].emitter, -EPIPE), 0);
        if (clients[1].last_id[0])
            memcpy(id, clients[1].last_id, sizeof(id));
        text = fake_client_text(&clients[1]);
        whole = size_up_to_last_id(text);
        assert_true(strlen(seen) + whole < sizeof(seen));
        strncat(seen, text, whole);
        for (size_t i = 0; i < (random >> 48 & 3); i++)
            publish_anything(host.host.random(host.host.user), round * 16 + 8 + i);
    }
    wander(1, id);
    strcat(seen, fake_client_text(&clients[1]));
    assert_string_equal(seen, fake_client_text(witness));
    assert_true(stats().replayed > 100);
}

static void nothing_changes_when_a_subscription_is_refused(void **state)
{
    const struct sse_str names[] = {sse_str("a"), sse_str("")};
    struct sse_replay replay = {.size = sizeof(replay), .outcome = SSE_REPLAY_FILLED, .messages = 77};
    struct sse_replay unknown = {.size = sizeof(unknown) - 1};
    struct fake_client *client = connect_client(0);

    (void)state;
    (void)publish('a', "a1");
    assert_int_equal(subscribe(client, "a", sse_str(ID("0")), &unknown), -EINVAL);
    assert_int_equal(subscribe(client, "a", (struct sse_str){.len = 1}, &replay), -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, names, 2, sse_str(ID("0")), &replay),
                     -EINVAL);
    assert_int_equal(sse_registry_subscribe(registry, client->emitter, NULL, 1, sse_str(ID("0")), &replay),
                     -EINVAL);
    assert_int_equal(sse_emitter_complete(client->emitter), 0);
    assert_int_equal(subscribe(client, "a", sse_str(ID("0")), &replay), -ESHUTDOWN);
    assert_int_equal(replay.outcome, SSE_REPLAY_FILLED);
    assert_int_equal(replay.messages, 77);
    assert_int_equal(sse_registry_count(registry, sse_str("a")), 0);
    assert_int_equal(sse_registry_count(registry, sse_str(NULL)), 0);
    assert_int_equal(stats().added, 0);
    assert_int_equal(stats().replays, 0);
    assert_string_equal(fake_client_text(client), "");
}

/* Ended, and still a member until the hook returns. */
static void end_and_subscribe(struct fake_client *client, void *user)
{
    (void)user;
    client->act = NULL;
    (void)fake_client_pull(client);
    assert_int_equal(sse_emitter_complete_with_error(client->emitter, -EPIPE), 0);
    assert_int_equal(subscribe(client, "b", sse_str(ID("0")), NULL), -EPIPE);
}

static void an_emitter_that_has_ended_gets_no_replay(void **state)
{
    struct fake_client *client = &clients[0];

    (void)state;
    for (size_t i = 0; i < 5; i++)
        (void)publish('b', "b");
    fake_client_new(client, &host, SSE_DRAIN_PULL);
    assert_int_equal(subscribe(client, "a", no_id, NULL), 0);
    assert_int_equal(fake_client_pull(client), 0);
    client->act = end_and_subscribe;
    (void)publish('a', "a6");
    assert_int_equal(client->completions, 1);
    assert_int_equal(sse_registry_count(registry, sse_str("b")), 0);
    assert_int_equal(stats().replays, 0);
    assert_string_equal(fake_client_text(client), EVENT("a6", "6"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_replay_holds_exactly_what_was_missed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_topic_that_is_named_twice_is_replayed_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_member_gets_only_what_is_new_to_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_topic_can_be_taken_up_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broadcasts_are_replayed_without_a_topic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_no_place_is_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_huge_id_is_only_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_opens_no_other_topic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_replay_is_not_held_to_the_limits_of_the_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_wanders_misses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_changes_when_a_subscription_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_emitter_that_has_ended_gets_no_replay, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
