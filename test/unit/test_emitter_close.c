/* SPDX-License-Identifier: MIT */
/* sse_emitter_close: what it ends, what it takes away from the library, and what it waits for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TICK "data: tick\n\n"
#define RACES 300

static const struct sse_event tick = {.data = {"tick", 4}};

static struct fake_platform fake;
static struct fake_loop loop;
static struct fake_client client;
static struct descriptor_pair pair;

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    fake_loop_open(&loop, &fake);
    pair = (struct descriptor_pair){.server = -1, .client = -1};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_loop_close(&loop);
    pair_close(&pair);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static void prepare(enum sse_output output, bool looped)
{
    fake_client_init(&client, &fake, output);
    client.loop = looped ? &loop : NULL;
    client.options.stall_ms = 1000;
    client.options.drain_ms = 1000;
    if (output != SSE_OUTPUT_FD)
        return;
    pair_open(&pair, PAIR_STREAM);
    client.options.fd = pair.server;
}

static void let_owner_work(void)
{
    if (client.loop)
        (void)fake_loop_settle(&loop);
    else if (client.emitter)
        (void)sse_emitter_flush(client.emitter);
}

/* Lets the stream begin. */
static void open_client(void)
{
    fake_client_open(&client);
    let_owner_work();
    if (client.options.output == SSE_OUTPUT_PULL)
        (void)fake_client_pull(&client);
    fake_client_forget(&client);
    memset(client.log, 0, sizeof(client.log));
}

static void close_client(void)
{
    struct sse_emitter *emitter = client.emitter;

    client.emitter = NULL;
    sse_emitter_close(emitter);
}

/* The state of an emitter when its owner closes it. */
enum before { IDLE, QUEUED, DRAINING, COMPLETED, ABORTED, BEFORE_COUNT };

/* Sends until the output accepts no more. */
static void fill(void)
{
    static char text[1000];
    const struct sse_event large = {.data = {text, sizeof(text)}};

    memset(text, 'x', sizeof(text));
    do
        assert_int_equal(sse_emitter_send(client.emitter, &large), 0);
    while (!fake_client_info(&client).queued_messages);
}

static void bring_into(enum before before)
{
    client.output.room = before == QUEUED || before == DRAINING ? 3 : SIZE_MAX;
    if (before == QUEUED || before == DRAINING)
        fill();
    if (before == DRAINING || before == COMPLETED)
        assert_int_equal(sse_emitter_complete(client.emitter), 0);
    if (before == ABORTED)
        assert_int_equal(sse_emitter_abort(client.emitter, -EPROTO), 0);
    let_owner_work();
}

/* Each output, with and without a loop, in each of the states. */
static void for_each_case(void (*check)(enum before before))
{
    for (int i = 0; i < 3 * 2 * BEFORE_COUNT; i++) {
        prepare((enum sse_output)(i % 3 + 1), i / 3 % 2);
        client.options.keep_fd = client.options.output == SSE_OUTPUT_FD;
        open_client();
        bring_into((enum before)(i / 6));
        check((enum before)(i / 6));
        fake_client_free(&client);
        pair_close(&pair);
    }
}

/* With a loop the next turn runs the callbacks. Without one they run before close returns. */
static void check_end(enum before before)
{
    bool ended = before == COMPLETED || before == ABORTED;
    size_t calls = client.output.calls;

    assert_int_equal(client.completions, ended);
    memset(client.log, 0, sizeof(client.log));
    close_client();
    assert_int_equal(client.completions, ended || !client.loop);
    assert_int_equal(client.releases, !client.loop);
    if (client.loop)
        (void)fake_loop_settle(&loop);
    assert_int_equal(client.completions, 1);
    assert_int_equal(client.releases, 1);
    assert_null(strchr(client.log, 'r'));
    assert_int_equal(client.output.calls, calls);
    if (!ended) {
        assert_int_equal(client.completion.reason, SSE_REASON_CLOSED);
        assert_int_equal(client.completion.error, -ECANCELED);
        assert_int_equal(client.errors + client.timeouts, 0);
        assert_int_equal(client.completion.dropped > 0, before != IDLE);
    } else {
        assert_int_equal(client.completion.reason,
                         before == COMPLETED ? SSE_REASON_COMPLETED : SSE_REASON_ABORTED);
    }
}

static void the_end_is_reported_once(void **state)
{
    (void)state;
    for_each_case(check_end);
}

/* Makes every call that could write, after the output has room again. */
static void try_everything(struct sse_emitter *emitter)
{
    for (int i = 0; i < 3; i++) {
        (void)sse_emitter_flush(emitter);
        (void)sse_emitter_send(emitter, &tick);
        (void)sse_emitter_ping(emitter);
        (void)sse_emitter_start(emitter, false);
        (void)sse_emitter_complete(emitter);
        (void)sse_emitter_abort(emitter, -EIO);
        fake_platform_advance_ms(&fake, 20000);
        (void)fake_loop_settle(&loop);
    }
}

/* The descriptor's number, or the output's memory, may belong to something else now. */
static void check_output(enum before before)
{
    struct sse_emitter *kept = sse_emitter_ref(client.emitter);
    struct descriptor_pair stranger;
    size_t calls;

    pair_open(&stranger, PAIR_STREAM);
    close_client();
    calls = client.output.calls;
    client.output.room = SIZE_MAX;
    if (pair.client >= 0) {
        (void)pair_discard(&pair);
        assert_int_equal(dup2(stranger.server, pair.server), pair.server);
    }
    try_everything(kept);
    assert_int_equal(client.output.calls, calls);
    assert_true(pair_is_quiet(&stranger));
    assert_int_equal(client.completions, 1);
    assert_int_equal(client.releases, 0);
    if (before == IDLE || before == QUEUED || before == DRAINING)
        assert_int_equal(sse_emitter_send(kept, &tick), -ECANCELED);
    sse_emitter_unref(kept);
    (void)fake_loop_settle(&loop);
    assert_int_equal(client.releases, 1);
    pair_close(&stranger);
}

static void the_output_is_never_used_again(void **state)
{
    (void)state;
    for_each_case(check_output);
}

/* A driven loop, and an owner without one, cannot write any more. The rest is dropped, and the descriptor is
 * closed. */
static void a_descriptor_of_the_library_is_closed_with_it(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * BEFORE_COUNT; i++) {
        prepare(SSE_OUTPUT_FD, i % 2);
        open_client();
        bring_into((enum before)(i / 2));
        close_client();
        if (client.loop)
            (void)fake_loop_settle(&loop);
        assert_int_equal(client.releases, 1);
        assert_false(descriptor_is_open(pair.server));
        fake_client_free(&client);
        pair_close(&pair);
    }
}

static void close_inside(struct fake_output *output, void *user)
{
    (void)user;
    output->on_write = NULL;
    close_client();
}

/* The result of the callback does not matter. A large event takes another path than a small one. Fault 35. */
static void closed_inside_the_write_callback(void **state)
{
    static const ssize_t results[] = {0, 1, 12, -EAGAIN, -EINTR, -EPIPE, -EIO, SSIZE_MAX, -SSIZE_MAX - 1};
    static char text[600];
    const struct sse_event events[] = {tick, {.comment = {memset(text, 'a', sizeof(text)), sizeof(text)}}};

    (void)state;
    for (size_t i = 0; i < COUNT(results) * 4; i++) {
        size_t calls;

        prepare(SSE_OUTPUT_CALLBACK, i / 2 % 2);
        open_client();
        client.output.on_write = close_inside;
        client.output.error_at = 0;
        client.output.error = results[i / 4];
        calls = client.output.calls;
        (void)sse_emitter_send(client.emitter, &events[i % 2]);
        if (client.loop)
            (void)fake_loop_settle(&loop);
        assert_null(client.emitter);
        assert_int_equal(client.output.calls, calls + 1);
        assert_string_equal(client.log, "cx");
        assert_int_equal(client.completion.reason, SSE_REASON_CLOSED);
        fake_client_free(&client);
    }
}

static void close_in_on_ready(struct fake_client *of, void *user)
{
    (void)of, (void)user;
    close_client();
}

static void closed_inside_on_ready(void **state)
{
    (void)state;
    for (int pull = 0; pull < 2; pull++) {
        size_t calls;

        prepare(pull ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, true);
        open_client();
        if (pull)
            assert_int_equal(fake_client_pull(&client), 0);
        client.output.room = 0;
        client.act = close_in_on_ready;
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        (void)fake_loop_turn(&loop);
        calls = client.output.calls;
        client.output.room = SIZE_MAX;
        (void)fake_loop_settle(&loop);
        assert_string_equal(client.log, pull ? "rcx" : "bcx");
        assert_int_equal(client.output.calls, calls);
        assert_int_equal(client.completion.dropped, 1);
        fake_client_free(&client);
    }
}

/* A close in another thread waits until the callback has returned. */
struct intrusion {
    pthread_t thread;
    atomic_bool inside, left;
};

static struct intrusion intrusion;

/* Stays in the callback until another thread has begun to close the emitter, and a while longer. */
static void stay_inside(void)
{
    struct sse_emitter *emitter = client.emitter;
    struct sse_emitter_info info = {.state = SSE_STATE_OPEN};

    atomic_store(&intrusion.inside, true);
    while (info.state != SSE_STATE_CLOSED && !sse_emitter_get_info(emitter, &info, sizeof(info)))
        sched_yield();
    for (int i = 0; i < 1000; i++)
        sched_yield();
    atomic_store(&intrusion.left, true);
}

static void stay_in_write(struct fake_output *output, void *user)
{
    (void)user;
    output->on_write = NULL;
    stay_inside();
}

static void stay_in_on_ready(struct fake_client *of, void *user)
{
    (void)of, (void)user;
    stay_inside();
}

static void *take_turns(void *argument)
{
    (void)argument;
    (void)fake_loop_settle(&loop);
    return NULL;
}

/* The write callback, on_ready of each output, and on_ready with a descriptor that the library owns. */
static void a_running_callback_is_waited_for(void **state)
{
    static const enum sse_output outputs[] = {SSE_OUTPUT_CALLBACK, SSE_OUTPUT_CALLBACK, SSE_OUTPUT_PULL,
                                              SSE_OUTPUT_FD, SSE_OUTPUT_FD};

    (void)state;
    for (size_t place = 0; place < COUNT(outputs); place++) {
        bool pull = outputs[place] == SSE_OUTPUT_PULL;
        struct sse_emitter *kept;
        bool waited;

        prepare(outputs[place], true);
        client.options.keep_fd = place == 3;
        open_client();
        if (pull)
            assert_int_equal(fake_client_pull(&client), 0);
        client.output.room = place ? 0 : SIZE_MAX;
        client.output.on_write = place ? NULL : stay_in_write;
        client.act = place ? stay_in_on_ready : NULL;
        atomic_store(&intrusion.inside, false);
        atomic_store(&intrusion.left, false);
        kept = sse_emitter_ref(client.emitter);
        if (outputs[place] == SSE_OUTPUT_FD)
            fill();
        else
            assert_int_equal(sse_emitter_send(kept, &tick), 0);
        assert_int_equal(pthread_create(&intrusion.thread, NULL, take_turns, NULL), 0);
        while (!atomic_load(&intrusion.inside))
            sched_yield();
        sse_emitter_close(kept);
        waited = atomic_load(&intrusion.left);
        sse_emitter_unref(client.emitter);
        client.emitter = NULL;
        pthread_join(intrusion.thread, NULL);
        assert_true(waited);
        (void)fake_loop_settle(&loop);
        assert_int_equal(client.completion.reason, SSE_REASON_CLOSED);
        assert_int_equal(client.releases, 1);
        fake_client_free(&client);
        pair_close(&pair);
    }
}

static void *send_until_it_ends(void *argument)
{
    struct sse_emitter *emitter = argument;
    int result;

    atomic_store(&intrusion.inside, true);
    while (!(result = sse_emitter_send(emitter, &tick)) || result == -ENOBUFS)
        ;
    sse_emitter_unref(emitter);
    return NULL;
}

/* Another thread sends all the time. As soon as close has returned, the number belongs to another file. */
static void no_send_of_another_thread_writes_after_it(void **state)
{
    (void)state;
    for (int i = 0; i < RACES; i++) {
        struct descriptor_pair stranger;
        pthread_t thread;

        prepare(SSE_OUTPUT_FD, true);
        client.options.keep_fd = true;
        client.options.overflow = SSE_OVERFLOW_DROP_OLDEST;
        client.options.queue_messages = 10;
        pair_open(&stranger, PAIR_STREAM);
        open_client();
        atomic_store(&intrusion.inside, false);
        assert_int_equal(pthread_create(&thread, NULL, send_until_it_ends, sse_emitter_ref(client.emitter)),
                         0);
        while (!atomic_load(&intrusion.inside))
            sched_yield();
        for (int k = 0; k < i % 7; k++)
            (void)pair_discard(&pair);
        close_client();
        assert_int_equal(dup2(stranger.server, pair.server), pair.server);
        pthread_join(thread, NULL);
        (void)fake_loop_settle(&loop);
        assert_true(pair_is_quiet(&stranger));
        assert_int_equal(client.releases, 1);
        fake_client_free(&client);
        pair_close(&stranger);
        pair_close(&pair);
    }
}

/* A release without a close: with a loop the emitter stays until it ends. Without one nobody could end it, so it is
 * closed. */
static void a_release_in_place_of_a_close(void **state)
{
    (void)state;
    for (int looped = 0; looped < 2; looped++) {
        prepare(SSE_OUTPUT_CALLBACK, looped);
        client.options.lifetime_ms = 100;
        open_client();
        sse_emitter_unref(sse_emitter_ref(client.emitter));
        sse_emitter_unref(client.emitter);
        client.emitter = NULL;
        let_owner_work();
        assert_string_equal(client.log, looped ? "" : "cx");
        fake_platform_advance_ms(&fake, 100);
        let_owner_work();
        assert_string_equal(client.log, looped ? "tcx" : "cx");
        assert_int_equal(client.completion.reason, looped ? SSE_REASON_LIFETIME : SSE_REASON_CLOSED);
        fake_client_free(&client);
    }
}

static atomic_int releases;

static void count_release(void *user)
{
    (void)user;
    atomic_fetch_add(&releases, 1);
}

static void *release_one_of_two(void *emitter)
{
    atomic_store(&intrusion.inside, true);
    sse_emitter_unref(emitter);
    return NULL;
}

/* Neither thread mistakes the other's reference for the last one. */
static void two_threads_release_at_once(void **state)
{
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = &fake.platform,
                                          .output = SSE_OUTPUT_PULL,
                                          .on_release = count_release};

    (void)state;
    atomic_store(&releases, 0);
    for (int i = 0; i < 2 * RACES; i++) {
        struct sse_emitter *emitter;
        pthread_t thread;

        assert_int_equal(sse_emitter_new(&emitter, &options, NULL), 0);
        atomic_store(&intrusion.inside, false);
        assert_int_equal(pthread_create(&thread, NULL, release_one_of_two, sse_emitter_ref(emitter)), 0);
        while (!atomic_load(&intrusion.inside))
            sched_yield();
        sse_emitter_unref(emitter);
        pthread_join(thread, NULL);
        assert_int_equal(atomic_load(&releases), i + 1);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_end_is_reported_once),
        TEST(the_output_is_never_used_again),
        TEST(a_descriptor_of_the_library_is_closed_with_it),
        TEST(closed_inside_the_write_callback),
        TEST(closed_inside_on_ready),
        TEST(a_running_callback_is_waited_for),
        TEST(no_send_of_another_thread_writes_after_it),
        TEST(a_release_in_place_of_a_close),
        TEST(two_threads_release_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
