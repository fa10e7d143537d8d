/* SPDX-License-Identifier: MIT */
/* An emitter that has its own thread: what its wait does, and what ends the wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "descriptor_pair.h"
#include "fake_client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TICK "data: tick\n\n"
#define ROUNDS 50

static const struct sse_event tick = {.data = {"tick", 4}};

static struct fake_platform fake;
static struct sse_registry *registry;
static struct fake_client client;
static struct descriptor_pair pair;

/* A clock that advances by a millisecond at each reading. */
static uint64_t creeping_now(void *user)
{
    return atomic_fetch_add(&((struct fake_platform *)user)->now, 1000000);
}

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &fake.platform};

    (void)state;
    fake_platform_init(&fake);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    pair = (struct descriptor_pair){.server = -1, .client = -1};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sse_registry_unref(registry);
    pair_close(&pair);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static void prepare_pull(void)
{
    fake_client_init(&client, &fake, SSE_OUTPUT_PULL);
    client.options.registry = registry;
}

/* Consumes the first byte of the body. */
static void open_pull(void)
{
    fake_client_open(&client);
    assert_int_equal(sse_emitter_wait(client.emitter, -1), 1);
    assert_int_equal(fake_client_pull(&client), 0);
    fake_client_forget(&client);
}

static void prepare_fd(enum pair_kind kind)
{
    pair_open(&pair, kind);
    fake_client_init(&client, &fake, SSE_OUTPUT_FD);
    client.options.fd = pair.server;
    client.options.queue_bytes = (size_t)32 << 20;
}

/* Sends more than a pipe or a socket accepts at once. Returns the number of bytes that will arrive. */
static size_t send_much(void)
{
    static char text[1000000];
    const struct sse_event event = {.data = {text, sizeof(text)}};
    size_t size = strlen(":\n");

    memset(text, 'x', sizeof(text));
    do {
        assert_int_equal(sse_emitter_send(client.emitter, &event), 0);
        size += strlen("data: \n\n") + sizeof(text);
    } while (sse_emitter_flush(client.emitter) == 0);
    return size;
}

/* The example in the description of the interface. */
static void the_smallest_program(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        prepare_fd((enum pair_kind)kind);
        fake_client_open(&client);
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        assert_int_equal(sse_emitter_complete(client.emitter), 0);
        assert_int_equal(sse_emitter_wait(client.emitter, 5000), SSE_ENDED);
        assert_string_equal(client.log, "c");
        fake_client_free(&client);
        if (kind == PAIR_PACKETS)
            pair_expect(&pair, ":\n");
        pair_expect(&pair, kind == PAIR_PACKETS ? TICK : ":\n" TICK);
        assert_true(pair_has_ended(&pair));
        pair_close(&pair);
    }
}

static void an_idle_wait_lasts_its_timeout(void **state)
{
    (void)state;
    prepare_pull();
    open_pull();
    assert_int_equal(sse_emitter_wait(client.emitter, 0), 0);
    assert_int_equal(sse_emitter_wait(client.emitter, 1), 0);
    fake_client_free(&client);
    prepare_fd(PAIR_STREAM);
    fake_client_open(&client);
    assert_int_equal(sse_emitter_wait(client.emitter, -1), 1);
    (void)send_much();
    assert_int_equal(sse_emitter_wait(client.emitter, 0), 0);
    assert_int_equal(sse_emitter_wait(client.emitter, 1), 0);
    fake_client_free(&client);
}

static void a_wait_runs_the_timers(void **state)
{
    (void)state;
    prepare_pull();
    client.options.heartbeat_ms = 12;
    client.options.lifetime_ms = 40;
    fake.platform.now = creeping_now;
    open_pull();
    while (sse_emitter_wait(client.emitter, -1) == 1)
        assert_int_equal(fake_client_pull(&client) < 1, 1);
    assert_string_equal(client.log, "tc");
    assert_int_equal(client.completion.reason, SSE_REASON_LIFETIME);
    assert_int_equal(client.completion.error, 0);
    assert_true(client.output.size >= 2);
    assert_true(client.completion.age_ms >= 40);
    fake_client_free(&client);
}

/* The client reads nothing, so the wait ends when bytes were queued for stall_ms. */
static void a_wait_for_a_client_that_reads_nothing_ends(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        int error;

        if (kind == PAIR_PACKETS)
            continue;
        prepare_fd((enum pair_kind)kind);
        client.options.stall_ms = 5;
        client.options.platform = NULL;
        fake_client_open(&client);
        /* The kernel may still accept some more bytes. */
        do
            (void)send_much();
        while ((error = sse_emitter_wait(client.emitter, -1)) == 1);
        assert_int_equal(error, -ETIMEDOUT);
        assert_string_equal(client.log, "tc");
        assert_int_equal(client.timeout, SSE_REASON_STALLED);
        fake_client_free(&client);
        pair_close(&pair);
    }
}

static void *read_all(void *argument)
{
    size_t left = *(size_t *)argument;

    while (left) {
        struct pollfd readable = {.fd = pair.client, .events = POLLIN};
        size_t size;

        (void)poll(&readable, 1, -1);
        size = pair_discard(&pair);
        left = size < left ? left - size : 0;
    }
    return NULL;
}

static void a_wait_ends_when_every_byte_is_written(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        pthread_t reader;
        size_t size;

        if (kind == PAIR_PACKETS)
            continue;
        prepare_fd((enum pair_kind)kind);
        fake_client_open(&client);
        size = send_much();
        assert_int_equal(pthread_create(&reader, NULL, read_all, &size), 0);
        assert_int_equal(sse_emitter_wait(client.emitter, -1), 1);
        assert_int_equal(fake_client_info(&client).queued_bytes, 0);
        assert_int_equal(fake_client_info(&client).bytes, size);
        pthread_join(reader, NULL);
        fake_client_free(&client);
        pair_close(&pair);
    }
}

static void *leave(void *argument)
{
    (void)argument;
    pair_leave(&pair);
    return NULL;
}

static void a_wait_ends_when_the_client_disconnects(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        pthread_t leaver;
        int error;

        if (kind == PAIR_PACKETS)
            continue;
        prepare_fd((enum pair_kind)kind);
        fake_client_open(&client);
        (void)send_much();
        assert_int_equal(pthread_create(&leaver, NULL, leave, NULL), 0);
        /* The kernel may still accept some more bytes before the client disconnects. */
        while ((error = sse_emitter_wait(client.emitter, -1)) == 1)
            (void)sse_emitter_send(client.emitter, &tick);
        assert_true(error == -EPIPE || error == -ECONNRESET);
        pthread_join(leaver, NULL);
        assert_string_equal(client.log, "ec");
        assert_int_equal(client.completion.reason, SSE_REASON_DISCONNECTED);
        fake_client_free(&client);
        pair_close(&pair);
    }
}

/* Any number of earlier interrupts ends one wait, once. */
static void an_interrupt_ends_one_wait(void **state)
{
    (void)state;
    prepare_pull();
    open_pull();
    for (int count = 1; count < 4; count++) {
        for (int i = 0; i < count; i++)
            assert_int_equal(sse_emitter_interrupt(client.emitter), 0);
        assert_int_equal(sse_emitter_wait(client.emitter, -1), -EINTR);
        assert_int_equal(sse_emitter_wait(client.emitter, 0), 0);
    }
    fake_client_free(&client);
    assert_int_equal(client.completion.reason, SSE_REASON_CLOSED);
}

static void a_descriptor_with_a_loop_has_nothing_to_wait_for(void **state)
{
    struct fake_loop loop;

    (void)state;
    fake_loop_open(&loop, &fake);
    prepare_fd(PAIR_STREAM);
    client.loop = &loop;
    fake_client_open(&client);
    assert_int_equal(sse_emitter_wait(client.emitter, 0), -EINVAL);
    assert_int_equal(sse_emitter_interrupt(client.emitter), -EINVAL);
    fake_client_free(&client);
    fake_loop_close(&loop);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_smallest_program),
        TEST(an_idle_wait_lasts_its_timeout),
        TEST(a_wait_runs_the_timers),
        TEST(a_wait_for_a_client_that_reads_nothing_ends),
        TEST(a_wait_ends_when_every_byte_is_written),
        TEST(a_wait_ends_when_the_client_disconnects),
        TEST(an_interrupt_ends_one_wait),
        TEST(a_descriptor_with_a_loop_has_nothing_to_wait_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
