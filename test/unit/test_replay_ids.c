/* SPDX-License-Identifier: MIT */
/* Ids that a registry assigns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

static void ids_are_assigned_in_order(void **state)
{
    (void)state;
    enter(0, "ab");
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
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_text(&clients[0]),
                        EVENT("1", "1") EVENT("2", "2") EVENT(
                            "all", "4") "data: own\nid: own\n\n: c\nretry: 7\n"
                                        ": c\nevent: type\ndata: t\nid: E-0000000000000006\nretry: 7\n\n");
    assert_int_equal(stats().history_events, 6);
}

static void without_history_no_id_is_assigned(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.id_prefix = sse_str("E")});
    enter(0, "a");
    assert_string_equal(publish('a', "1").id, "");
    assert_string_equal(publish(' ', "2").id, "");
    assert_string_equal(fake_client_text(&clients[0]), "data: 1\n\ndata: 2\n\n");
    come_back(1, "a", sse_str(ID("1")), SSE_REPLAY_GAP, "");
    come_back(1, "a", absent, SSE_REPLAY_NONE, "");
    assert_int_equal(stats().history_events, 0);
    assert_int_equal(stats().gaps, 1);
}

static void a_prefix_has_its_rules(void **state)
{
    static const char longest[SSE_ID_PREFIX_SIZE_MAX + 1] = "e";
    char full[SSE_ID_PREFIX_SIZE_MAX + 1];
    /* Every length without a pointer, also one that no prefix may have. */
    const struct sse_text bad[] = {sse_str(""), sse_str(" e"),   sse_str("e "),    sse_str("e\n"),
                                   {"e\0e", 3}, sse_str("\x7f"), sse_str("\xff"),  {longest, sizeof(longest)},
                                   {.len = 1},  {.len = 33},     {.len = SIZE_MAX}};
    struct sse_registry_options options = {
        .size = sizeof(options), .platform = &platform.platform, .history = {.events = 9}};
    struct sse_registry *refused = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        options.id_prefix = bad[i];
        assert_int_equal(sse_registry_new(&refused, &options), -EINVAL);
        assert_null(refused);
    }
    memset(full, 'F', sizeof(full));
    options.id_prefix = (struct sse_text){.ptr = full, .len = SSE_ID_PREFIX_SIZE_MAX};
    use_registry(options);
    assert_int_equal(strlen(publish('a', "1").id), SSE_ASSIGNED_ID_SIZE - 1);
    assert_memory_equal(publish('a', "2").id, full, SSE_ID_PREFIX_SIZE_MAX);
    come_back(0, "b", sse_str(publish('a', "3").id), SSE_REPLAY_COMPLETE, "");
}

/* A restarted process continues the numbering of the old one. Events of the old process are a gap, and are never
 * lost silently. */
static void a_restarted_process_continues(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 9}, .id_prefix = sse_str("E"), .first_id = 6, .gap_type = sse_str("gap")});
    come_back(0, "a", sse_str(ID("4")), SSE_REPLAY_GAP,
              "event: gap\ndata: " ID("4") "\ndata: \nid: " ID("4") "\n\n");
    come_back(0, "a", sse_str(ID("5")), SSE_REPLAY_COMPLETE, "");
    come_back(0, "a", sse_str(ID("6")), SSE_REPLAY_GAP,
              "event: gap\ndata: " ID("6") "\ndata: \nid: " ID("5") "\n\n");
    assert_string_equal(publish('a', "a6").id, ID("6"));
    assert_string_equal(publish('b', "b7").id, ID("7"));
    come_back(1, "a", sse_str(ID("5")), SSE_REPLAY_COMPLETE, EVENT("a6", "6"));
    come_back(1, "ab", sse_str(ID("6")), SSE_REPLAY_COMPLETE, EVENT("b7", "7"));
    come_back(1, "ab", sse_str(ID("3")), SSE_REPLAY_GAP,
              "event: gap\ndata: " ID("3") "\ndata: " ID("6") "\nid: " ID("3") "\n\n" EVENT("a6", "6")
                  EVENT("b7", "7"));
    assert_string_equal(clients[1].replay.oldest, ID("6"));
    /* Nothing is known either about a topic without a publish since the restart. */
    come_back(1, "x", sse_str(ID("3")), SSE_REPLAY_GAP,
              "event: gap\ndata: " ID("3") "\ndata: \nid: " ID("3") "\n\n");
    use_registry((struct sse_registry_options){
        .history = {.events = 9}, .id_prefix = sse_str("E"), .first_id = UINT64_C(0xabcdef0123456789)});
    assert_string_equal(publish('a', "1").id, "E-abcdef0123456789");
}

/* After a restart, no id is mistaken for an earlier one with the same number. */
static void a_random_prefix_differs_after_a_restart(void **state)
{
    char ids[3][SSE_ASSIGNED_ID_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
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

/* The server has sent it an event before. */
static void an_emitter_with_a_long_last_id_may_join(void **state)
{
    char id[SSE_ID_SIZE_MAX];
    struct sse_event event = {.data = sse_str("before"), .id = {id, sizeof(id)}};

    (void)state;
    memset(id, 'i', sizeof(id));
    assert_int_equal(sse_emitter_send(enter(0, "")->emitter, &event), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(subscribe(&clients[0], "a", absent, NULL), 0);
    fake_client_forget(&clients[0]);
    (void)publish('a', "1");
    assert_string_equal(fake_client_text(&clients[0]), EVENT("1", "1"));
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    (void)fake_loop_settle(&loop);
    assert_string_equal(clients[0].last_id, ID("1"));
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
    struct sse_delivery delivery;
    struct sse_message *message;
    char before[200] = "";

    assert_int_equal(sse_message_new(&message, events, count, &platform.platform), 0);
    assert_true(sse_message_bytes(message).len < sizeof(before));
    memcpy(before, sse_message_bytes(message).ptr, sse_message_bytes(message).len);
    assert_int_equal(sse_registry_publish_message(
                         registry, topic == ' ' ? absent : (struct sse_text){&topic, 1}, message, &delivery),
                     0);
    (void)fake_loop_settle(&loop);
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
    enter(0, "a");
    publish_batch('a', &plain, 1, ID("1"));
    publish_batch(' ', &full, 1, ID("2"));
    publish_batch('a', &named, 1, "");
    publish_batch('a', &comment, 1, "");
    (void)publish_event('a', full);
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_events(&clients[0]),
                        "data: x\nid: E-0000000000000001\n\n"
                        ": c\nevent: t\ndata: x\ndata: y\nid: E-0000000000000002\nretry: 12\n\n"
                        "data: n\nid: name\n\n: c\n"
                        ": c\nevent: t\ndata: x\ndata: y\nid: E-0000000000000004\nretry: 12\n\n");
    assert_int_equal(stats().history_events, 4);
}

/* A batch is replayed as it was sent, whatever is at its end. The id of its last event is its place. */
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

    (void)state;
    enter(0, "a");
    publish_batch('a', plain, COUNT_OF(plain), ID("1"));
    publish_batch('a', trailing, COUNT_OF(trailing), ID("2"));
    publish_batch('a', named, COUNT_OF(named), ID("3"));
    publish_batch('a', ending, COUNT_OF(ending), "");
    assert_int_equal(stats().events_written, 2 + 3 + 3 + 3);
    assert_string_equal(fake_client_events(&clients[0]), whole);
    publish_batch('a', silent, COUNT_OF(silent), "");
    assert_int_equal(stats().history_events, 4);
    assert_int_equal(join(prepare(1, SSE_OUTPUT_CALLBACK), "a", sse_str(ID("0"))), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(clients[1].replay.messages, 4);
    assert_string_equal(fake_client_events(&clients[1]), whole);
    come_back(2, "a", sse_str("y"), SSE_REPLAY_COMPLETE, "");
    assert_int_equal(join(prepare(2, SSE_OUTPUT_CALLBACK), "a", sse_str(ID("3"))), 0);
    assert_int_equal(clients[2].replay.messages, 1);
    /* The connection broke inside the batch. That place has no id. */
    come_back(2, "a", sse_str("x"), SSE_REPLAY_GAP, "");
}

static int publish_both_ways(const struct sse_event *event, struct sse_message *message)
{
    int error = sse_registry_publish(registry, absent, event, NULL);

    assert_int_equal(sse_registry_publish_message(registry, absent, message, NULL), error);
    return error;
}

/* With a history, the id line takes its part of the largest event, whichever way it is published. */
static void the_id_that_is_assigned_counts_at_the_maximum(void **state)
{
    static const size_t id_line = sizeof("id: " ID("0") "\n") - 1;
    char *data = malloc(SSE_EVENT_SIZE_MAX);
    struct sse_event event = {.data = {data, SSE_EVENT_SIZE_MAX - strlen("data: \n\n")}};
    struct sse_message *whole, *with_room;

    (void)state;
    assert_non_null(data);
    memset(data, 'x', SSE_EVENT_SIZE_MAX);
    assert_int_equal(sse_message_new(&whole, &event, 1, &platform.platform), 0);
    assert_int_equal(publish_both_ways(&event, whole), -EMSGSIZE);
    event.data.len -= id_line - 1;
    assert_int_equal(sse_message_new(&with_room, &event, 1, &platform.platform), 0);
    assert_int_equal(publish_both_ways(&event, with_room), -EMSGSIZE);
    sse_message_unref(with_room);
    assert_int_equal(stats().published, 0);
    event.data.len--;
    assert_int_equal(sse_message_new(&with_room, &event, 1, &platform.platform), 0);
    assert_int_equal(publish_both_ways(&event, with_room), 0);
    sse_message_unref(with_room);
    use_registry((struct sse_registry_options){.size = 0});
    event.data.len += id_line;
    assert_int_equal(publish_both_ways(&event, whole), 0);
    sse_message_unref(whole);
    free(data);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(ids_are_assigned_in_order),
        STAGE_TEST(without_history_no_id_is_assigned),
        STAGE_TEST(a_prefix_has_its_rules),
        STAGE_TEST(a_restarted_process_continues),
        STAGE_TEST(a_random_prefix_differs_after_a_restart),
        STAGE_TEST(an_emitter_with_a_long_last_id_may_join),
        STAGE_TEST(comments_are_not_kept),
        STAGE_TEST(a_message_without_id_gets_a_copy_with_one),
        STAGE_TEST(a_batch_is_replayed_as_a_whole),
        STAGE_TEST(the_id_that_is_assigned_counts_at_the_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
