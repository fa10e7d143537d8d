/* SPDX-License-Identifier: MIT */
/* A registry that shuts down: what each client receives, how it ends, and what is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdlib.h>

#define DRAIN_MS 2000
#define FINAL "data: bye\n\n"

static const struct sse_event final_event = {.data = {"bye", 3}};

static struct fake_client *enter_with_room(size_t which, size_t room)
{
    struct fake_client *client = enter(which, "");

    client->output.room = room;
    return client;
}

static void send_one(struct fake_client *client)
{
    assert_int_equal(send_data(client, "1"), 0);
    (void)fake_loop_settle(&loop);
}

static int shut_down(const struct sse_event *event, int64_t retry_min, int64_t retry_max, int64_t drain)
{
    const struct sse_shutdown_options options = {.size = sizeof(options),
                                                 .final_event = event,
                                                 .retry_min_ms = retry_min,
                                                 .retry_max_ms = retry_max,
                                                 .drain_ms = drain};
    int error = sse_registry_shutdown(registry, &options);

    (void)fake_loop_settle(&loop);
    return error;
}

static void expect_counts(size_t completed, size_t cut, uint64_t bytes_left)
{
    assert_true(stats().shutting_down);
    assert_int_equal(stats().shutdown_completed, completed);
    assert_int_equal(stats().shutdown_cut, cut);
    assert_int_equal(stats().shutdown_bytes_left, bytes_left);
}

/* Compared byte for byte, with blank lines and chunks. */
static void every_client_is_notified_and_ends(void **state)
{
    static const char chunked[] = "2\r\n:\n\r\nb\r\n" FINAL "\r\nd\r\nretry: 1234\n\n\r\n0\r\n\r\n";

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        prepare(i, i < 2 ? SSE_OUTPUT_CALLBACK : SSE_OUTPUT_PULL)->options.framing =
            i % 2 ? SSE_FRAMING_CHUNKED : SSE_FRAMING_RAW;
        assert_int_equal(join(&clients[i], "", absent), 0);
    }
    (void)fake_loop_settle(&loop);
    assert_int_equal(fake_client_pull(&clients[3]), 0);
    assert_int_equal(shut_down(&final_event, 1234, 1234, DRAIN_MS), 0);
    expect_counts(2, 0, 0);
    assert_int_equal(clients[3].readable, 2);
    assert_int_equal(fake_client_info(&clients[2]).state, SSE_STATE_DRAINING);
    assert_int_equal(fake_client_pull(&clients[2]), SSE_ENDED);
    expect_counts(3, 0, 0);
    assert_int_equal(fake_client_pull(&clients[3]), SSE_ENDED);
    expect_counts(4, 0, 0);
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < 4; i++) {
        expect_end(&clients[i], SSE_REASON_SHUTDOWN, 0);
        assert_int_equal(clients[i].completion.events, 1);
        assert_int_equal(clients[i].completion.dropped, 0);
        assert_string_equal(fake_client_text(&clients[i]), i % 2 ? chunked : ":\n" FINAL "retry: 1234\n\n");
        assert_int_equal(sse_emitter_send(clients[i].emitter, &final_event), SSE_ENDED);
    }
}

static void final_event_and_retry_are_optional(void **state)
{
    const struct {
        const struct sse_event *event;
        int64_t retry;
        const char *text;
    } cases[] = {{NULL, 0, ""},
                 {&final_event, 0, FINAL},
                 {NULL, SSE_RETRY_MAX, "retry: 2147483647\n\n"},
                 {NULL, 1, "retry: 1\n\n"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        use_registry((struct sse_registry_options){.size = 0});
        enter(0, "");
        assert_int_equal(shut_down(cases[i].event, cases[i].retry, cases[i].retry, 0), 0);
        assert_string_equal(fake_client_text(&clients[0]), cases[i].text);
        expect_end(&clients[0], SSE_REASON_SHUTDOWN, 0);
        expect_counts(1, 0, 0);
    }
}

/* The final event belongs to no topic. It gets no id and is not retained. */
static void the_final_event_is_not_published(void **state)
{
    (void)state;
    enter(0, "");
    (void)publish(' ', "bye");
    assert_int_equal(shut_down(&final_event, 0, 0, 0), 0);
    assert_string_equal(fake_client_text(&clients[0]), EVENT("bye", "1") FINAL);
    assert_string_equal(clients[0].last_id, ID("1"));
    assert_int_equal(stats().history_events, 1);
    assert_int_equal(stats().published, 1);
    assert_int_equal(stats().ended_by[SSE_REASON_SHUTDOWN], 1);
}

static void options_have_their_ranges(void **state)
{
    const int64_t bad[][2] = {{0, 1}, {1, 0}, {2, 1}, {-1, 5}, {-1, -1}, {1, SSE_RETRY_MAX + 1}, {0, -1}};
    const struct sse_shutdown_options no_size = {.size = 0};
    const struct sse_event wrong = {.type = sse_str("x")};

    (void)state;
    enter(0, "");
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(shut_down(NULL, bad[i][0], bad[i][1], 0), -ERANGE);
    assert_int_equal(shut_down(NULL, 0, 0, -1), -EINVAL);
    assert_int_equal(shut_down(&wrong, 0, 0, 0), -EINVAL);
    assert_int_equal(shut_down(&(struct sse_event){.data = sse_str("\xff")}, 0, 0, 0), -EILSEQ);
    assert_int_equal(sse_registry_shutdown(registry, NULL), -EINVAL);
    assert_int_equal(sse_registry_shutdown(registry, &no_size), -EINVAL);
    assert_int_equal(sse_registry_shutdown(NULL, &no_size), -EINVAL);
    assert_false(stats().shutting_down);
    expect_open(&clients[0]);
    assert_string_equal(fake_client_text(&clients[0]), "");
    assert_int_equal(shut_down(NULL, 1, SSE_RETRY_MAX, 0), 0);
    assert_int_equal(shut_down(NULL, 0, 0, 0), -EALREADY);
    assert_int_equal(shut_down(&final_event, 0, 0, 7), -EALREADY);
    assert_int_equal(shut_down(NULL, 0, 0, -1), -EINVAL);
    expect_counts(1, 0, 0);
}

static void nobody_can_join_any_more(void **state)
{
    (void)state;
    send_one(enter_with_room(0, 0));
    assert_int_equal(shut_down(NULL, 0, 0, DRAIN_MS), 0);
    assert_int_equal(join(prepare(1, SSE_OUTPUT_CALLBACK), "t", sse_str(ID("0"))), -ECONNREFUSED);
    assert_int_equal(count("t"), 0);
    expect_delivery(publish(' ', "late"), 0, 0, 0);
    assert_int_equal(stats().added, 1);
    expect_counts(0, 0, 0);
    fake_client_make_room(&clients[0], SIZE_MAX);
    assert_string_equal(fake_client_text(&clients[0]), "data: 1\n\n");
    expect_counts(1, 0, 0);
}

/* A partly written event is finished first, however full the queue is. */
static void queued_events_are_written_first(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);

    (void)state;
    client->options.queue_messages = 2;
    client->output.room = 2 + 4;
    assert_int_equal(join(client, "", absent), 0);
    send_one(client);
    send_one(client);
    assert_int_equal(shut_down(&final_event, 5, 5, DRAIN_MS), 0);
    assert_int_equal(fake_client_info(client).queued_messages, 4);
    fake_client_make_room(client, SIZE_MAX);
    assert_string_equal(fake_client_events(client), "data: 1\n\ndata: 1\n\n" FINAL "retry: 5\n\n");
    expect_end(client, SSE_REASON_SHUTDOWN, 0);
}

/* One drains in time, one is stuck, one's client has disconnected, one is ended in the middle of an event. */
static void streams_end_at_the_deadline(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        send_one(enter_with_room(i, 0));
    assert_int_equal(fake_loop_turn(&loop), -1);
    assert_int_equal(shut_down(&final_event, 77, 77, DRAIN_MS), 0);
    expect_counts(0, 0, 0);
    assert_int_equal(fake_loop_turn(&loop), DRAIN_MS);
    fake_client_make_room(&clients[0], SIZE_MAX);
    expect_counts(1, 0, 0);
    assert_int_equal(sse_emitter_abort(clients[2].emitter, -EPIPE), 0);
    expect_counts(1, 1, 9 + 11 + 11);
    fake_client_make_room(&clients[3], 12);
    advance_ms(DRAIN_MS - 1);
    expect_counts(1, 1, 31);
    assert_int_equal(fake_loop_turn(&loop), 1);
    advance_ms(1);
    expect_counts(1, 3, 31 + 31 + 31 - 12);
    expect_end(&clients[0], SSE_REASON_SHUTDOWN, 0);
    expect_end(&clients[2], SSE_REASON_DISCONNECTED, -EPIPE);
    for (size_t i = 1; i < 4; i += 2) {
        assert_int_equal(clients[i].completions, 1);
        assert_int_equal(clients[i].completion.reason, SSE_REASON_SHUTDOWN);
        assert_int_equal(clients[i].completion.error, -ETIMEDOUT);
    }
    assert_int_equal(clients[1].completion.dropped, 2);
    assert_int_equal(clients[3].completion.dropped, 1);
    assert_int_equal(clients[3].completion.events, 1);
    assert_int_equal(sse_emitter_send(clients[0].emitter, &final_event), SSE_ENDED);
    assert_int_equal(sse_emitter_send(clients[1].emitter, &final_event), -ETIMEDOUT);
    fake_client_make_room(&clients[1], SIZE_MAX);
    fake_client_make_room(&clients[3], SIZE_MAX);
    assert_int_equal(clients[1].output.size, 0);
    assert_int_equal(clients[3].output.size, 12);
}

/* The events behind a pause, after those sent during it, count as left too. */
static void paused_streams_end_at_the_deadline(void **state)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);

    (void)state;
    client->options.paused = true;
    assert_int_equal(join(client, "", absent), 0);
    (void)fake_loop_settle(&loop);
    client->output.room = 0;
    assert_int_equal(send_data(client, "now"), 0);
    (void)publish(' ', "later");
    assert_int_equal(sse_emitter_start(client->emitter, false), 0);
    assert_int_equal(shut_down(NULL, 0, 0, DRAIN_MS), 0);
    expect_counts(0, 0, 0);
    advance_ms(DRAIN_MS);
    expect_counts(0, 1, strlen("data: now\n\n" EVENT("later", "1")));
    assert_int_equal(client->completion.dropped, 2);
}

/* Each output has one chance, in the loop's next turn. */
static void without_a_drain_time_the_next_turn_is_the_last(void **state)
{
    (void)state;
    enter_with_room(0, SIZE_MAX);
    enter_with_room(1, 15);
    for (size_t i = 2; i < 4; i++)
        assert_int_equal(join(prepare(i, SSE_OUTPUT_PULL), "", absent), 0);
    (void)fake_loop_settle(&loop);
    send_one(&clients[3]);
    assert_int_equal(sse_emitter_complete(clients[3].emitter), 0);
    assert_int_equal(shut_down(&final_event, 5, 5, 0), 0);
    expect_counts(1, 3, 21 - 15 + 2 + 21 + 2 + 9);
    expect_end(&clients[0], SSE_REASON_SHUTDOWN, 0);
    expect_end(&clients[1], SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    expect_end(&clients[2], SSE_REASON_SHUTDOWN, -ETIMEDOUT);
    expect_end(&clients[3], SSE_REASON_DRAIN_TIMEOUT, -ETIMEDOUT);
    assert_int_equal(fake_client_pull(&clients[2]), -ETIMEDOUT);
    assert_string_equal(fake_client_text(&clients[0]), FINAL "retry: 5\n\n");
    assert_string_equal(fake_client_text(&clients[1]), FINAL "retr");
    assert_string_equal(fake_client_text(&clients[2]), "");
}

/* They end for their earlier reason. Only their deadline may become earlier. */
static void ending_emitters_keep_their_reason(void **state)
{
    const int64_t drains[] = {DRAIN_MS / 2, DRAIN_MS * 2, SSE_TIMER_OFF, DRAIN_MS * 2};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(drains); i++) {
        prepare(i, SSE_OUTPUT_CALLBACK)->options.drain_ms = drains[i];
        if (i == 3)
            clients[i].options.lifetime_ms = 10;
        clients[i].output.room = 2;
        assert_int_equal(join(&clients[i], "", absent), 0);
        send_one(&clients[i]);
        if (i < 3)
            assert_int_equal(sse_emitter_complete(clients[i].emitter), 0);
    }
    advance_ms(10);
    assert_int_equal(fake_client_info(&clients[3]).state, SSE_STATE_DRAINING);
    assert_int_equal(shut_down(&final_event, 5, 5, DRAIN_MS), 0);
    advance_ms(DRAIN_MS / 2);
    expect_end(&clients[0], SSE_REASON_DRAIN_TIMEOUT, -ETIMEDOUT);
    expect_counts(0, 1, 9);
    fake_client_make_room(&clients[2], SIZE_MAX);
    expect_end(&clients[2], SSE_REASON_COMPLETED, 0);
    assert_string_equal(fake_client_events(&clients[2]), "data: 1\n\n");
    expect_counts(1, 1, 9);
    advance_ms(DRAIN_MS / 2);
    expect_end(&clients[1], SSE_REASON_DRAIN_TIMEOUT, -ETIMEDOUT);
    expect_end(&clients[3], SSE_REASON_DRAIN_TIMEOUT, -ETIMEDOUT);
    expect_counts(1, 3, 27);
}

/* drain_ms of an emitter counts from complete or the lifetime. A shutdown has its own drain time. */
static void the_drain_time_is_that_of_the_shutdown(void **state)
{
    const int64_t drains[] = {DRAIN_MS / 2, DRAIN_MS * 2, 0, SSE_TIMER_OFF};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(drains); i++) {
        prepare(i, SSE_OUTPUT_CALLBACK)->options.drain_ms = drains[i];
        clients[i].output.room = 2;
        assert_int_equal(join(&clients[i], "", absent), 0);
        (void)fake_loop_settle(&loop);
    }
    assert_int_equal(shut_down(&final_event, 0, 0, 6000), 0);
    advance_ms(5999);
    expect_counts(0, 0, 0);
    advance_ms(1);
    expect_counts(0, 4, 44);
    for (size_t i = 0; i < COUNT_OF(drains); i++)
        expect_end(&clients[i], SSE_REASON_SHUTDOWN, -ETIMEDOUT);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(every_client_is_notified_and_ends),
        STAGE_TEST(final_event_and_retry_are_optional),
        STAGE_TEST(the_final_event_is_not_published),
        STAGE_TEST(options_have_their_ranges),
        STAGE_TEST(nobody_can_join_any_more),
        STAGE_TEST(queued_events_are_written_first),
        STAGE_TEST(streams_end_at_the_deadline),
        STAGE_TEST(paused_streams_end_at_the_deadline),
        STAGE_TEST(without_a_drain_time_the_next_turn_is_the_last),
        STAGE_TEST(ending_emitters_keep_their_reason),
        STAGE_TEST(the_drain_time_is_that_of_the_shutdown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
