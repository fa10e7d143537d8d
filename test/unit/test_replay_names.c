/* SPDX-License-Identifier: MIT */
/* Ids that publishers themselves give to their events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

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

/* A publisher may number the events of each topic separately. */
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
    /* The id says nothing about another topic. */
    come_back(0, "c", sse_str("1"), SSE_REPLAY_GAP, "");
    come_back(0, "", sse_str("1"), SSE_REPLAY_GAP, "");
}

/* A client may ask for other topics than before. Row L17. */
static void an_id_of_another_topic_counts_if_only_one_has_it(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 9}, .topic_history = {.events = 2}, .id_prefix = sse_str("E")});
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
    /* A discarded event may have had the id "two" as well. So the client receives all that follows, and is notified
     * of a gap. */
    (void)publish_named('a', "a7", "seven");
    come_back(0, "a", sse_str("two"), SSE_REPLAY_GAP, "data: a3\nid: three\n\ndata: a7\nid: seven\n\n");
}

/* It is unknown which of the two events the client has received. An event twice is better than none. */
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
        .history = {.events = 9}, .topic_history = {.events = 2}, .id_prefix = sse_str("E")});
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

/* Two topics number their events separately, and one has discarded the event that the client received last. */
static void an_id_that_may_be_of_a_lost_event_is_a_gap(void **state)
{
    char id[8];

    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 100}, .topic_history = {.events = 10}, .id_prefix = sse_str("E")});
    for (unsigned i = 1; i <= 30; i++) {
        (void)snprintf(id, sizeof(id), "%u", i);
        (void)publish_named('a', "a", id);
        if (i <= 5)
            (void)publish_named('b', "b", id);
    }
    (void)publish('b', "b6");
    come_back(0, "ab", sse_str("30"), SSE_REPLAY_COMPLETE, "data: b6\nid: E-0000000000000024\n\n");
    /* The last event of b, or one of a that many events follow. */
    assert_int_equal(join(prepare(1, SSE_OUTPUT_CALLBACK), "ab", sse_str("5")), 0);
    assert_int_equal(stats().gaps, 1);
    come_back(2, "b", sse_str("5"), SSE_REPLAY_COMPLETE, "data: b6\nid: E-0000000000000024\n\n");
}

/* If two topics have had the same id, a topic may have lost the event of an id that it does not know. */
static void an_id_is_doubtful_where_topics_share_ids(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        use_registry((struct sse_registry_options){
            .history = {.events = 9}, .topic_history = {.events = 2}, .id_prefix = sse_str("E")});
        (void)publish_named('a', "a1", "1");
        (void)publish_named('b', "b2", shared ? "1" : "2");
        (void)publish_named('a', "a3", "3");
        (void)publish_named('a', "a4", "4");
        (void)publish_named('b', "b5", "5");
        (void)publish('b', "b6");
        come_back(0, "ab", sse_str("5"), shared ? SSE_REPLAY_GAP : SSE_REPLAY_COMPLETE, EVENT("b6", "6"));
        come_back(0, "b", sse_str("5"), SSE_REPLAY_COMPLETE, EVENT("b6", "6"));
    }
}

/* Rooms number their events separately, and no client has two of them. The events to everyone have other ids. */
static void an_id_is_certain_where_the_topics_of_a_client_share_none(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 100}, .topic_history = {.events = 2}, .id_prefix = sse_str("E")});
    (void)publish_named('a', "a1", "1");
    (void)publish_named('b', "b1", "1");
    for (const char *number = "123"; *number; number++)
        (void)publish_named(' ', "all", (const char[]){'x', *number, '\0'});
    (void)publish_named('a', "a2", "2");
    come_back(0, "a", sse_str("2"), SSE_REPLAY_COMPLETE, "");
    come_back(0, "a", sse_str("x3"), SSE_REPLAY_COMPLETE, "data: a2\nid: 2\n\n");
    (void)publish_named('a', "a3", "3");
    come_back(0, "a", sse_str("3"), SSE_REPLAY_COMPLETE, "");
}

static void each_of_two_topics_that_share_an_id_is_doubtful(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 9}, .topic_history = {.events = 1}, .id_prefix = sse_str("E")});
    (void)publish_named('a', "a1", "1");
    (void)publish_named('b', "b2", "1");
    (void)publish_named('a', "a3", "3");
    (void)publish_named('b', "b4", "4");
    come_back(0, "ab", sse_str("3"), SSE_REPLAY_GAP, "data: b4\nid: 4\n\n");
    come_back(0, "ab", sse_str("4"), SSE_REPLAY_GAP, "");
    come_back(0, "a", sse_str("3"), SSE_REPLAY_COMPLETE, "");
    come_back(0, "b", sse_str("4"), SSE_REPLAY_COMPLETE, "");
}

/* Nobody has one of the two topics any more, and its event has expired. The client may have received that one. */
static void an_id_is_doubtful_although_the_other_topic_is_gone(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 9}, .history_age_ms = 1000, .id_prefix = sse_str("E")});
    (void)publish_named('a', "a1", "1");
    fake_platform_advance_ms(&platform, 600);
    (void)publish_named('b', "b1", "1");
    fake_platform_advance_ms(&platform, 400);
    assert_int_equal(stats().topics, 1);
    come_back(0, "b", sse_str("1"), SSE_REPLAY_COMPLETE, "");
    come_back(0, "ab", sse_str("1"), SSE_REPLAY_GAP, "");
}

/* Otherwise it would be mistaken for the place with its number. */
static void an_id_that_looks_assigned_cannot_be_given(void **state)
{
    const struct sse_event event = {.data = sse_str("x"), .id = sse_str(ID("7"))};
    const struct sse_text topic = sse_str("a");
    struct sse_message *message;

    (void)state;
    assert_int_equal(sse_registry_publish(registry, topic, &event, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish(registry, absent, &event, NULL), -EINVAL);
    assert_int_equal(sse_message_new(&message, &event, 1, &platform.platform), 0);
    assert_int_equal(sse_registry_publish_message(registry, topic, message, NULL), -EINVAL);
    assert_int_equal(sse_registry_publish_message(registry, absent, message, NULL), -EINVAL);
    sse_message_unref(message);
    assert_int_equal(stats().history_events, 0);
    (void)publish_named('a', "x", "e-0000000000000007");
    (void)publish_named('a', "x", "E-000000000000007");
    (void)publish_named('a', "x", "E-000000000000000G");
    use_registry((struct sse_registry_options){.id_prefix = sse_str("E")});
    assert_int_equal(sse_registry_publish(registry, topic, &event, NULL), 0);
}

/* A client that has received a part of a batch reconnects with the id of that part. */
static void no_event_of_a_batch_has_an_id_that_looks_assigned(void **state)
{
    const struct sse_event own = {.data = sse_str("id: " ID("7")), .id = sse_str("own")};
    const struct sse_event none = {.data = sse_str("x"), .comment = sse_str("id: " ID("7"))};
    const struct sse_event looks = {.data = sse_str("x"), .id = sse_str(ID("7"))};
    const struct sse_event batches[][3] = {
        {own, none, own}, {none, own, none}, {looks, own, own}, {own, looks, none}, {none, own, looks}};
    struct sse_message *message;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(batches); i++) {
        assert_int_equal(sse_message_new(&message, batches[i], 3, &platform.platform), 0);
        assert_int_equal(sse_registry_publish_message(registry, sse_str("a"), message, NULL),
                         i < 2 ? 0 : -EINVAL);
        sse_message_unref(message);
    }
    assert_int_equal(stats().history_events, 2);
}

/* An id with a length and no pointer is the caller's error. No byte is read. Row M2. */
static void an_id_without_bytes_is_refused(void **state)
{
    static const size_t sizes[] = {1, 18, 32, 33, SSE_ID_SIZE_MAX + 1, (size_t)100 << 20, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const struct sse_event event = {.data = sse_str("x"), .id = {NULL, sizes[i]}};

        assert_int_equal(sse_registry_publish(registry, sse_str("a"), &event, NULL), -EINVAL);
        assert_int_equal(join(prepare(0, SSE_OUTPUT_CALLBACK), "a", (struct sse_text){NULL, sizes[i]}),
                         -EINVAL);
    }
    assert_int_equal(stats().published, 0);
    assert_int_equal(stats().history_events, 0);
}

/* A history stores ids, so it limits their length. Without a history, any id is accepted. */
static void an_id_has_a_limit(void **state)
{
    static char id[SSE_ID_SIZE_MAX + 1];
    struct sse_event event = {.data = sse_str("x"), .id = {id, SSE_ID_SIZE_MAX}};
    struct sse_message *message;

    (void)state;
    memset(id, 'i', sizeof(id));
    assert_int_equal(sse_registry_publish(registry, sse_str("a"), &event, NULL), 0);
    (void)publish('a', "a2");
    come_back(0, "a", event.id, SSE_REPLAY_COMPLETE, EVENT("a2", "2"));
    event.id.len++;
    assert_int_equal(sse_registry_publish(registry, sse_str("a"), &event, NULL), -EMSGSIZE);
    assert_int_equal(sse_message_new(&message, &event, 1, &platform.platform), -EMSGSIZE);
    assert_int_equal(stats().published, 2);
    come_back(0, "a", event.id, SSE_REPLAY_GAP, "");
}

/* Clients received the later event last. */
static void a_repeated_id_means_the_later_event(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 3}, .id_prefix = sse_str("E")});
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

/* An empty id resets the client's last id. The event is retained and replayed, and its id names no place. */
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

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(given_ids_name_places_too),
        STAGE_TEST(an_id_is_looked_up_in_the_topics_asked_for),
        STAGE_TEST(an_id_of_another_topic_counts_if_only_one_has_it),
        STAGE_TEST(an_id_of_two_topics_asked_for_means_the_earlier_event),
        STAGE_TEST(what_one_topic_forgets_another_still_knows),
        STAGE_TEST(an_id_that_may_be_of_a_lost_event_is_a_gap),
        STAGE_TEST(an_id_is_doubtful_where_topics_share_ids),
        STAGE_TEST(an_id_is_certain_where_the_topics_of_a_client_share_none),
        STAGE_TEST(each_of_two_topics_that_share_an_id_is_doubtful),
        STAGE_TEST(an_id_is_doubtful_although_the_other_topic_is_gone),
        STAGE_TEST(an_id_that_looks_assigned_cannot_be_given),
        STAGE_TEST(no_event_of_a_batch_has_an_id_that_looks_assigned),
        STAGE_TEST(an_id_without_bytes_is_refused),
        STAGE_TEST(an_id_has_a_limit),
        STAGE_TEST(a_repeated_id_means_the_later_event),
        STAGE_TEST(an_empty_id_names_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
