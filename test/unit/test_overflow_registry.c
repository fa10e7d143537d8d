/* SPDX-License-Identifier: MIT */
/* What a publish does to full queues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define POLICIES 4

static int use_plain_registry(void **state)
{
    (void)set_up(state);
    use_registry((struct sse_registry_options){.size = 0});
    return 0;
}

/* A client whose output is full, and that has received the beginning of its stream. */
static struct fake_client *enter_with(size_t which, enum sse_overflow overflow, size_t bytes, size_t messages)
{
    struct fake_client *client = prepare(which, SSE_OUTPUT_CALLBACK);

    client->options.overflow = overflow;
    client->options.queue_bytes = bytes;
    client->options.queue_messages = messages;
    assert_int_equal(join(client, "t", absent), 0);
    (void)fake_loop_settle(&loop);
    fake_client_forget(client);
    client->output.room = 0;
    return client;
}

static struct sse_delivery publish_keyed(const char *data, const char *key)
{
    struct sse_delivery delivery =
        publish_event('t', (struct sse_event){.data = sse_str(data), .key = sse_str(key)});

    (void)fake_loop_settle(&loop);
    return delivery;
}

static void each_policy_has_its_count(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICIES; i++)
        enter_with(i, (enum sse_overflow)i, 0, 1);
    expect_delivery(publish('t', "a"), 4, 0, 0);
    expect_delivery(publish('t', "b"), 1, 1, 2);
    expect_delivery(publish('t', "c"), 1, 1, 0);
    assert_int_equal(stats().dropped, 1 + 2 + 2 + 1);
    assert_int_equal(stats().queued, 4 + 1 + 1);
    assert_int_equal(stats().ended_by[SSE_REASON_OVERFLOW], 2);
    assert_int_equal(stats().emitters, 2);
    assert_int_equal(stats().backlog_bytes, 2 * strlen("data: a\n\n"));
    fake_client_make_room(&clients[SSE_OVERFLOW_DROP_NEWEST], SIZE_MAX);
    expect_delivery(publish('t', "d"), 2, 0, 0);
    fake_client_make_room(&clients[SSE_OVERFLOW_DROP_OLDEST], SIZE_MAX);
    expect_delivery(publish('t', "e"), 2, 0, 0);
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_END]), "");
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_DROP_NEWEST]),
                        "data: a\n\ndata: d\n\ndata: e\n\n");
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_DROP_OLDEST]), "data: d\n\ndata: e\n\n");
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_COALESCE]), "");
    assert_int_equal(stats().backlog_bytes, 0);
    assert_int_equal(stats().dropped, 1 + 2 + 3 + 1);
    assert_int_equal(stats().events_written, 5);
    expect_end(&clients[SSE_OVERFLOW_END], SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(clients[SSE_OVERFLOW_COALESCE].completion.dropped, 1);
}

/* The rest of a partly written message is not dropped for a published one either. */
static void a_partly_written_event_is_finished(void **state)
{
    (void)state;
    enter_with(0, SSE_OVERFLOW_DROP_OLDEST, 0, 2)->output.room = 3;
    enter_with(1, SSE_OVERFLOW_COALESCE, 0, 2)->output.room = 3;
    expect_delivery(publish_keyed("a", "k"), 2, 0, 0);
    expect_delivery(publish_keyed("b", "k"), 2, 0, 0);
    expect_delivery(publish_keyed("c", "k"), 2, 0, 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fake_client_info(&clients[i]).dropped, 1);
        fake_client_make_room(&clients[i], SIZE_MAX);
        assert_string_equal(fake_client_text(&clients[i]), "data: a\n\ndata: c\n\n");
    }
    assert_int_equal(stats().dropped, 2);
}

/* A slow client that coalesces receives the newest value of each key, with ids in order. */
static void a_slow_client_sees_the_newest_of_each_key(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){.history = {.events = 100}, .id_prefix = sse_str("E")});
    enter_with(0, SSE_OVERFLOW_COALESCE, 0, 3);
    for (size_t i = 0; i < 10; i++) {
        char data[24];

        (void)snprintf(data, sizeof(data), "%zu", i);
        expect_delivery(publish_keyed(data, (const char *const[]){"x", "y", "z"}[i % 3]), 1, 0, 0);
    }
    assert_int_equal(stats().dropped, 7);
    fake_client_make_room(&clients[0], SIZE_MAX);
    assert_string_equal(fake_client_text(&clients[0]), EVENT("7", "8") EVENT("8", "9") EVENT("9", "a"));
}

static int publish_size(const char *topic, size_t size)
{
    static char data[1000];
    struct sse_event event = {.data = {data, size - strlen("data: \n\n")}};

    memset(data, 'x', sizeof(data));
    return sse_registry_publish(registry, topic ? sse_str(topic) : absent, &event, NULL);
}

/* Whatever the queues and policies are: the event fits nowhere, so nobody receives it. */
static void an_event_that_never_fits_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICIES; i++)
        enter_with(i, (enum sse_overflow)i, 20 + i, 0);
    assert_int_equal(publish_size("t", 20), 0);
    assert_int_equal(publish_size("t", 21), -EMSGSIZE);
    assert_int_equal(publish_size(NULL, 21), -EMSGSIZE);
    assert_int_equal(publish_size("u", 1000), 0);
    assert_int_equal(stats().published, 2);
    assert_int_equal(stats().emitters, POLICIES);
    assert_int_equal(stats().dropped, 0);
    for (size_t i = 0; i < POLICIES; i++) {
        expect_open(&clients[i]);
        fake_client_make_room(&clients[i], SIZE_MAX);
        assert_string_equal(fake_client_text(&clients[i]), "data: xxxxxxxxxxxx\n\n");
    }
}

/* Only receivers count: not emitters that drain, and not those that have ended. */
static void only_receivers_decide_whether_it_fits(void **state)
{
    (void)state;
    enter_with(0, SSE_OVERFLOW_END, 100, 0);
    enter_with(1, SSE_OVERFLOW_END, 200, 0);
    enter_with(2, SSE_OVERFLOW_DROP_NEWEST, 300, 0);
    assert_int_equal(publish_size("t", 100), 0);
    assert_int_equal(publish_size("t", 101), -EMSGSIZE);
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(publish_size("t", 200), 0);
    assert_int_equal(publish_size("t", 201), -EMSGSIZE);
    fake_client_make_room(&clients[1], SIZE_MAX);
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(publish_size("t", 201), 0);
}

/* Whoever looks at all queues remembers the smallest: one that joins later counts, and so does one that
 * another publish had no need to look at. */
static void the_smallest_queue_is_known_after_others_have_left(void **state)
{
    (void)state;
    enter_with(0, SSE_OVERFLOW_END, 300, 0);
    enter_with(1, SSE_OVERFLOW_END, 20, 0);
    assert_int_equal(sse_emitter_abort(clients[1].emitter, -EPIPE), 0);
    assert_int_equal(publish_size(NULL, 100), 0);
    assert_int_equal(publish_size(NULL, 301), -EMSGSIZE);
    enter_with(1, SSE_OVERFLOW_END, 50, 0);
    assert_int_equal(publish_size(NULL, 100), -EMSGSIZE);
    assert_int_equal(join(prepare(2, SSE_OUTPUT_CALLBACK), "u", absent), 0);
    assert_int_equal(publish_size("u", 100), 0);
    assert_int_equal(publish_size(NULL, 100), -EMSGSIZE);
}

/* The frame of a chunk needs room too. */
static void an_event_that_never_fits_with_its_frame_is_refused(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);

    (void)state;
    client->options.framing = SSE_FRAMING_CHUNKED;
    client->options.queue_bytes = 100;
    assert_int_equal(join(client, "t", absent), 0);
    assert_int_equal(publish_size("t", 94), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(publish_size("t", 95), -EMSGSIZE);
}

/* A queue needs memory for its second message, not for its first. */
static void without_memory_for_a_queue_others_go_on(void **state)
{
    struct sse_delivery delivery;
    struct sse_message *message;

    (void)state;
    for (size_t i = 0; i < POLICIES; i++)
        enter_with(i, (enum sse_overflow)i, 0, 0);
    enter(4, "t");
    expect_delivery(publish('t', "a"), 5, 0, 0);
    assert_int_equal(
        sse_message_new(&message, &(struct sse_event){.data = sse_str("c")}, 1, &platform.platform), 0);
    fake_platform_fail_at(&platform, 1, true);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, &delivery), 0);
    fake_platform_fail_at(&platform, 0, false);
    sse_message_unref(message);
    expect_delivery(delivery, 2, 1, 2);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[SSE_OVERFLOW_END], SSE_REASON_OVERFLOW, -ENOMEM);
    expect_end(&clients[SSE_OVERFLOW_COALESCE], SSE_REASON_OVERFLOW, -ENOMEM);
    assert_string_equal(fake_client_text(&clients[4]), "data: a\n\ndata: c\n\n");
    expect_delivery(publish('t', "d"), 3, 0, 0);
    assert_int_equal(stats().dropped, 1 + 1 + 1 + 1);
}

static void a_batch_is_dropped_as_a_whole(void **state)
{
    const struct sse_event events[] = {
        {.data = sse_str("1")}, {.data = sse_str("2")}, {.comment = sse_str("3")}};
    struct sse_delivery delivery;
    struct sse_message *batch;

    (void)state;
    enter_with(0, SSE_OVERFLOW_DROP_OLDEST, 0, 2);
    enter_with(1, SSE_OVERFLOW_DROP_NEWEST, 0, 2);
    assert_int_equal(sse_message_new(&batch, events, COUNT_OF(events), &platform.platform), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), batch, &delivery), 0);
        (void)fake_loop_settle(&loop);
    }
    sse_message_unref(batch);
    expect_delivery(delivery, 1, 1, 0);
    assert_int_equal(fake_client_info(&clients[0]).dropped, 3);
    assert_int_equal(fake_client_info(&clients[1]).dropped, 3);
    expect_delivery(publish('t', "x"), 1, 1, 0);
    assert_int_equal(fake_client_info(&clients[0]).dropped, 6);
    assert_int_equal(fake_client_info(&clients[1]).dropped, 4);
    assert_int_equal(stats().dropped, 10);
}

/* There is memory for the event, and none for a queue of two. */
static struct sse_delivery publish_with_memory_for_one(const char *data)
{
    struct sse_delivery delivery;

    fake_platform_fail_at(&platform, 2, true);
    delivery = publish_event('t', (struct sse_event){.data = sse_str(data)});
    fake_platform_fail_at(&platform, 0, false);
    return delivery;
}

/* The policy decides as if the queue were full. */
static void without_memory_for_a_queue_each_policy_decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICIES; i++)
        enter_with(i, (enum sse_overflow)i, 0, 5);
    enter_with(POLICIES, SSE_OVERFLOW_DROP_OLDEST, 0, 5)->output.room = 1;
    expect_delivery(publish('t', "a"), 5, 0, 0);
    expect_delivery(publish_with_memory_for_one("b"), 1, 2, 2);
    (void)fake_loop_settle(&loop);
    expect_end(&clients[SSE_OVERFLOW_END], SSE_REASON_OVERFLOW, -ENOMEM);
    expect_end(&clients[SSE_OVERFLOW_COALESCE], SSE_REASON_OVERFLOW, -ENOMEM);
    for (size_t i = SSE_OVERFLOW_DROP_NEWEST; i <= POLICIES; i++)
        if (i != SSE_OVERFLOW_COALESCE)
            fake_client_make_room(&clients[i], SIZE_MAX);
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_DROP_NEWEST]), "data: a\n\n");
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_DROP_OLDEST]), "data: b\n\n");
    /* What is partly written cannot be dropped. */
    assert_string_equal(fake_client_text(&clients[POLICIES]), "data: a\n\n");
    assert_int_equal(stats().dropped, 5);
}

/* If the output was not tried yet, four times the limit is allowed, and no more. */
static void before_its_turn_a_queue_holds_four_times_its_limits(void **state)
{
    (void)state;
    for (size_t by_bytes = 0; by_bytes < 2; by_bytes++) {
        for (size_t i = 0; i < POLICIES; i++)
            enter_with(i, (enum sse_overflow)i, by_bytes ? 5 * 9 : 0, by_bytes ? 0 : 5)->output.room =
                SIZE_MAX;
        for (size_t i = 0; i < 4 * 5; i++)
            expect_delivery(publish_event('t', (struct sse_event){.data = sse_str("x")}), 4, 0, 0);
        (void)fake_loop_settle(&loop);
        for (size_t i = 0; i < POLICIES; i++) {
            expect_open(&clients[i]);
            assert_int_equal(clients[i].output.size, 20 * 9);
            assert_int_equal(fake_client_info(&clients[i]).dropped, 0);
        }
        for (size_t i = 0; i < 4 * 5; i++)
            expect_delivery(publish_event('t', (struct sse_event){.data = sse_str("x")}), 4, 0, 0);
        expect_delivery(publish_event('t', (struct sse_event){.data = sse_str("x")}), 1, 1, 2);
        (void)fake_loop_settle(&loop);
        expect_end(&clients[SSE_OVERFLOW_END], SSE_REASON_OVERFLOW, -ENOBUFS);
        expect_open(&clients[SSE_OVERFLOW_DROP_NEWEST]);
        expect_open(&clients[SSE_OVERFLOW_DROP_OLDEST]);
    }
}

/* After the owner's turn, which could not write, the limit itself counts. */
static void after_its_turn_a_queue_is_held_to_its_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICIES; i++)
        enter_with(i, (enum sse_overflow)i, 0, 5)->output.room = i == SSE_OVERFLOW_DROP_NEWEST ? 9 : 0;
    for (size_t i = 0; i < 12; i++) {
        char data[24];

        (void)snprintf(data, sizeof(data), "%zu", i % 10);
        expect_delivery(publish_event('t', (struct sse_event){.data = sse_str(data)}), 4, 0, 0);
    }
    (void)fake_loop_settle(&loop);
    expect_end(&clients[SSE_OVERFLOW_END], SSE_REASON_OVERFLOW, -ENOBUFS);
    expect_end(&clients[SSE_OVERFLOW_COALESCE], SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(fake_client_info(&clients[SSE_OVERFLOW_DROP_NEWEST]).queued_messages, 5);
    assert_int_equal(fake_client_info(&clients[SSE_OVERFLOW_DROP_NEWEST]).dropped, 12 - 6);
    assert_int_equal(fake_client_info(&clients[SSE_OVERFLOW_DROP_OLDEST]).queued_messages, 5);
    assert_int_equal(fake_client_info(&clients[SSE_OVERFLOW_DROP_OLDEST]).dropped, 12 - 5);
    fake_client_make_room(&clients[SSE_OVERFLOW_DROP_NEWEST], SIZE_MAX);
    fake_client_make_room(&clients[SSE_OVERFLOW_DROP_OLDEST], SIZE_MAX);
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_DROP_NEWEST]),
                        "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\ndata: 5\n\n");
    assert_string_equal(fake_client_text(&clients[SSE_OVERFLOW_DROP_OLDEST]),
                        "data: 7\n\ndata: 8\n\ndata: 9\n\ndata: 0\n\ndata: 1\n\n");
}

/* If a reader was notified and has not come, its output counts as tried. */
static void a_reader_that_does_not_come_overflows(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_PULL);
    struct sse_delivery delivery = {.ended = 0};
    size_t published = 0;

    (void)state;
    client->options.queue_messages = 5;
    assert_int_equal(join(client, "t", absent), 0);
    assert_int_equal(fake_client_pull(client), 0);
    while (!delivery.ended && published < 100) {
        delivery = publish('t', "x");
        published++;
    }
    assert_in_range(published, 6, 4 * 5 + 1);
    expect_end(client, SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(sse_emitter_read(client->emitter, &(char){0}, 1), -EIO);
}

/* Every receiver is in exactly one of the three counts. Every accepted event is written, dropped or queued. */
static void every_delivery_is_accounted_for(void **state)
{
    size_t ended = 0, receivers = 0, refused = 0;

    (void)state;
    for (size_t i = 0; i < 8; i++)
        enter_with(i, (enum sse_overflow)(i % POLICIES), 0, 3 + i);
    for (size_t round = 0; round < 500; round++) {
        uint64_t random = platform.platform.random(&platform);
        size_t members = count("t"), queued = 0;
        struct sse_delivery delivery = publish_event(
            't', (struct sse_event){.data = sse_str("x"),
                                    .key = sse_str((const char *const[]){NULL, "k", "l"}[random % 3])});

        assert_int_equal(delivery.receivers + delivery.dropped + delivery.ended, members);
        receivers += delivery.receivers;
        refused += delivery.dropped;
        ended += delivery.ended;
        if (round % 3 == 0)
            fake_client_make_room(&clients[random >> 8 & 7], (size_t)(random >> 16) % 60);
        if (round % 5 == 0)
            (void)fake_loop_settle(&loop);
        for (size_t i = 0; i < 8; i++)
            queued += fake_client_info(&clients[i]).queued_messages;
        assert_int_equal(stats().queued, receivers);
        assert_int_equal(stats().events_written + stats().dropped + queued, receivers + refused);
    }
    (void)fake_loop_settle(&loop);
    assert_true(stats().ended_by[SSE_REASON_OVERFLOW] >= ended);
    assert_true(ended > 0);
    assert_int_equal(stats().emitters, 8 - stats().ended_by[SSE_REASON_OVERFLOW]);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, use_plain_registry, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(each_policy_has_its_count),
        STAGE_TEST(a_partly_written_event_is_finished),
        STAGE_TEST(a_slow_client_sees_the_newest_of_each_key),
        STAGE_TEST(an_event_that_never_fits_is_refused),
        STAGE_TEST(only_receivers_decide_whether_it_fits),
        STAGE_TEST(the_smallest_queue_is_known_after_others_have_left),
        STAGE_TEST(an_event_that_never_fits_with_its_frame_is_refused),
        STAGE_TEST(without_memory_for_a_queue_others_go_on),
        STAGE_TEST(a_batch_is_dropped_as_a_whole),
        STAGE_TEST(without_memory_for_a_queue_each_policy_decides),
        STAGE_TEST(before_its_turn_a_queue_holds_four_times_its_limits),
        STAGE_TEST(after_its_turn_a_queue_is_held_to_its_limits),
        STAGE_TEST(a_reader_that_does_not_come_overflows),
        STAGE_TEST(every_delivery_is_accounted_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
