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

static void ids_are_assigned_in_order(void **state)
{
    (void)state;
    assert_int_equal(subscribe(connect_client(0), "ab", no_id, NULL), 0);
    assert_string_equal(publish('a', "1").id, ID("1"));
    assert_string_equal(publish('b', "2").id, ID("2"));
    assert_string_equal(publish('z', "nobody").id, ID("3"));
    assert_string_equal(publish(' ', "all").id, ID("4"));
    assert_string_equal(publish_named('a', "own", "own").id, "");
    assert_string_equal(publish_event('a', (struct sse_event){.comment = sse_str("c")}).id, "");
    assert_string_equal(publish_event('a', (struct sse_event){.retry_ms = 7}).id, "");
    assert_string_equal(publish_event('a', (struct sse_event){.data = sse_str("t"),
                                                              .type = sse_str("type"),
                                                              .comment = sse_str("c"),
                                                              .retry_ms = 7})
                            .id,
                        ID("6"));
    assert_string_equal(fake_client_text(&clients[0]),
                        EVENT("1", "1") EVENT("2", "2") EVENT(
                            "all", "4") "data: own\nid: own\n\n: c\nretry: 7\n"
                                        ": c\nevent: type\ndata: t\nid: E-0000000000000006\nretry: 7\n\n");
    assert_int_equal(stats().history_events, 6);
}

static void without_history_no_id_is_assigned(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.epoch = sse_str("E")});
    assert_int_equal(subscribe(connect_client(0), "a", no_id, NULL), 0);
    assert_string_equal(publish('a', "1").id, "");
    assert_string_equal(publish(' ', "2").id, "");
    assert_string_equal(fake_client_text(&clients[0]), "data: 1\n\ndata: 2\n\n");
    come_back(1, "a", sse_str(ID("1")), SSE_REPLAY_GAP, "");
    come_back(1, "a", no_id, SSE_REPLAY_NONE, "");
    assert_int_equal(stats().history_events, 0);
    assert_int_equal(stats().gaps, 1);
}

static void an_epoch_has_its_rules(void **state)
{
    static const char longest[SSE_EPOCH_SIZE_MAX + 1] = "e";
    char full[SSE_EPOCH_SIZE_MAX + 1];
    const struct sse_str bad[] = {sse_str(""), sse_str(" e"),   sse_str("e "),   sse_str("e\n"),
                                  {"e\0e", 3}, sse_str("\x7f"), sse_str("\xff"), {longest, sizeof(longest)},
                                  {.len = 1}};
    struct sse_registry_options options = {
        .size = sizeof(options), .host = &host.host, .history = {.events = 9}};
    struct sse_registry *refused = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        options.epoch = bad[i];
        assert_int_equal(sse_registry_new(&refused, &options), -EINVAL);
        assert_null(refused);
    }
    memset(full, 'F', sizeof(full));
    options.epoch = (struct sse_str){.ptr = full, .len = SSE_EPOCH_SIZE_MAX};
    use_registry(options);
    assert_int_equal(strlen(publish('a', "1").id), SSE_ASSIGNED_ID_SIZE - 1);
    full[SSE_EPOCH_SIZE_MAX] = '\0';
    assert_memory_equal(publish('a', "2").id, full, SSE_EPOCH_SIZE_MAX);
    come_back(0, "b", sse_str(publish('a', "3").id), SSE_REPLAY_COMPLETE, "");
}

/* After a restart nothing is mistaken for what had the same number before. */
static void a_random_epoch_differs_after_a_restart(void **state)
{
    char ids[3][SSE_ASSIGNED_ID_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT(ids); i++) {
        use_registry((struct sse_registry_options){.history = {.events = 9}});
        memcpy(ids[i], publish('a', "1").id, sizeof(ids[i]));
        assert_int_equal(strspn(ids[i], "0123456789abcdef"), 16);
        assert_string_equal(ids[i] + 16, "-0000000000000001");
    }
    assert_string_not_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[1], ids[2]);
    (void)publish('a', "2");
    come_back(0, "a", sse_str(ids[1]), SSE_REPLAY_GAP, "");
    come_back(0, "b", sse_str(ids[2]), SSE_REPLAY_COMPLETE, "");
}

static void given_ids_name_places_too(void **state)
{
    (void)state;
    (void)publish_named('a', "a1", "one");
    (void)publish('a', "a2");
    (void)publish_named('b', "b3", "three");
    (void)publish_named('a', "a4", "four");
    come_back(0, "ab", sse_str("one"), SSE_REPLAY_COMPLETE,
              EVENT("a2", "2") "data: b3\nid: three\n\ndata: a4\nid: four\n\n");
    come_back(0, "ab", sse_str(ID("2")), SSE_REPLAY_COMPLETE,
              "data: b3\nid: three\n\ndata: a4\nid: four\n\n");
    come_back(0, "a", sse_str("three"), SSE_REPLAY_COMPLETE, "data: a4\nid: four\n\n");
    come_back(0, "a", sse_str("four"), SSE_REPLAY_COMPLETE, "");
    come_back(0, "a", sse_str("thre"), SSE_REPLAY_GAP, "");
    come_back(0, "a", sse_str("threee"), SSE_REPLAY_GAP, "");
}

/* A publisher may number the events of each topic for itself. */
static void an_id_is_looked_up_in_the_topics_asked_for(void **state)
{
    (void)state;
    (void)publish_named('a', "a1", "1");
    (void)publish_named('a', "a2", "2");
    (void)publish_named('b', "b1", "1");
    (void)publish_named('b', "b2", "2");
    (void)publish_named(' ', "all", "0");
    come_back(0, "a", sse_str("1"), SSE_REPLAY_COMPLETE, "data: a2\nid: 2\n\ndata: all\nid: 0\n\n");
    come_back(0, "a", sse_str("2"), SSE_REPLAY_COMPLETE, "data: all\nid: 0\n\n");
    come_back(0, "b", sse_str("1"), SSE_REPLAY_COMPLETE, "data: b2\nid: 2\n\ndata: all\nid: 0\n\n");
    come_back(0, "b", sse_str("0"), SSE_REPLAY_COMPLETE, "");
    come_back(0, "", sse_str("0"), SSE_REPLAY_COMPLETE, "");
    /* Of another topic it says nothing. */
    come_back(0, "c", sse_str("1"), SSE_REPLAY_GAP, "");
    come_back(0, "", sse_str("1"), SSE_REPLAY_GAP, "");
}

/* A client may ask for other topics than before. */
static void an_id_of_another_topic_counts_if_one_alone_has_it(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 9}, .topic_history = {.events = 2}, .epoch = sse_str("E")});
    (void)publish_named('a', "a1", "one");
    (void)publish_named('b', "b2", "two");
    (void)publish_named('a', "a3", "three");
    come_back(0, "a", sse_str("two"), SSE_REPLAY_COMPLETE, "data: a3\nid: three\n\n");
    come_back(0, "c", sse_str("two"), SSE_REPLAY_COMPLETE, "");
    come_back(0, "", sse_str("two"), SSE_REPLAY_COMPLETE, "");
    (void)publish_named('c', "c4", "two");
    come_back(0, "a", sse_str("two"), SSE_REPLAY_GAP, "");
    come_back(0, "b", sse_str("two"), SSE_REPLAY_COMPLETE, "");
    come_back(0, "bc", sse_str("two"), SSE_REPLAY_COMPLETE, "data: c4\nid: two\n\n");
    (void)publish('c', "c5");
    (void)publish('c', "c6");
    come_back(0, "a", sse_str("two"), SSE_REPLAY_COMPLETE, "data: a3\nid: three\n\n");
    /* What it has let go of may have been "two" as well: all that is known to follow, and the truth. */
    (void)publish_named('a', "a7", "seven");
    come_back(0, "a", sse_str("two"), SSE_REPLAY_GAP, "data: a3\nid: three\n\ndata: a7\nid: seven\n\n");
}

/* Which of the two the client has seen is not known: rather once too often than never. */
static void an_id_of_two_topics_asked_for_means_the_earlier_event(void **state)
{
    (void)state;
    (void)publish_named('a', "a1", "1");
    (void)publish_named('b', "b1", "1");
    (void)publish_named('a', "a2", "2");
    (void)publish_named('b', "b2", "2");
    come_back(0, "ab", sse_str("1"), SSE_REPLAY_COMPLETE,
              "data: b1\nid: 1\n\ndata: a2\nid: 2\n\ndata: b2\nid: 2\n\n");
    come_back(0, "ba", sse_str("2"), SSE_REPLAY_COMPLETE, "data: b2\nid: 2\n\n");
    (void)publish_named(' ', "all", "2");
    come_back(0, "b", sse_str("2"), SSE_REPLAY_COMPLETE, "data: all\nid: 2\n\n");
}

static void what_one_topic_forgets_another_still_knows(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 9}, .topic_history = {.events = 2}, .epoch = sse_str("E")});
    (void)publish_named('a', "a1", "1");
    (void)publish_named('b', "b1", "1");
    (void)publish('a', "a2");
    (void)publish('a', "a3");
    (void)publish('b', "b2");
    come_back(0, "a", sse_str("1"), SSE_REPLAY_GAP, EVENT("a2", "3") EVENT("a3", "4"));
    come_back(0, "b", sse_str("1"), SSE_REPLAY_COMPLETE, EVENT("b2", "5"));
    (void)publish_named('a', "a4", "1");
    come_back(0, "a", sse_str("1"), SSE_REPLAY_COMPLETE, "");
    (void)publish('b', "b3");
    come_back(0, "b", sse_str("1"), SSE_REPLAY_GAP, EVENT("b3", "7"));
    come_back(0, "a", sse_str("1"), SSE_REPLAY_COMPLETE, "");
}

/* Two topics number their events for themselves, and one has let go of what the client saw last. */
static void an_id_that_may_be_of_a_lost_event_is_a_gap(void **state)
{
    char id[8];

    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 100}, .topic_history = {.events = 10}, .epoch = sse_str("E")});
    for (unsigned i = 1; i <= 30; i++) {
        (void)snprintf(id, sizeof(id), "%u", i);
        (void)publish_named('a', "a", id);
        if (i <= 5)
            (void)publish_named('b', "b", id);
    }
    (void)publish('b', "b6");
    come_back(0, "ab", sse_str("30"), SSE_REPLAY_COMPLETE, "data: b6\nid: E-0000000000000024\n\n");
    /* The last of b, or one of a, which has much that follows. */
    assert_int_equal(subscribe(connect_client(1), "ab", sse_str("5"), NULL), 0);
    assert_int_equal(stats().gaps, 1);
    come_back(2, "b", sse_str("5"), SSE_REPLAY_COMPLETE, "data: b6\nid: E-0000000000000024\n\n");
}

/* It would be taken for the place that its number names. */
static void an_id_that_looks_assigned_cannot_be_given(void **state)
{
    const struct sse_event event = {.data = sse_str("x"), .id = sse_str(ID("7"))};
    const struct sse_str topic = sse_str("a");
    struct sse_message *message;

    (void)state;
    assert_int_equal(sse_registry_publish(registry, topic, &event, NULL), -EINVAL);
    assert_int_equal(sse_registry_broadcast(registry, &event, NULL), -EINVAL);
    assert_int_equal(sse_message_new(&message, &event, 1, &host.host), 0);
    assert_int_equal(sse_registry_publish_message(registry, topic, message, NULL), -EINVAL);
    assert_int_equal(sse_registry_broadcast_message(registry, message, NULL), -EINVAL);
    sse_message_unref(message);
    assert_int_equal(stats().history_events, 0);
    (void)publish_named('a', "x", "e-0000000000000007");
    (void)publish_named('a', "x", "E-000000000000007");
    (void)publish_named('a', "x", "E-000000000000000G");
    use_registry((struct sse_registry_options){.epoch = sse_str("E")});
    assert_int_equal(sse_registry_publish(registry, topic, &event, NULL), 0);
}

/* The later event is the one that clients saw last. */
static void an_id_that_is_given_again_means_the_later_event(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 3}, .epoch = sse_str("E")});
    (void)publish_named('a', "a1", "same");
    (void)publish('a', "a2");
    (void)publish_named('a', "a3", "same");
    come_back(0, "a", sse_str("same"), SSE_REPLAY_COMPLETE, "");
    (void)publish('a', "a4");
    come_back(0, "a", sse_str("same"), SSE_REPLAY_COMPLETE, EVENT("a4", "4"));
    (void)publish('a', "a5");
    come_back(0, "a", sse_str("same"), SSE_REPLAY_COMPLETE, EVENT("a4", "4") EVENT("a5", "5"));
    (void)publish('a', "a6");
    come_back(0, "a", sse_str("same"), SSE_REPLAY_GAP, "");
    (void)publish_named('a', "a7", "same");
    (void)publish('a', "a8");
    come_back(0, "a", sse_str("same"), SSE_REPLAY_COMPLETE, EVENT("a8", "8"));
}

/* The host sent it something before, or another registry did. */
static void one_whose_last_id_is_long_may_join(void **state)
{
    char id[SSE_EPOCH_SIZE_MAX + 1000];
    struct sse_event event = {.data = sse_str("before"), .id = {id, sizeof(id)}};

    (void)state;
    memset(id, 'i', sizeof(id));
    assert_int_equal(sse_emitter_send(connect_client(0)->emitter, &event), 0);
    assert_int_equal(subscribe(&clients[0], "a", no_id, NULL), 0);
    fake_client_forget(&clients[0]);
    (void)publish('a', "1");
    assert_string_equal(fake_client_text(&clients[0]), EVENT("1", "1"));
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_string_equal(clients[0].last_id, ID("1"));
}

/* An empty id resets the client: it is kept and replayed, and names no place. */
static void an_empty_id_names_no_place(void **state)
{
    (void)state;
    (void)publish('a', "a1");
    (void)publish_named('a', "a2", "");
    (void)publish_named('a', "a3", "");
    (void)publish_event('a', (struct sse_event){.id = sse_str("only")});
    come_back(0, "a", sse_str(ID("1")), SSE_REPLAY_COMPLETE,
              "data: a2\nid: \n\ndata: a3\nid: \n\nid: only\n\n");
    come_back(0, "a", sse_str(""), SSE_REPLAY_NONE, "");
    come_back(0, "a", sse_str("only"), SSE_REPLAY_COMPLETE, "");
}

static void comments_are_not_kept(void **state)
{
    (void)state;
    (void)publish('a', "a1");
    (void)publish_event('a', (struct sse_event){.comment = sse_str("c\n\n")});
    (void)publish_event('a', (struct sse_event){.retry_ms = 9});
    (void)publish_event('a', (struct sse_event){.data = sse_str("")});
    assert_int_equal(stats().history_events, 2);
    come_back(0, "a", sse_str(ID("1")), SSE_REPLAY_COMPLETE, EVENT("", "2"));
}

static void publish_batch(char topic, const struct sse_event *events, size_t count, const char *id)
{
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct sse_message *message;
    char before[200] = "";

    assert_int_equal(sse_message_new(&message, events, count, &host.host), 0);
    assert_true(sse_message_bytes(message).len < sizeof(before));
    memcpy(before, sse_message_bytes(message).ptr, sse_message_bytes(message).len);
    if (topic == ' ')
        assert_int_equal(sse_registry_broadcast_message(registry, message, &delivery), 0);
    else
        assert_int_equal(
            sse_registry_publish_message(registry, (struct sse_str){&topic, 1}, message, &delivery), 0);
    assert_string_equal(delivery.id, id);
    assert_int_equal(sse_message_bytes(message).len, strlen(before));
    assert_memory_equal(sse_message_bytes(message).ptr, before, strlen(before));
    sse_message_unref(message);
}

/* The message itself belongs to its maker, who may be sending it elsewhere at this moment. */
static void a_message_without_id_gets_a_copy_with_one(void **state)
{
    const struct sse_event plain = {.data = sse_str("x")};
    const struct sse_event full = {
        .data = sse_str("x\ny"), .type = sse_str("t"), .comment = sse_str("c"), .retry_ms = 12};
    const struct sse_event named = {.data = sse_str("n"), .id = sse_str("name")};
    const struct sse_event comment = {.comment = sse_str("c")};

    (void)state;
    assert_int_equal(subscribe(connect_client(0), "a", no_id, NULL), 0);
    publish_batch('a', &plain, 1, ID("1"));
    publish_batch(' ', &full, 1, ID("2"));
    publish_batch('a', &named, 1, "");
    publish_batch('a', &comment, 1, "");
    (void)publish_event('a', full);
    assert_string_equal(fake_client_text(&clients[0]),
                        "data: x\nid: E-0000000000000001\n\n"
                        ": c\nevent: t\ndata: x\ndata: y\nid: E-0000000000000002\nretry: 12\n\n"
                        "data: n\nid: name\n\n: c\n"
                        ": c\nevent: t\ndata: x\ndata: y\nid: E-0000000000000004\nretry: 12\n\n");
    assert_int_equal(stats().history_events, 4);
}

/* A batch is replayed as it was sent, whatever stands at its end; the id of its last event is its place. */
static void a_batch_is_replayed_as_a_whole(void **state)
{
    const struct sse_event plain[] = {{.data = sse_str("1")}, {.data = sse_str("2")}};
    const struct sse_event trailing[] = {
        {.data = sse_str("3"), .retry_ms = 5}, {.comment = sse_str("c")}, {.retry_ms = 8}};
    const struct sse_event named[] = {{.data = sse_str("4"), .id = sse_str("x")},
                                      {.data = sse_str("5"), .id = sse_str("y")},
                                      {.data = sse_str("6")}};
    const struct sse_event ending[] = {{.data = sse_str("4"), .id = sse_str("x")},
                                       {.data = sse_str("5"), .id = sse_str("y")},
                                       {.comment = sse_str("c")}};
    const struct sse_event silent[] = {{.comment = sse_str("c")}, {.retry_ms = 8}};
    static const char whole[] = "data: 1\n\ndata: 2\nid: E-0000000000000001\n\n"
                                "data: 3\nid: E-0000000000000002\nretry: 5\n\n: c\nretry: 8\n"
                                "data: 4\nid: x\n\ndata: 5\nid: y\n\ndata: 6\nid: E-0000000000000003\n\n"
                                "data: 4\nid: x\n\ndata: 5\nid: y\n\n: c\n";
    struct sse_replay replay = {.size = sizeof(replay)};

    (void)state;
    assert_int_equal(subscribe(connect_client(0), "a", no_id, NULL), 0);
    publish_batch('a', plain, COUNT(plain), ID("1"));
    publish_batch('a', trailing, COUNT(trailing), ID("2"));
    publish_batch('a', named, COUNT(named), ID("3"));
    publish_batch('a', ending, COUNT(ending), "");
    assert_int_equal(stats().written, 2 + 3 + 3 + 3);
    assert_string_equal(fake_client_text(&clients[0]), whole);
    publish_batch('a', silent, COUNT(silent), "");
    assert_int_equal(stats().history_events, 4);
    connect_client(1);
    assert_int_equal(subscribe(&clients[1], "a", sse_str(ID("0")), &replay), 0);
    assert_int_equal(replay.messages, 4);
    assert_string_equal(fake_client_text(&clients[1]), whole);
    come_back(2, "a", sse_str("y"), SSE_REPLAY_COMPLETE, "");
    assert_int_equal(subscribe(connect_client(2), "a", sse_str(ID("3")), &replay), 0);
    assert_int_equal(replay.messages, 1);
    /* It broke off inside the batch: that place has no name. */
    come_back(2, "a", sse_str("x"), SSE_REPLAY_GAP, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_are_assigned_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_history_no_id_is_assigned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_epoch_has_its_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_random_epoch_differs_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(given_ids_name_places_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_is_looked_up_in_the_topics_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_of_another_topic_counts_if_one_alone_has_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_of_two_topics_asked_for_means_the_earlier_event, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_one_topic_forgets_another_still_knows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_that_may_be_of_a_lost_event_is_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_that_looks_assigned_cannot_be_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_that_is_given_again_means_the_later_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_whose_last_id_is_long_may_join, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_id_names_no_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(comments_are_not_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_without_id_gets_a_copy_with_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_is_replayed_as_a_whole, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
