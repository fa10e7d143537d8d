/* SPDX-License-Identifier: MIT */
/* Each public call reads the clock once, so that all its decisions are for the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <string.h>

#define CROWD 200
#define EMITTERS_PER_READING 64

static struct fake_platform fake;
static struct sse_platform counting;
static unsigned readings;
static struct sse_registry *registry;
static struct fake_loop loop;
static struct fake_client client, other;
static const struct sse_event event = {.data = {.ptr = "x", .len = 1}};
static const struct sse_text topics[] = {{.ptr = "a", .len = 1}, {.ptr = "b", .len = 1}};

/* Each reading is later than the one before, so a second reading would differ. */
static uint64_t read_clock(void *user)
{
    (void)user;
    readings++;
    return atomic_fetch_add(&fake.now, 1000000) + 1000000;
}

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options),
                                                 .platform = &counting,
                                                 .history = {.events = 9},
                                                 .history_age_ms = 100000,
                                                 .id_prefix = sse_str("E"),
                                                 .backlog_bytes = 4000,
                                                 .topic_emitters_max = 1,
                                                 .admission = SSE_ADMISSION_EVICT_OLDEST};

    (void)state;
    fake_platform_init(&fake);
    counting = fake.platform;
    counting.now = read_clock;
    fake.platform.now = read_clock;
    fake_loop_open(&loop, &fake);
    memset(&client, 0, sizeof(client));
    memset(&other, 0, sizeof(other));
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_client_free(&client);
    fake_client_free(&other);
    fake_loop_close(&loop);
    sse_registry_unref(registry);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

#define EXPECT_READINGS(most, call)                                                                          \
    do {                                                                                                     \
        readings = 0;                                                                                        \
        (void)(call);                                                                                        \
        if (readings > (most))                                                                               \
            fail_msg("%s: %u readings", #call, readings);                                                    \
    } while (0)

static void prepare(struct fake_client *of, enum sse_output output, bool looped)
{
    fake_client_init(of, &fake, output);
    of->loop = looped ? &loop : NULL;
    of->options.drain_ms = 1000;
    of->options.lifetime_ms = 1000000;
}

static void check_calls(enum sse_output output, bool looped)
{
    static const char text[2000] = "x";
    const struct sse_event large = {.data = {text, sizeof(text)}};
    const struct sse_event malformed = {.type = sse_str("t")};
    struct sse_emitter_info info;
    struct sse_message *message;
    struct iovec iov[2];
    char buffer[64];

    assert_int_equal(sse_message_new(&message, &event, 1, &counting), 0);
    prepare(&client, output, looped);
    client.options.paused = true;
    client.output.room = 30;
    EXPECT_READINGS(1, fake_client_try_open(&client));
    EXPECT_READINGS(1, sse_emitter_send(client.emitter, &event));
    EXPECT_READINGS(1, sse_emitter_start(client.emitter, false));
    EXPECT_READINGS(1, sse_emitter_send(client.emitter, &event));
    EXPECT_READINGS(1, sse_emitter_send(client.emitter, &event));
    EXPECT_READINGS(1, sse_emitter_send(client.emitter, &large));
    EXPECT_READINGS(0, sse_emitter_send(client.emitter, &malformed));
    EXPECT_READINGS(1, sse_emitter_send_message(client.emitter, message));
    EXPECT_READINGS(1, sse_emitter_ping(client.emitter));
    EXPECT_READINGS(1, sse_emitter_flush(client.emitter));
    EXPECT_READINGS(1, sse_emitter_peek(client.emitter, iov, 2));
    EXPECT_READINGS(1, sse_emitter_consume(client.emitter, 2));
    EXPECT_READINGS(1, sse_emitter_read(client.emitter, buffer, sizeof(buffer)));
    EXPECT_READINGS(1, sse_emitter_get_info(client.emitter, &info, sizeof(info)));
    EXPECT_READINGS(0, sse_emitter_interrupt(client.emitter));
    EXPECT_READINGS(0, sse_emitter_user(client.emitter));
    EXPECT_READINGS(1, sse_emitter_complete(client.emitter));
    EXPECT_READINGS(1, sse_emitter_abort(client.emitter, -EIO));
    EXPECT_READINGS(0, sse_emitter_unref(sse_emitter_ref(client.emitter)));
    EXPECT_READINGS(1, sse_emitter_close(sse_emitter_ref(client.emitter)));
    fake_client_free(&client);
    sse_message_unref(message);
}

static void calls_of_an_emitter_read_it_once(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        check_calls(i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, i / 2);
}

/* The loop's turn, or the owner's call, runs the callbacks at the end without another reading. */
static void callbacks_at_the_end_do_not_read_it(void **state)
{
    (void)state;
    for (int looped = 0; looped < 2; looped++) {
        prepare(&client, SSE_OUTPUT_CALLBACK, looped);
        fake_client_open(&client);
        if (looped)
            (void)fake_loop_settle(&loop);
        if (looped)
            EXPECT_READINGS(1, sse_emitter_abort(client.emitter, -EIO));
        readings = 0;
        if (looped)
            (void)fake_loop_turn(&loop);
        else
            (void)sse_emitter_abort(client.emitter, -EIO);
        assert_int_equal(client.completions, 1);
        assert_int_equal(readings, 1);
        fake_client_free(&client);
    }
}

static int open_member(struct fake_client *of, struct sse_text id)
{
    prepare(of, SSE_OUTPUT_CALLBACK, true);
    of->options.registry = registry;
    of->options.topics = topics;
    of->options.topic_count = 2;
    of->options.last_event_id = id;
    return fake_client_try_open(of);
}

static void calls_of_a_registry_read_it_once(void **state)
{
    const struct sse_text third = sse_str("c");
    const struct sse_event final = {.data = sse_str("bye")};
    const struct sse_shutdown_options options = {
        .size = sizeof(options), .final_event = &final, .retry_min_ms = 1, .retry_max_ms = 9, .drain_ms = 50};
    struct sse_registry_stats stats;

    (void)state;
    EXPECT_READINGS(1, open_member(&client, sse_str("unknown")));
    assert_int_equal(client.replay.outcome, SSE_REPLAY_GAP);
    EXPECT_READINGS(1, sse_registry_publish(registry, topics[0], &event, NULL));
    EXPECT_READINGS(1, sse_registry_publish(registry, sse_str(NULL), &event, NULL));
    EXPECT_READINGS(1, sse_registry_publish(registry, sse_str("nobody"), &event, NULL));
    /* This one evicts an emitter and replays events. */
    EXPECT_READINGS(1, open_member(&other, sse_str("E-0000000000000000")));
    assert_int_equal(other.replay.outcome, SSE_REPLAY_COMPLETE);
    EXPECT_READINGS(
        1, sse_registry_subscribe(registry, other.emitter, &third, 1, sse_str("E-0000000000000001"), NULL));
    EXPECT_READINGS(0, sse_registry_unsubscribe(registry, other.emitter, &third, 1));
    EXPECT_READINGS(1, sse_registry_get_stats(registry, &stats, sizeof(stats)));
    EXPECT_READINGS(0, sse_registry_count(registry, topics[0]));
    EXPECT_READINGS(1, sse_registry_complete(registry, sse_str("nobody")));
    EXPECT_READINGS(1, sse_registry_shutdown(registry, &options));
    EXPECT_READINGS(0, sse_registry_wait(registry, 0));
    (void)fake_loop_settle(&loop);
    assert_int_equal(client.completion.reason, SSE_REASON_EVICTED);
    assert_int_equal(other.completion.reason, SSE_REASON_SHUTDOWN);
}

/* A turn reads the clock once for every 64 emitters, so a long turn does not use an old time. Row M9. */
static void a_turn_reads_it_once_for_64_emitters(void **state)
{
    static struct fake_client crowd[CROWD];

    (void)state;
    for (size_t i = 0; i < CROWD; i++) {
        prepare(&crowd[i], SSE_OUTPUT_CALLBACK, true);
        fake_client_open(&crowd[i]);
    }
    for (int round = 0; round < 2; round++) {
        readings = 0;
        (void)fake_loop_turn(&loop);
        assert_in_range(readings, (CROWD - 1) / EMITTERS_PER_READING, CROWD / EMITTERS_PER_READING + 1);
        for (size_t i = 0; i < CROWD; i++)
            assert_int_equal(sse_emitter_send(crowd[i].emitter, &event), 0);
    }
    (void)fake_loop_settle(&loop);
    EXPECT_READINGS(1, fake_loop_turn(&loop));
    for (size_t i = 0; i < CROWD; i++)
        fake_client_free(&crowd[i]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_of_an_emitter_read_it_once),
        TEST(callbacks_at_the_end_do_not_read_it),
        TEST(calls_of_a_registry_read_it_once),
        TEST(a_turn_reads_it_once_for_64_emitters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
