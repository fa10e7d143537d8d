/* SPDX-License-Identifier: MIT */
/* What a registry counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fanout/registry.h"
#include "registry_stage.h"

#include <stdio.h>
#include <stdlib.h>

#define WITH_ID(data, digit) strlen(EVENT(data, digit))

static void use_plain_registry(void)
{
    use_registry((struct sse_registry_options){.size = 0});
}

static void a_new_registry_counts_nothing(void **state)
{
    struct sse_registry_stats nothing, found;

    (void)state;
    memset(&nothing, 0, sizeof(nothing));
    found = stats();
    assert_memory_equal(&found, &nothing, sizeof(found));
    assert_int_equal(sse_registry_get_stats(registry, NULL, sizeof(found)), -EINVAL);
    assert_int_equal(sse_registry_get_stats(NULL, &found, sizeof(found)), -EINVAL);
    assert_int_equal(sse_registry_get_stats(registry, &found, 0), -EINVAL);
}

/* A program that was compiled with an older version has a smaller struct. */
static void a_smaller_struct_gets_what_it_has(void **state)
{
    struct sse_registry_stats all, part;

    (void)state;
    enter(0, "t");
    (void)publish('t', "1");
    all = stats();
    for (size_t size = sizeof(size_t); size < sizeof(all); size += sizeof(uint64_t)) {
        memset(&part, 0xa5, sizeof(part));
        assert_int_equal(sse_registry_get_stats(registry, &part, size), 0);
        assert_memory_equal(&part, &all, size);
        assert_int_equal(((unsigned char *)&part)[size], 0xa5);
    }
}

/* A program that was compiled with a newer version has a larger struct. The rest is zero. */
static void a_larger_struct_is_filled_with_zeros(void **state)
{
    struct {
        struct sse_registry_stats known;
        unsigned char later[40];
    } larger;
    const struct sse_registry_stats all = stats();

    (void)state;
    memset(&larger, 0xa5, sizeof(larger));
    assert_int_equal(sse_registry_get_stats(registry, &larger.known, sizeof(larger) - 1), 0);
    assert_memory_equal(&larger.known, &all, sizeof(all));
    for (size_t i = 0; i < sizeof(larger.later) - 1; i++)
        assert_int_equal(larger.later[i], 0);
    assert_int_equal(larger.later[sizeof(larger.later) - 1], 0xa5);
}

static void current_numbers_are_counted(void **state)
{
    (void)state;
    enter(0, "t")->output.room = 0;
    enter(1, "tu");
    assert_int_equal(stats().emitters, 2);
    assert_int_equal(stats().remaining, 2);
    assert_int_equal(stats().topics, 2);
    (void)publish_event('t', (struct sse_event){.data = sse_str("1")});
    assert_int_equal(stats().backlog_bytes, 2 * WITH_ID("1", "1"));
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().backlog_bytes, WITH_ID("1", "1"));
    assert_int_equal(stats().history_events, 1);
    assert_true(stats().history_bytes > WITH_ID("1", "1"));
    assert_int_equal(sse_emitter_abort(clients[1].emitter, -EIO), 0);
    assert_int_equal(stats().emitters, 1);
    assert_int_equal(stats().remaining, 2);
    assert_int_equal(stats().topics, 1);
    fake_client_free(&clients[1]);
    assert_int_equal(stats().remaining, 1);
    fake_client_make_room(&clients[0], 5);
    assert_int_equal(stats().backlog_bytes, WITH_ID("1", "1") - 5);
    assert_int_equal(unsubscribe(&clients[0], "t"), 0);
    assert_int_equal(stats().topics, 1);
    assert_int_equal(sse_emitter_abort(clients[0].emitter, -EPIPE), 0);
    assert_int_equal(stats().backlog_bytes, 0);
    assert_int_equal(stats().emitters, 0);
    assert_int_equal(stats().added, 2);
    assert_false(stats().shutting_down);
}

/* Another thread has written bytes before the publish counts them as queued. */
static void a_backlog_is_never_below_0(void **state)
{
    (void)state;
    use_plain_registry();
    atomic_store(&registry->group.tally.queued, (size_t)-1);
    assert_int_equal(stats().backlog_bytes, 0);
    atomic_store(&registry->group.tally.queued, 1);
    assert_int_equal(stats().backlog_bytes, 1);
    atomic_store(&registry->group.tally.queued, 0);
}

/* Heartbeats and heads count as bytes, not as events. */
static void written_events_and_bytes_are_counted(void **state)
{
    const struct sse_event batch[] = {
        {.data = sse_str("a")}, {.data = sse_str("b")}, {.comment = sse_str("c")}};
    const struct sse_http_options http = {.size = sizeof(http), .chunked = true};
    struct sse_message *message;

    (void)state;
    use_plain_registry();
    prepare(0, SSE_OUTPUT_CALLBACK)->options.http = &http;
    clients[0].options.retry_ms = 5;
    clients[0].options.heartbeat_ms = 1000;
    assert_int_equal(join(&clients[0], "t", absent), 0);
    assert_int_equal(join(prepare(1, SSE_OUTPUT_CALLBACK), "t", absent), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().events_written, 0);
    assert_int_equal(sse_message_new(&message, batch, COUNT_OF(batch), &platform.platform), 0);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, NULL), 0);
    assert_int_equal(sse_registry_publish_message(registry, absent, message, NULL), 0);
    sse_message_unref(message);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().events_written, 2 * 2 * 3);
    assert_int_equal(send_data(&clients[1], "to one"), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().events_written, 2 * 2 * 3 + 1);
    advance_ms(1000);
    assert_int_equal(stats().events_written, 2 * 2 * 3 + 1);
    assert_int_equal(stats().bytes_written, clients[0].output.size + clients[1].output.size);
    assert_int_equal(stats().published, 2);
    assert_int_equal(stats().queued, 2 * 2);
}

static void only_published_events_are_counted(void **state)
{
    (void)state;
    (void)publish('t', "to nobody");
    (void)publish(' ', "to nobody");
    assert_int_equal(stats().published, 2);
    assert_int_equal(sse_registry_publish(registry, absent, &(struct sse_event){.type = sse_str("x")}, NULL),
                     -EINVAL);
    fake_platform_fail_at(&platform, 1, true);
    assert_int_equal(sse_registry_publish(registry, absent, &(struct sse_event){.data = sse_str("x")}, NULL),
                     -ENOMEM);
    fake_platform_fail_at(&platform, 0, false);
    assert_int_equal(stats().published, 2);
    assert_int_equal(stats().queued, 0);
    enter(0, "t")->output.room = 0;
    (void)publish('t', "1");
    assert_int_equal(stats().queued, 1);
    assert_int_equal(stats().events_written, 0);
}

static void events_that_were_never_written_are_dropped(void **state)
{
    (void)state;
    use_plain_registry();
    prepare(0, SSE_OUTPUT_CALLBACK)->options.overflow = SSE_OVERFLOW_DROP_OLDEST;
    clients[0].options.queue_messages = 2;
    assert_int_equal(join(&clients[0], "t", absent), 0);
    enter(1, "t")->output.room = 9 + 4;
    clients[0].output.room = 0;
    (void)publish('t', "1");
    (void)publish('t', "2");
    assert_int_equal(stats().dropped, 0);
    (void)publish('t', "3");
    assert_int_equal(stats().dropped, 1);
    assert_int_equal(sse_emitter_abort(clients[1].emitter, -EPIPE), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().dropped, 1 + 2);
    assert_int_equal(clients[1].completion.dropped, 2);
    fake_client_make_room(&clients[0], SIZE_MAX);
    assert_int_equal(stats().dropped, 3);
    assert_int_equal(stats().events_written, 1 + 2);
    assert_int_equal(stats().published, 3);
}

/* Of a truncated batch, the client has the events before the cut. The others were dropped. */
static void each_event_of_a_truncated_batch_is_counted_once(void **state)
{
    const struct sse_event batch[] = {{.data = sse_str("1")}, {.data = sse_str("2")}, {.data = sse_str("3")}};
    struct sse_message *message;

    (void)state;
    use_plain_registry();
    enter(0, "t")->output.room = strlen("data: 1\n\ndata: 2\n\nda");
    assert_int_equal(sse_message_new(&message, batch, COUNT_OF(batch), &platform.platform), 0);
    assert_int_equal(sse_registry_publish_message(registry, absent, message, NULL), 0);
    sse_message_unref(message);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().events_written, 0);
    assert_int_equal(sse_emitter_abort(clients[0].emitter, -EPIPE), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(clients[0].completion.events, 2);
    assert_int_equal(clients[0].completion.dropped, 1);
    assert_int_equal(stats().events_written, 2);
    assert_int_equal(stats().dropped, 1);
}

static void replays_and_gaps(void **state)
{
    (void)state;
    use_registry((struct sse_registry_options){
        .history = {.events = 3}, .id_prefix = sse_str("E"), .gap_type = sse_str("gap")});
    for (size_t i = 0; i < 5; i++)
        (void)publish('t', "x");
    enter(0, "t");
    come_back(1, "t", sse_str(ID("3")), SSE_REPLAY_COMPLETE, EVENT("x", "4") EVENT("x", "5"));
    assert_int_equal(stats().replays, 1);
    assert_int_equal(stats().replayed, 2);
    come_back(2, "t", sse_str(ID("5")), SSE_REPLAY_COMPLETE, "");
    assert_int_equal(stats().replays, 2);
    assert_int_equal(stats().gaps, 0);
    assert_int_equal(join(prepare(3, SSE_OUTPUT_CALLBACK), "t", sse_str(ID("1"))), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(stats().replays, 2);
    assert_int_equal(stats().replayed, 5);
    assert_int_equal(stats().gaps, 1);
    /* The gap event was written too. */
    assert_int_equal(stats().events_written, 2 + 3 + 1);
    assert_int_equal(stats().queued, 0);
}

/* Causes the end of a client that was opened for this reason. */
static void end_for(struct fake_client *client, enum sse_reason reason)
{
    const struct sse_shutdown_options shutdown = {.size = sizeof(shutdown)};

    switch (reason) {
    case SSE_REASON_COMPLETED:
    case SSE_REASON_DRAIN_TIMEOUT:
        assert_int_equal(sse_emitter_complete(client->emitter), 0);
        break;
    case SSE_REASON_ABORTED:
        assert_int_equal(sse_emitter_abort(client->emitter, -ENOENT), 0);
        break;
    case SSE_REASON_CLOSED:
        sse_emitter_close(client->emitter);
        client->emitter = NULL;
        break;
    case SSE_REASON_SHUTDOWN:
        assert_int_equal(sse_registry_shutdown(registry, &shutdown), 0);
        break;
    default:
        break;
    }
    (void)fake_loop_settle(&loop);
    advance_ms(10);
}

static struct fake_client *open_for(enum sse_reason reason)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_CALLBACK);
    bool full =
        reason == SSE_REASON_STALLED || reason == SSE_REASON_DRAIN_TIMEOUT || reason == SSE_REASON_OVERFLOW;
    bool fails = reason == SSE_REASON_DISCONNECTED || reason == SSE_REASON_OUTPUT_ERROR;

    client->options.lifetime_ms = reason == SSE_REASON_LIFETIME ? 10 : SSE_TIMER_OFF;
    client->options.stall_ms = reason == SSE_REASON_STALLED ? 10 : SSE_TIMER_OFF;
    client->options.drain_ms = 10;
    client->options.start_ms = 10;
    client->options.paused = reason == SSE_REASON_NOT_STARTED;
    client->options.queue_messages = reason == SSE_REASON_OVERFLOW ? 1 : 2;
    client->output.room = full ? 0 : SIZE_MAX;
    client->output.error_at = fails ? 0 : SIZE_MAX;
    client->output.error = reason == SSE_REASON_DISCONNECTED ? -ECONNRESET : -EIO;
    assert_int_equal(join(client, "t", absent), 0);
    (void)publish('t', "1");
    (void)publish('t', "2");
    return client;
}

static void every_reason_has_its_count(void **state)
{
    static const enum sse_reason reasons[] = {
        SSE_REASON_COMPLETED,    SSE_REASON_LIFETIME,     SSE_REASON_STALLED,  SSE_REASON_DRAIN_TIMEOUT,
        SSE_REASON_DISCONNECTED, SSE_REASON_OUTPUT_ERROR, SSE_REASON_OVERFLOW, SSE_REASON_ABORTED,
        SSE_REASON_NOT_STARTED,  SSE_REASON_CLOSED,       SSE_REASON_SHUTDOWN,
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        struct fake_client *client = open_for(reasons[i]);

        end_for(client, reasons[i]);
        assert_int_equal(client->completions, 1);
        assert_int_equal(client->completion.reason, reasons[i]);
        for (size_t k = 0; k < SSE_REASON_COUNT_MAX; k++) {
            bool seen = false;

            for (size_t j = 0; j <= i; j++)
                seen = seen || reasons[j] == (enum sse_reason)k;
            assert_int_equal(stats().ended_by[k], seen);
        }
        assert_int_equal(stats().emitters, 0);
        fake_client_free(client);
    }
    assert_int_equal(stats().remaining, 0);
}

/* Returns the bucket that grew by this number, while all others did not change. */
static void expect_bucket(const struct sse_registry_stats *before, size_t bucket, uint64_t more)
{
    struct sse_registry_stats after = stats();

    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; i++)
        assert_int_equal(after.latency[i], before->latency[i] + (i == bucket ? more : 0));
}

static const struct {
    uint64_t nanoseconds;
    size_t bucket;
} times[] = {
    {0, 0},
    {1, 1},
    {2, 2},
    {3, 2},
    {4, 3},
    {7, 3},
    {8, 4},
    {1023, 10},
    {1024, 11},
    {1000000, 20},
    {UINT64_C(1) << 40, 41},
    {(UINT64_C(1) << 62) - 1, 62},
    {UINT64_C(1) << 62, 63},
    {(UINT64_C(1) << 63) + 5, 63},
};

/* The time from the publish until the last byte was written, by the loop's turn or by a reader. */
static void a_delivery_takes_until_it_is_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct sse_registry_stats before;

        atomic_store(&platform.now, 1000);
        enter(0, "t");
        assert_int_equal(join(prepare(1, SSE_OUTPUT_PULL), "t", absent), 0);
        assert_int_equal(fake_client_pull(&clients[1]), 0);
        enter(2, "t")->output.room = 0;
        before = stats();
        expect_delivery(publish_event('t', (struct sse_event){.data = sse_str("1")}), 3, 0, 0);
        expect_bucket(&before, 0, 0);
        atomic_fetch_add(&platform.now, times[i].nanoseconds);
        (void)fake_loop_settle(&loop);
        expect_bucket(&before, times[i].bucket, 1);
        fake_client_make_room(&clients[2], SIZE_MAX);
        expect_bucket(&before, times[i].bucket, 2);
        assert_int_equal(fake_client_pull(&clients[1]), 0);
        expect_bucket(&before, times[i].bucket, 3);
    }
}

/* The age of a replayed event says nothing about the speed of deliveries. */
static void replays_have_no_time(void **state)
{
    struct sse_registry_stats before;

    (void)state;
    (void)publish('t', "1");
    (void)publish('t', "2");
    fake_platform_advance_ms(&platform, 5000);
    before = stats();
    assert_int_equal(join(prepare(0, SSE_OUTPUT_PULL), "t", sse_str(ID("0"))), 0);
    (void)publish('t', "3");
    atomic_fetch_add(&platform.now, 4);
    assert_int_equal(fake_client_pull(&clients[0]), 0);
    assert_int_equal(stats().events_written, before.events_written + 3);
    expect_bucket(&before, 3, 1);
    (void)publish('t', "4");
    atomic_fetch_add(&platform.now, 4);
    assert_int_equal(fake_client_pull(&clients[0]), 0);
    expect_bucket(&before, 3, 2);
}

/* A batch is one delivery. Events that were not published, or not fully written, are none. */
static void every_delivery_has_one_time(void **state)
{
    const struct sse_event batch[] = {{.data = sse_str("a")}, {.data = sse_str("b")}};
    struct sse_message *message;
    uint64_t sum = 0;

    (void)state;
    use_plain_registry();
    enter(0, "t");
    enter(1, "t")->output.room = 5;
    enter(2, "t");
    assert_int_equal(send_data(&clients[0], "to one"), 0);
    assert_int_equal(sse_message_new(&message, batch, COUNT_OF(batch), &platform.platform), 0);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, NULL), 0);
    sse_message_unref(message);
    atomic_fetch_add(&platform.now, 100);
    (void)fake_loop_settle(&loop);
    (void)publish('t', "again");
    fake_client_make_room(&clients[1], 20);
    assert_int_equal(sse_emitter_abort(clients[1].emitter, -EPIPE), 0);
    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; i++)
        sum += stats().latency[i];
    assert_int_equal(fake_client_info(&clients[1]).events, 2);
    assert_int_equal(sum, 2 * 2 + 1);
}

/* A clock that goes back, which must not happen, damages no count. */
static void a_clock_that_goes_back(void **state)
{
    struct sse_registry_stats before;

    (void)state;
    enter(0, "t")->output.room = 0;
    before = stats();
    (void)publish('t', "1");
    atomic_fetch_sub(&platform.now, 500);
    fake_client_make_room(&clients[0], SIZE_MAX);
    expect_bucket(&before, 0, 1);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(a_new_registry_counts_nothing),
        STAGE_TEST(a_smaller_struct_gets_what_it_has),
        STAGE_TEST(a_larger_struct_is_filled_with_zeros),
        STAGE_TEST(current_numbers_are_counted),
        STAGE_TEST(a_backlog_is_never_below_0),
        STAGE_TEST(written_events_and_bytes_are_counted),
        STAGE_TEST(only_published_events_are_counted),
        STAGE_TEST(events_that_were_never_written_are_dropped),
        STAGE_TEST(each_event_of_a_truncated_batch_is_counted_once),
        STAGE_TEST(replays_and_gaps),
        STAGE_TEST(every_reason_has_its_count),
        STAGE_TEST(a_delivery_takes_until_it_is_written),
        STAGE_TEST(replays_have_no_time),
        STAGE_TEST(every_delivery_has_one_time),
        STAGE_TEST(a_clock_that_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
