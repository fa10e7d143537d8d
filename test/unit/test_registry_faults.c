/* SPDX-License-Identifier: MIT */
/* No memory, outputs that fail, and clients that are stuck. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdlib.h>

static void use_plain_registry(void)
{
    use_registry((struct sse_registry_options){.size = 0});
}

/* An event costs the same amount, however many clients receive it. */
static void a_publish_allocates_one_message(void **state)
{
    const struct sse_event event = {.data = sse_str("x")};
    struct sse_message *message;

    (void)state;
    use_plain_registry();
    assert_int_equal(sse_message_new(&message, &event, 1, &platform.platform), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        size_t before;

        enter(i, "t");
        before = atomic_load(&platform.allocations);
        expect_delivery(publish('t', "x"), i + 1, 0, 0);
        assert_int_equal(atomic_load(&platform.allocations), before + 1);
        expect_delivery(publish(' ', "x"), i + 1, 0, 0);
        assert_int_equal(atomic_load(&platform.allocations), before + 2);
        assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), message, NULL), 0);
        (void)fake_loop_settle(&loop);
        assert_int_equal(sse_registry_publish_message(registry, absent, message, NULL), 0);
        (void)fake_loop_settle(&loop);
        assert_int_equal(atomic_load(&platform.allocations), before + 2);
    }
    sse_message_unref(message);
}

/* A steady stream to clients that read it in time needs no memory at all. */
static void a_steady_pull_needs_no_memory(void **state)
{
    const struct sse_event event = {.data = sse_str("x")};
    struct sse_message *message;
    char buffer[64];
    size_t before = 0;

    (void)state;
    use_plain_registry();
    assert_int_equal(sse_message_new(&message, &event, 1, &platform.platform), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(join(prepare(i, SSE_OUTPUT_PULL), "t", absent), 0);
        assert_int_equal(fake_client_pull(&clients[i]), 0);
    }
    for (int round = 0; round < 100; round++) {
        assert_int_equal(sse_registry_publish_message(registry, absent, message, NULL), 0);
        if (!round)
            before = atomic_load(&platform.allocations);
        for (size_t i = 0; i < CLIENTS; i++)
            assert_int_equal(sse_emitter_read(clients[i].emitter, buffer, sizeof(buffer)), 9);
        (void)fake_loop_settle(&loop);
    }
    assert_int_equal(atomic_load(&platform.allocations), before);
    sse_message_unref(message);
}

/* Each client has its own memory. One has none left when its queue must grow. Fault 31. Fault 33. */
static void only_the_receiver_without_memory_ends(void **state)
{
    static struct fake_platform own[CLIENTS];

    (void)state;
    use_plain_registry();
    for (size_t unlucky = 0; unlucky < CLIENTS; unlucky++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            fake_platform_init(&own[i]);
            prepare(i, SSE_OUTPUT_CALLBACK)->options.platform = &own[i].platform;
            assert_int_equal(join(&clients[i], "t", absent), 0);
            (void)fake_loop_settle(&loop);
            clients[i].output.room = 0;
        }
        expect_delivery(publish('t', "1"), CLIENTS, 0, 0);
        fake_platform_fail_at(&own[unlucky], 1, true);
        expect_delivery(publish('t', "2"), CLIENTS - 1, 0, 1);
        for (size_t i = 0; i < CLIENTS; i++) {
            assert_int_equal(clients[i].completions, i == unlucky);
            fake_client_make_room(&clients[i], SIZE_MAX);
            assert_int_equal(clients[i].output.size, 2 + (i == unlucky ? 0 : 18));
        }
        expect_end(&clients[unlucky], SSE_REASON_OVERFLOW, -ENOMEM);
        for (size_t i = 0; i < CLIENTS; i++) {
            fake_client_free(&clients[i]);
            fake_platform_check_no_leak(&own[i]);
        }
    }
}

static void one_dead_output_disturbs_nobody(void **state)
{
    static const int errors[] = {-EPIPE, -ECONNRESET, -EIO, -ENOSPC, -ETIMEDOUT};

    (void)state;
    use_plain_registry();
    for (size_t dead = 0; dead < CLIENTS; dead++) {
        int error = errors[dead % COUNT_OF(errors)];

        for (size_t i = 0; i < CLIENTS; i++)
            enter(i, "t");
        clients[dead].output.error_at = dead % 9;
        clients[dead].output.error = error;
        expect_delivery(publish('t', "1"), CLIENTS, 0, 0);
        expect_delivery(publish('t', "2"), CLIENTS - 1, 0, 0);
        expect_end(&clients[dead],
                   error == -EIO || error == -ENOSPC ? SSE_REASON_OUTPUT_ERROR : SSE_REASON_DISCONNECTED,
                   error);
        for (size_t i = 0; i < CLIENTS; i++) {
            assert_int_equal(clients[i].completions, i == dead);
            assert_int_equal(clients[i].output.size, i == dead ? dead % 9 : 18);
        }
    }
}

#define STUCK_BYTES ((size_t)256 << 10)
#define EVENTS 2000

/* Fault 32. */
static void a_stuck_client_costs_what_its_queue_may_hold(void **state)
{
    struct fake_client *stuck;
    char data[1001];
    size_t before, most = 0, queued = 0;

    (void)state;
    use_plain_registry();
    memset(data, 'x', sizeof(data));
    data[1000] = '\0';
    stuck = prepare(0, SSE_OUTPUT_CALLBACK);
    stuck->options.queue_bytes = STUCK_BYTES;
    stuck->output.room = 2 + 100;
    assert_int_equal(join(stuck, "t", absent), 0);
    for (size_t i = 1; i < CLIENTS; i++)
        enter(i, "t");
    before = atomic_load(&platform.bytes);
    for (int i = 0; i < EVENTS; i++) {
        queued += publish('t', data).receivers - (CLIENTS - 1);
        most = atomic_load(&platform.bytes) > most ? atomic_load(&platform.bytes) : most;
        for (size_t j = 1; j < CLIENTS; j++) {
            assert_int_equal(clients[j].output.size, 1008);
            fake_client_forget(&clients[j]);
        }
    }
    /* The overhead of an event is small compared with these bytes. */
    assert_true(most - before <= STUCK_BYTES + STUCK_BYTES / 5);
    assert_true(most - before >= STUCK_BYTES - 1008);
    assert_in_range(queued, (STUCK_BYTES + 100) / 1008, (STUCK_BYTES + 100) / 1008 + 1);
    expect_end(stuck, SSE_REASON_OVERFLOW, -ENOBUFS);
    assert_int_equal(stuck->output.size, 2 + 100);
    assert_true(atomic_load(&platform.bytes) <= before);
}

/* A client that never reads is ended by its timer, and the others continue. */
static void a_stuck_client_ends_by_its_stall_timer(void **state)
{
    (void)state;
    use_plain_registry();
    for (size_t i = 0; i < 3; i++) {
        prepare(i, SSE_OUTPUT_CALLBACK)->options.stall_ms = 30000;
        assert_int_equal(join(&clients[i], "t", absent), 0);
        (void)fake_loop_settle(&loop);
    }
    clients[1].output.room = 5;
    for (unsigned seconds = 0; seconds < 40; seconds++) {
        expect_delivery(publish('t', "x"), seconds < 30 ? 3 : 2, 0, 0);
        advance_ms(1000);
        assert_int_equal(clients[1].completions, seconds >= 29);
    }
    expect_end(&clients[1], SSE_REASON_STALLED, -ETIMEDOUT);
    assert_int_equal(clients[1].output.size, 2 + 5);
    assert_int_equal(clients[0].output.size, 2 + 40 * 9);
}

static struct sse_message *new_message(const char *id)
{
    const struct sse_event event = {.data = sse_str("x"), .id = sse_str(id)};
    struct sse_message *message;

    assert_int_equal(sse_message_new(&message, &event, 1, &platform.platform), 0);
    return message;
}

/* It is too large for one receiver, and then there is no memory to retain it. */
static void fail_to_publish(struct sse_message *message)
{
    assert_int_equal(sse_registry_publish_message(registry, sse_str("u"), message, NULL), -EMSGSIZE);
    fake_platform_fail_at(&platform, 1, true);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("v"), message, NULL), -ENOMEM);
    fake_platform_fail_at(&platform, 0, false);
}

static uint64_t deliveries(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < SSE_LATENCY_BUCKETS; i++)
        sum += stats().latency[i];
    return sum;
}

/* How long its delivery takes counts from the publish that succeeded; if there was none, a send has no time.
 */
static void a_failed_publish_leaves_a_shared_message_alone(void **state)
{
    struct sse_message *published = new_message("p"), *sent = new_message("s");

    (void)state;
    enter(0, "t")->output.room = 0;
    prepare(1, SSE_OUTPUT_CALLBACK)->options.queue_bytes = 10;
    assert_int_equal(join(&clients[1], "u", absent), 0);
    atomic_store(&platform.now, 1000);
    assert_int_equal(sse_registry_publish_message(registry, sse_str("t"), published, NULL), 0);
    atomic_store(&platform.now, 2000);
    fail_to_publish(published);
    fail_to_publish(sent);
    atomic_store(&platform.now, 1000 + 1024);
    fake_client_make_room(&clients[0], SIZE_MAX);
    assert_int_equal(stats().latency[11], 1);
    assert_int_equal(sse_emitter_send_message(clients[0].emitter, sent), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(fake_client_info(&clients[0]).events, 2);
    assert_int_equal(deliveries(), 1);
    sse_message_unref(published);
    sse_message_unref(sent);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(a_publish_allocates_one_message),
        STAGE_TEST(a_steady_pull_needs_no_memory),
        STAGE_TEST(only_the_receiver_without_memory_ends),
        STAGE_TEST(one_dead_output_disturbs_nobody),
        STAGE_TEST(a_stuck_client_costs_what_its_queue_may_hold),
        STAGE_TEST(a_stuck_client_ends_by_its_stall_timer),
        STAGE_TEST(a_failed_publish_leaves_a_shared_message_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
