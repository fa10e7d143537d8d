/* SPDX-License-Identifier: MIT */
/* A paused emitter: events sent to it are written first, without a limit. Replay and live events follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY 2000
#define LARGE 1024
#define START_MS 700

static struct fake_platform fake;
static struct fake_loop loop;
static struct sse_registry *registry;
static struct fake_client client;
static const struct sse_text topic = {"t", 1};

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .platform = &fake.platform,
                                                 .history = {.events = 10000},
                                                 .id_prefix = sse_str("E"),
                                                 .gap_type = sse_str("gap")};

    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_loop_close(&loop);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static void publish(const char *data)
{
    assert_int_equal(sse_registry_publish(registry, topic, &(struct sse_event){.data = sse_str(data)}, NULL),
                     0);
}

static int send(const char *data)
{
    return sse_emitter_send(client.emitter, &(struct sse_event){.data = sse_str(data)});
}

/* The limits are small, but neither sent events nor the replay are held to them. */
static void prepare(enum sse_output output, bool looped)
{
    fake_client_init(&client, &fake, output);
    client.loop = looped ? &loop : NULL;
    client.options.paused = true;
    client.options.start_ms = START_MS;
    client.options.queue_messages = 3;
    client.options.queue_bytes = LARGE + 100;
    client.options.registry = looped || output == SSE_OUTPUT_PULL ? registry : NULL;
    client.options.topics = &topic;
    client.options.topic_count = client.options.registry != NULL;
}

/* The owner works, and a PULL client reads. */
static void work(void)
{
    if (client.loop)
        (void)fake_loop_settle(&loop);
    else
        (void)sse_emitter_flush(client.emitter);
    if (client.options.output == SSE_OUTPUT_PULL)
        (void)fake_client_pull(&client);
    if (client.loop)
        (void)fake_loop_settle(&loop);
}

static void open_client(void)
{
    fake_client_open(&client);
    work();
    assert_string_equal(fake_client_text(&client), ":\n");
    fake_client_forget(&client);
}

/* Runs a test for each kind of owner. */
static void for_each_owner(void (*check)(void))
{
    for (int i = 0; i < 4; i++) {
        prepare(i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, i / 2);
        check();
    }
}

static void check_state_first(void)
{
    open_client();
    assert_true(fake_client_info(&client).paused);
    if (client.options.registry)
        publish("live 1");
    assert_int_equal(send("state 1"), 0);
    work();
    assert_int_equal(fake_client_info(&client).queued_messages, 0);
    if (client.options.registry)
        publish("live 2");
    assert_int_equal(send("state 2"), 0);
    assert_int_equal(sse_emitter_start(client.emitter, false), 0);
    assert_false(fake_client_info(&client).paused);
    assert_int_equal(sse_emitter_start(client.emitter, false), -EALREADY);
    assert_int_equal(send("after"), 0);
    work();
    if (client.options.registry)
        assert_non_null(
            strstr(fake_client_text(&client), "data: state 1\n\ndata: state 2\n\ndata: live 1\n"));
    else
        assert_string_equal(fake_client_text(&client), "data: state 1\n\ndata: state 2\n\ndata: after\n\n");
    fake_client_free(&client);
    assert_int_equal(client.completion.events, client.options.registry ? 5 : 3);
    assert_int_equal(client.completion.dropped, 0);
}

static void sent_events_are_written_first(void **state)
{
    (void)state;
    for_each_owner(check_state_first);
}

/* The output accepts nothing during this time. All events are queued, and the emitter does not end. */
static void check_no_limit(void)
{
    char *text = malloc(LARGE + 1);
    const char *at;
    char expected[32];

    assert_non_null(text);
    memset(text, 'x', LARGE);
    text[LARGE] = '\0';
    open_client();
    client.output.room = 0;
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(expected, sizeof(expected), "%04d", i);
        memcpy(text, expected, 4);
        assert_int_equal(send(text), 0);
        if (client.loop)
            (void)fake_loop_turn(&loop);
    }
    assert_int_equal(fake_client_info(&client).queued_messages, MANY);
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    assert_int_equal(sse_emitter_start(client.emitter, false), 0);
    /* The earlier events do not count against the next ones. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(send("more"), 0);
    fake_client_make_room(&client, SIZE_MAX);
    while (fake_client_info(&client).queued_messages)
        work();
    at = fake_client_text(&client);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(expected, sizeof(expected), "data: %04dx", i);
        assert_memory_equal(at, expected, strlen(expected));
        at += strlen("data: \n\n") + LARGE;
    }
    assert_string_equal(at, "data: more\n\ndata: more\n\ndata: more\n\n");
    free(text);
    fake_client_free(&client);
    assert_int_equal(client.completion.events, MANY + 3);
}

static void sent_events_have_no_limit(void **state)
{
    (void)state;
    for_each_owner(check_no_limit);
}

/* A single event that is larger than the queue is still refused. */
static void check_large_event(void)
{
    char *text = malloc(LARGE + 200);

    assert_non_null(text);
    memset(text, 'x', LARGE + 199);
    text[LARGE + 199] = '\0';
    open_client();
    (void)send(text);
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    assert_int_equal(sse_emitter_start(client.emitter, false), 0);
    assert_int_equal(send(text), -EMSGSIZE);
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    free(text);
    fake_client_free(&client);
}

static void a_large_event_ends_nobody(void **state)
{
    (void)state;
    for_each_owner(check_large_event);
}

/* The replay has many more events than the queue may hold. The live events follow. */
static void replay_and_live_events_wait_in_order(void **state)
{
    const char *at;
    char expected[64];

    (void)state;
    for (int i = 0; i < 100; i++)
        publish("x");
    prepare(SSE_OUTPUT_CALLBACK, true);
    client.options.last_event_id = sse_str("E-0000000000000000");
    fake_client_open(&client);
    assert_int_equal(client.replay.outcome, SSE_REPLAY_COMPLETE);
    assert_int_equal(client.replay.messages, 100);
    for (int i = 0; i < 3; i++)
        publish("y");
    assert_int_equal(send("state"), 0);
    work();
    assert_string_equal(fake_client_text(&client), ":\ndata: state\n\n");
    assert_int_equal(sse_emitter_start(client.emitter, true), 0);
    work();
    at = fake_client_text(&client) + strlen(":\ndata: state\n\n");
    for (unsigned i = 0; i < 103; i++) {
        int size =
            snprintf(expected, sizeof(expected), "data: %c\nid: E-%016x\n\n", i < 100 ? 'x' : 'y', 1 + i);

        assert_memory_equal(at, expected, (size_t)size);
        at += size;
    }
    assert_string_equal(at, "");
    fake_client_free(&client);
}

/* The live events behind the pause are held to the limits. */
static void live_events_behind_a_pause_overflow(void **state)
{
    (void)state;
    prepare(SSE_OUTPUT_CALLBACK, true);
    open_client();
    for (int i = 0; i < 4 * 3 && !client.completions; i++) {
        assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
        publish("live");
        (void)fake_loop_settle(&loop);
    }
    publish("live");
    (void)fake_loop_settle(&loop);
    assert_int_equal(client.completions, 1);
    assert_int_equal(client.completion.reason, SSE_REASON_OVERFLOW);
    assert_int_equal(client.completion.error, -ENOBUFS);
    assert_int_equal(client.output.size, 0);
    fake_client_free(&client);
}

static void fill_gap_or_not(bool filled)
{
    struct sse_emitter_info info;

    prepare(SSE_OUTPUT_CALLBACK, true);
    client.options.last_event_id = sse_str("nobody knows it");
    publish("old");
    fake_client_open(&client);
    assert_int_equal(client.replay.outcome, SSE_REPLAY_GAP);
    publish("new");
    assert_int_equal(send("from the store"), 0);
    assert_int_equal(sse_emitter_start(client.emitter, filled), 0);
    work();
    assert_int_equal(!strstr(fake_client_text(&client), "event: gap\n"), filled);
    assert_non_null(strstr(fake_client_text(&client), ":\ndata: from the store\n\n"));
    assert_non_null(strstr(fake_client_text(&client), "data: new\n"));
    info = fake_client_info(&client);
    assert_int_equal(info.dropped, 0);
    fake_client_free(&client);
}

static void a_client_is_told_of_a_gap_that_is_not_filled(void **state)
{
    (void)state;
    fill_gap_or_not(false);
    fill_gap_or_not(true);
}

/* The pause ends exactly at its deadline. Events queued behind it do not run the stall timer. */
static void check_start_timer(void)
{
    client.options.stall_ms = 10;
    open_client();
    fake_platform_advance_ms(&fake, START_MS - 1);
    work();
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    if (client.options.registry)
        publish("live");
    fake_platform_advance_ms(&fake, 1);
    work();
    assert_int_equal(client.completions, 1);
    assert_int_equal(client.completion.reason, SSE_REASON_NOT_STARTED);
    assert_int_equal(client.completion.error, -ETIMEDOUT);
    assert_int_equal(client.timeouts, 1);
    assert_int_equal(client.timeout, SSE_REASON_NOT_STARTED);
    assert_int_equal(client.completion.dropped, client.options.registry != NULL);
    assert_int_equal(sse_emitter_start(client.emitter, false), -ETIMEDOUT);
    fake_client_free(&client);
}

static void a_pause_has_a_deadline(void **state)
{
    (void)state;
    for_each_owner(check_start_timer);
}

static void the_deadline_has_a_default(void **state)
{
    (void)state;
    prepare(SSE_OUTPUT_CALLBACK, true);
    client.options.start_ms = 0;
    open_client();
    fake_platform_advance_ms(&fake, 29999);
    work();
    assert_true(fake_client_info(&client).paused);
    fake_platform_advance_ms(&fake, 1);
    work();
    assert_int_equal(client.completion.reason, SSE_REASON_NOT_STARTED);
    fake_client_free(&client);
}

/* For its client, the connection is not idle. */
static void heartbeats_are_sent_meanwhile(void **state)
{
    (void)state;
    prepare(SSE_OUTPUT_CALLBACK, true);
    client.options.heartbeat_ms = 100;
    open_client();
    publish("live");
    for (int i = 0; i < 3; i++) {
        fake_platform_advance_ms(&fake, 100);
        work();
    }
    assert_string_equal(fake_client_text(&client), ":\n:\n:\n");
    fake_client_free(&client);
}

/* The end of the pause is no byte for the client. */
static void an_end_of_the_pause_postpones_no_heartbeat(void **state)
{
    (void)state;
    prepare(SSE_OUTPUT_CALLBACK, true);
    client.options.heartbeat_ms = 100;
    open_client();
    fake_platform_advance_ms(&fake, 60);
    assert_int_equal(sse_emitter_start(client.emitter, false), 0);
    work();
    assert_string_equal(fake_client_text(&client), "");
    fake_platform_advance_ms(&fake, 40);
    work();
    assert_string_equal(fake_client_text(&client), ":\n");
    fake_client_free(&client);
}

/* What was behind the pause could not be written earlier. */
static void bytes_behind_the_pause_stall_from_its_end_on(void **state)
{
    (void)state;
    prepare(SSE_OUTPUT_CALLBACK, true);
    client.options.stall_ms = 100;
    open_client();
    publish("live");
    fake_platform_advance_ms(&fake, 60);
    client.output.room = 0;
    assert_int_equal(sse_emitter_start(client.emitter, false), 0);
    fake_platform_advance_ms(&fake, 99);
    work();
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    fake_platform_advance_ms(&fake, 1);
    work();
    assert_int_equal(client.completion.reason, SSE_REASON_STALLED);
    fake_client_free(&client);
}

static void check_no_deadline(void)
{
    client.options.start_ms = SSE_TIMER_OFF;
    open_client();
    for (int i = 0; i < 100; i++) {
        fake_platform_advance_ms(&fake, 10000000);
        work();
    }
    assert_true(fake_client_info(&client).paused);
    assert_int_equal(sse_emitter_start(client.emitter, false), 0);
    fake_platform_advance_ms(&fake, 10000000);
    work();
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    fake_client_free(&client);
}

static void the_deadline_may_be_off_and_ends_with_the_pause(void **state)
{
    (void)state;
    for_each_owner(check_no_deadline);
}

/* An end during the pause: if it is graceful, sent events are written and the rest is dropped. */
static void check_ends(void)
{
    static const enum sse_reason reasons[] = {SSE_REASON_COMPLETED, SSE_REASON_ABORTED, SSE_REASON_LIFETIME,
                                              SSE_REASON_STALLED};
    const struct fake_client prepared = client;

    for (int way = 0; way < 4; way++) {
        bool graceful = way == 0 || way == 2;

        client = prepared;
        fake_output_init(&client.output);
        client.options.lifetime_ms = 100;
        client.options.stall_ms = 50;
        open_client();
        client.output.room = 0;
        assert_int_equal(send("state"), 0);
        if (client.options.registry)
            publish("live");
        if (client.loop)
            (void)fake_loop_settle(&loop);
        if (way == 0)
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        if (way == 1)
            assert_int_equal(sse_emitter_abort(client.emitter, -EPROTO), 0);
        if (way == 2) {
            client.output.room = SIZE_MAX;
            assert_true(sse_emitter_flush(client.emitter) >= 0);
            work();
            fake_platform_advance_ms(&fake, 100);
        }
        if (way == 3)
            fake_platform_advance_ms(&fake, 50);
        if (way != 3)
            fake_client_make_room(&client, SIZE_MAX);
        work();
        assert_int_equal(client.completions, 1);
        assert_int_equal(client.completion.reason, reasons[way]);
        assert_string_equal(fake_client_text(&client), graceful ? "data: state\n\n" : "");
        assert_int_equal(client.completion.events, graceful);
        assert_int_equal(client.completion.dropped, !graceful + (client.options.registry != NULL));
        assert_false(fake_client_info(&client).paused);
        fake_client_free(&client);
    }
}

static void a_paused_emitter_may_end_in_every_way(void **state)
{
    (void)state;
    for_each_owner(check_ends);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sent_events_are_written_first),
        TEST(sent_events_have_no_limit),
        TEST(a_large_event_ends_nobody),
        TEST(replay_and_live_events_wait_in_order),
        TEST(live_events_behind_a_pause_overflow),
        TEST(a_client_is_told_of_a_gap_that_is_not_filled),
        TEST(a_pause_has_a_deadline),
        TEST(the_deadline_has_a_default),
        TEST(heartbeats_are_sent_meanwhile),
        TEST(an_end_of_the_pause_postpones_no_heartbeat),
        TEST(bytes_behind_the_pause_stall_from_its_end_on),
        TEST(the_deadline_may_be_off_and_ends_with_the_pause),
        TEST(a_paused_emitter_may_end_in_every_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
