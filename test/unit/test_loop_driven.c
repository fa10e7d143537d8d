/* SPDX-License-Identifier: MIT */
/* A driven loop: when it calls on_wake, what a turn returns, and that it is fair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TICK "data: tick\n\n"
#define CROWD 200
#define DEADLINES 10000

static const struct sse_event tick = {.data = {"tick", 4}};

static struct fake_platform fake;
static struct fake_loop loop;
static struct sse_registry *registry;
static struct fake_client client;

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &fake.platform};

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

static void prepare(enum sse_output output)
{
    fake_client_init(&client, &fake, output);
    client.loop = &loop;
    client.options.registry = registry;
}

/* Opens the stream, and lets the loop finish its work. */
static void open_client(enum sse_output output)
{
    prepare(output);
    fake_client_open(&client);
    assert_int_equal(fake_loop_settle(&loop), -1);
    if (output == SSE_OUTPUT_PULL)
        assert_int_equal(fake_client_pull(&client), 0);
    fake_client_forget(&client);
    memset(client.log, 0, sizeof(client.log));
}

static unsigned wakes(void)
{
    return atomic_load(&loop.wakes);
}

static int publish(void)
{
    return sse_registry_publish(registry, sse_str(NULL), &tick, NULL);
}

static int call_send(void)
{
    return sse_emitter_send(client.emitter, &tick);
}

static int call_ping(void)
{
    return sse_emitter_ping(client.emitter);
}

static int call_complete(void)
{
    return sse_emitter_complete(client.emitter);
}

static int call_abort(void)
{
    return sse_emitter_abort(client.emitter, -EIO);
}

static int call_complete_all(void)
{
    return sse_registry_complete(registry, sse_str(NULL));
}

static int call_close(void)
{
    sse_emitter_ref(client.emitter);
    sse_emitter_close(client.emitter);
    return 0;
}

static int call_shutdown(void)
{
    const struct sse_shutdown_options options = {.size = sizeof(options), .drain_ms = 1000};

    return sse_registry_shutdown(registry, &options);
}

/* The causes of work for a loop. `twice`: the call may be repeated at once. */
static const struct {
    int (*call)(void);
    bool twice;
} causes[] = {
    {call_send, true},   {publish, true},           {call_ping, true},   {call_complete, false},
    {call_abort, false}, {call_complete_all, true}, {call_close, false}, {call_shutdown, false},
};

/* Each cause wakes an idle loop once until the next turn. fake_loop checks that. */
static void each_cause_wakes_the_loop_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(causes) * 2; i++) {
        unsigned before;

        open_client(i % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK);
        before = wakes();
        assert_int_equal(causes[i / 2].call(), 0);
        assert_int_equal(wakes(), before + 1);
        if (causes[i / 2].twice)
            assert_int_equal(causes[i / 2].call(), 0);
        (void)publish();
        assert_int_equal(wakes(), before + 1);
        assert_int_equal(client.output.calls, 1);
        assert_int_equal(client.completions, 0);
        (void)fake_loop_settle(&loop);
        assert_int_equal(wakes(), before + 1);
        if (causes[i / 2].call == call_close) {
            sse_emitter_unref(client.emitter);
            client.emitter = NULL;
            (void)fake_loop_settle(&loop);
        }
        fake_client_free(&client);
        assert_int_equal(client.releases, 1);
        sse_registry_unref(registry);
        assert_int_equal(sse_registry_new(&registry, NULL), 0);
    }
}

static void a_new_emitter_wakes_the_loop(void **state)
{
    (void)state;
    for (int output = SSE_OUTPUT_FD; output <= SSE_OUTPUT_PULL; output++) {
        struct descriptor_pair pair = {.server = -1, .client = -1};
        unsigned before = wakes();

        prepare((enum sse_output)output);
        if (output == SSE_OUTPUT_FD)
            pair_open(&pair, PAIR_STREAM);
        client.options.fd = pair.server;
        client.options.lifetime_ms = 500;
        fake_client_open(&client);
        assert_int_equal(wakes(), before + 1);
        /* The timers count from the first turn on. */
        assert_int_equal(fake_loop_settle(&loop), 500);
        fake_client_free(&client);
        pair_close(&pair);
    }
}

/* Calls that need no turn do not wake the loop. */
static void calls_without_work_wake_nobody(void **state)
{
    struct descriptor_pair pair;
    struct sse_emitter_info info;
    unsigned before;

    (void)state;
    open_client(SSE_OUTPUT_PULL);
    before = wakes();
    assert_int_equal(sse_emitter_get_info(client.emitter, &info, sizeof(info)), 0);
    assert_int_equal(sse_emitter_flush(client.emitter), 0);
    sse_emitter_unref(sse_emitter_ref(client.emitter));
    assert_int_equal(fake_client_pull(&client), 0);
    assert_int_equal(sse_emitter_start(client.emitter, true), -EALREADY);
    assert_int_equal(sse_emitter_send(client.emitter, &(struct sse_event){.type = sse_str("t")}), -EINVAL);
    assert_int_equal(wakes(), before);
    fake_client_free(&client);

    /* The event was written at once. */
    pair_open(&pair, PAIR_STREAM);
    prepare(SSE_OUTPUT_FD);
    client.options.fd = pair.server;
    fake_client_open(&client);
    assert_int_equal(fake_loop_settle(&loop), -1);
    before = wakes();
    for (int i = 0; i < 10; i++)
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
    assert_int_equal(wakes(), before);
    fake_client_free(&client);
    pair_close(&pair);
}

/* No lock is held while on_wake runs, so every call that it may make returns. */
static void call_everything(struct fake_loop *of, void *user)
{
    struct sse_emitter_info info;

    (void)user;
    of->act = NULL;
    assert_int_equal(sse_loop_count(of->loop), 1);
    assert_int_equal(sse_emitter_get_info(client.emitter, &info, sizeof(info)), 0);
    assert_int_equal(publish(), 0);
    assert_int_equal(call_send(), 0);
    assert_int_equal(sse_emitter_flush(client.emitter), 1);
    assert_int_equal(sse_registry_count(registry, sse_str(NULL)), 1);
    assert_int_equal(call_complete(), 0);
    assert_int_equal(sse_loop_fd(of->loop), -EINVAL);
    assert_int_equal(sse_loop_stop(of->loop), -EINVAL);
}

static void on_wake_holds_no_lock(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        open_client(SSE_OUTPUT_CALLBACK);
        loop.act = call_everything;
        assert_int_equal(way ? publish() : call_send(), 0);
        assert_null(loop.act);
        assert_string_equal(client.log, "");
        (void)fake_loop_settle(&loop);
        assert_string_equal(fake_client_text(&client), TICK TICK TICK);
        assert_string_equal(client.log, "c");
        fake_client_free(&client);
    }
}

static void *turn_and_publish(void *result)
{
    (void)fake_loop_settle(&loop);
    *(int *)result = publish();
    return NULL;
}

static void turn_in_another_thread_and_publish(struct fake_loop *of, void *user)
{
    unsigned before = wakes();
    pthread_t thread;
    int result = -1;

    (void)user;
    of->act = NULL;
    assert_int_equal(pthread_create(&thread, NULL, turn_and_publish, &result), 0);
    pthread_join(thread, NULL);
    assert_int_equal(result, 0);
    /* A callback inside on_wake causes it again. */
    assert_int_equal(wakes(), before);
}

/* A turn runs while on_wake is still running. An emitter that is marked after the turn is not forgotten. Row M5. */
static void a_wake_that_came_too_early_comes_again(void **state)
{
    unsigned before;

    (void)state;
    open_client(SSE_OUTPUT_CALLBACK);
    before = wakes();
    loop.act = turn_in_another_thread_and_publish;
    assert_int_equal(publish(), 0);
    assert_int_equal(wakes(), before + 2);
    assert_string_equal(fake_client_text(&client), TICK);
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_text(&client), TICK TICK);
    assert_int_equal(wakes(), before + 2);
    fake_client_free(&client);
}

static void send_once(struct fake_output *output, void *user)
{
    (void)user;
    output->on_write = NULL;
    assert_int_equal(call_send(), 0);
}

/* Work that comes during a turn is for the next turn, which is due at once. No thread is woken for it. */
static void work_during_a_turn_is_for_the_next_turn(void **state)
{
    unsigned before;

    (void)state;
    open_client(SSE_OUTPUT_CALLBACK);
    assert_int_equal(call_send(), 0);
    client.output.on_write = send_once;
    before = wakes();
    (void)fake_loop_turn(&loop);
    (void)fake_loop_settle(&loop);
    assert_int_equal(wakes(), before);
    assert_string_equal(fake_client_text(&client), TICK TICK);
    fake_client_free(&client);
}

static void turns_return_the_time_to_the_next(void **state)
{
    (void)state;
    assert_int_equal(fake_loop_turn(&loop), -1);
    prepare(SSE_OUTPUT_CALLBACK);
    client.options.lifetime_ms = 1000;
    client.options.stall_ms = 300;
    fake_client_open(&client);
    assert_int_equal(fake_loop_settle(&loop), 1000);
    fake_platform_advance_ms(&fake, 400);
    assert_int_equal(fake_loop_turn(&loop), 600);
    client.output.room = 0;
    assert_int_equal(call_send(), 0);
    assert_int_equal(fake_loop_settle(&loop), 300);
    fake_platform_advance_ms(&fake, 299);
    assert_int_equal(fake_loop_turn(&loop), 1);
    fake_platform_advance_ms(&fake, 1);
    assert_int_equal(fake_loop_settle(&loop), -1);
    assert_int_equal(client.timeout, SSE_REASON_STALLED);
    fake_client_free(&client);
}

/* An emitter with more work than its share, a crowd, and timers. Each is served once in a turn. */
static void a_turn_serves_each_once(void **state)
{
    static struct fake_client crowd[CROWD];

    (void)state;
    open_client(SSE_OUTPUT_CALLBACK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
    for (size_t i = 0; i < CROWD; i++)
        fake_client_new(&crowd[i], &fake, SSE_OUTPUT_CALLBACK, &loop);
    client.output.take_max = 12;
    assert_int_equal(fake_loop_turn(&loop), 0);
    /* The busy emitter has not delayed the others, and has work left. */
    for (size_t i = 0; i < CROWD; i++)
        assert_string_equal(fake_client_text(&crowd[i]), ":\n");
    assert_in_range(fake_client_info(&client).events, 1, 999);
    for (size_t i = 0; i < CROWD; i++)
        fake_client_free(&crowd[i]);
    client.output.take_max = 0;
    assert_int_equal(fake_loop_settle(&loop), -1);
    assert_int_equal(fake_client_info(&client).queued_messages, 0);
    fake_client_free(&client);
}

static size_t count_timeouts(const struct fake_client *crowd)
{
    size_t timeouts = 0;

    for (size_t i = 0; i < DEADLINES; i++)
        timeouts += crowd[i].timeouts;
    return timeouts;
}

/* Timers of the same deadline take several turns, between which other emitters are served. Fault 50. */
static void equal_deadlines_are_for_several_turns(void **state)
{
    struct fake_client *crowd = calloc(DEADLINES, sizeof(*crowd));
    size_t ended = 0;

    (void)state;
    assert_non_null(crowd);
    for (size_t i = 0; i < DEADLINES; i++) {
        fake_client_init(&crowd[i], &fake, SSE_OUTPUT_CALLBACK);
        crowd[i].loop = &loop;
        crowd[i].options.lifetime_ms = 1000;
        fake_client_open(&crowd[i]);
    }
    assert_int_equal(fake_loop_settle(&loop), 1000);
    fake_platform_advance_ms(&fake, 1000);
    while (ended < DEADLINES) {
        size_t before = ended;
        int next = fake_loop_turn(&loop);

        ended = count_timeouts(crowd);
        assert_in_range(ended - before, 1, DEADLINES / 4);
        assert_int_equal(next, ended < DEADLINES ? 0 : -1);
    }
    for (size_t i = 0; i < DEADLINES; i++)
        fake_client_free(&crowd[i]);
    free(crowd);
}

/* A burst is one write. */
static void queued_events_are_one_write(void **state)
{
    size_t calls;

    (void)state;
    open_client(SSE_OUTPUT_CALLBACK);
    calls = client.output.calls;
    for (int i = 0; i < 16; i++)
        assert_int_equal(i % 2 ? publish() : call_send(), 0);
    assert_int_equal(fake_loop_settle(&loop), -1);
    assert_int_equal(client.output.calls, calls + 1);
    assert_int_equal(fake_client_info(&client).events, 16);
    fake_client_free(&client);
}

/* The action of a callback on the loop that runs it. */
static int results[6];

static void call_the_loop(struct fake_output *output, void *user)
{
    (void)user;
    output->on_write = NULL;
    results[0] = sse_loop_turn(loop.loop);
    results[1] = sse_loop_run(loop.loop);
    results[2] = sse_loop_dispatch(loop.loop, 0);
    results[3] = sse_loop_stop(loop.loop);
    results[4] = sse_loop_fd(loop.loop);
    results[5] = (int)sse_loop_count(loop.loop);
}

static void turns_in_a_callback_are_deadlocks(void **state)
{
    (void)state;
    open_client(SSE_OUTPUT_CALLBACK);
    client.output.on_write = call_the_loop;
    assert_int_equal(call_send(), 0);
    assert_int_equal(fake_loop_settle(&loop), -1);
    assert_int_equal(results[0], -EDEADLK);
    for (int i = 1; i <= 4; i++)
        assert_int_equal(results[i], -EINVAL);
    assert_int_equal(results[5], 1);
    fake_client_free(&client);
}

static void *turn_from_outside(void *result)
{
    *(int *)result = sse_loop_turn(loop.loop);
    return NULL;
}

static void turn_in_another_thread(struct fake_output *output, void *user)
{
    pthread_t thread;

    (void)user;
    output->on_write = NULL;
    assert_int_equal(pthread_create(&thread, NULL, turn_from_outside, &results[0]), 0);
    pthread_join(thread, NULL);
}

static void another_thread_is_told_that_the_loop_is_busy(void **state)
{
    (void)state;
    open_client(SSE_OUTPUT_CALLBACK);
    client.output.on_write = turn_in_another_thread;
    assert_int_equal(call_send(), 0);
    assert_int_equal(fake_loop_settle(&loop), -1);
    assert_int_equal(results[0], -EBUSY);
    fake_client_free(&client);
}

static void it_is_empty_after_finish(void **state)
{
    (void)state;
    open_client(SSE_OUTPUT_CALLBACK);
    assert_int_equal(sse_loop_finish(loop.loop), 0);
    assert_int_equal(fake_loop_settle(&loop), -1);
    assert_int_equal(sse_loop_count(loop.loop), 1);
    assert_int_equal(call_complete(), 0);
    assert_int_equal(fake_loop_settle(&loop), -1);
    assert_int_equal(sse_loop_count(loop.loop), 1);
    fake_client_free(&client);
    assert_int_equal(sse_loop_count(loop.loop), 0);
    assert_int_equal(fake_loop_turn(&loop), -1);
}

/* With FD, the server itself waits for room, and reports it. */
static void a_full_descriptor_is_reported(void **state)
{
    static char text[60000];
    const struct sse_event large = {.data = {text, sizeof(text)}};
    struct descriptor_pair pair;

    (void)state;
    memset(text, 'x', sizeof(text));
    pair_open(&pair, PAIR_STREAM);
    prepare(SSE_OUTPUT_FD);
    client.options.fd = pair.server;
    fake_client_open(&client);
    (void)fake_loop_settle(&loop);
    for (unsigned round = 1; round <= 2; round++) {
        while (!fake_client_info(&client).queued_bytes)
            assert_int_equal(sse_emitter_send(client.emitter, &large), 0);
        (void)fake_loop_settle(&loop);
        assert_int_equal(client.blocked, round);
        (void)fake_loop_settle(&loop);
        assert_int_equal(client.blocked, round);
        while (fake_client_info(&client).queued_bytes) {
            (void)pair_discard(&pair);
            assert_true(sse_emitter_flush(client.emitter) >= 0);
            (void)fake_loop_settle(&loop);
        }
    }
    fake_client_free(&client);
    pair_close(&pair);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_cause_wakes_the_loop_once),
        TEST(a_new_emitter_wakes_the_loop),
        TEST(calls_without_work_wake_nobody),
        TEST(on_wake_holds_no_lock),
        TEST(work_during_a_turn_is_for_the_next_turn),
        TEST(turns_return_the_time_to_the_next),
        TEST(a_turn_serves_each_once),
        TEST(queued_events_are_one_write),
        TEST(turns_in_a_callback_are_deadlocks),
        TEST(another_thread_is_told_that_the_loop_is_busy),
        TEST(it_is_empty_after_finish),
        TEST(a_full_descriptor_is_reported),
        TEST(a_wake_that_came_too_early_comes_again),
        TEST(equal_deadlines_are_for_several_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
