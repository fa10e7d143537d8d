/* SPDX-License-Identifier: MIT */
/* What is held back stays within bounds: of the queues, and of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CLIENTS 2
#define QUEUE_MESSAGES 4
#define BURST 20

static struct fake_host host;
static struct sse_registry *registry;
static struct fake_client clients[CLIENTS];
static unsigned published;

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .host = &host.host};

    (void)state;
    fake_host_init(&host);
    memset(clients, 0, sizeof(clients));
    published = 0;
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_clients_free(clients, CLIENTS);
    sse_registry_unref(registry);
    fake_host_check_no_leak(&host);
    return 0;
}

static struct fake_client *join(size_t which, enum sse_drain drain, size_t queue_messages)
{
    struct fake_client *client = &clients[which];

    fake_client_init(client, &host, drain);
    client->options.queue_messages = queue_messages;
    fake_client_open(client);
    assert_int_equal(sse_registry_add(registry, client->emitter), 0);
    return client;
}

/* Returns whether all went well: it is called by a thread, in which no test can fail. */
static bool publish(unsigned count)
{
    const struct sse_event event = {.data = sse_str("x")};
    bool well = true;

    for (; count; count--, published++)
        well = !sse_registry_broadcast(registry, &event, NULL) && well;
    return well;
}

static void *publish_a_burst(void *failed)
{
    return publish(BURST) ? NULL : failed;
}

/* Once, while a release writes to the first client and has not come to the second. */
static void let_another_publish(struct fake_sink *sink, void *user)
{
    pthread_t thread;
    void *failed;

    sink->on_write = NULL;
    assert_int_equal(sse_registry_hold(registry), 0);
    assert_int_equal(pthread_create(&thread, NULL, publish_a_burst, user), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
}

/* Whose turn has not come yet is written to by whoever holds too much for it. */
static void a_release_that_takes_long_makes_no_queue_overflow(void **state)
{
    struct fake_client *slow = join(0, SSE_DRAIN_CALLBACK, 0);
    struct fake_client *quick = join(1, SSE_DRAIN_CALLBACK, QUEUE_MESSAGES);

    (void)state;
    slow->sink.on_write = let_another_publish;
    slow->sink.user = slow;
    assert_int_equal(sse_registry_hold(registry), 0);
    assert_true(publish(1));
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(quick->completions, 0);
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(fake_client_info(slow).events, published);
    assert_int_equal(fake_client_info(quick).events, published);
}

/* They would wait without the hold too. */
static void a_reader_who_does_not_read_has_no_more_room(void **state)
{
    struct fake_client *client = join(0, SSE_DRAIN_PULL, QUEUE_MESSAGES);

    (void)state;
    assert_true(publish(QUEUE_MESSAGES - 1));
    assert_int_equal(sse_registry_hold(registry), 0);
    assert_true(publish(1));
    assert_int_equal(client->completions, 0);
    assert_int_equal(fake_client_info(client).queued_messages, QUEUE_MESSAGES);
    assert_true(publish(1));
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(client->completions, 1);
    assert_int_equal(client->completion.reason, SSE_REASON_OVERFLOW);
}

/* It waits for its sink, and not for the release. */
static void a_sink_that_is_full_has_no_more_room(void **state)
{
    struct fake_client *client = join(0, SSE_DRAIN_CALLBACK, 2 * QUEUE_MESSAGES);

    (void)state;
    client->sink.room = 0;
    assert_true(publish(2 * QUEUE_MESSAGES - 2));
    assert_int_equal(sse_registry_hold(registry), 0);
    assert_true(publish(2));
    assert_int_equal(fake_client_info(client).queued_messages, 2 * QUEUE_MESSAGES);
    assert_true(publish(1));
    assert_int_equal(fake_client_info(client).queued_messages, 2 * QUEUE_MESSAGES);
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(client->completions, 1);
    assert_int_equal(client->completion.reason, SSE_REASON_OVERFLOW);
}

static void read_all(struct fake_client *client, void *user)
{
    (void)user;
    (void)fake_client_pull(client);
}

static void a_reader_who_reads_when_told_misses_nothing(void **state)
{
    struct fake_client *client = join(0, SSE_DRAIN_PULL, 1);

    (void)state;
    client->act = read_all;
    (void)fake_client_pull(client);
    assert_int_equal(sse_registry_hold(registry), 0);
    assert_true(publish(BURST));
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(client->completions, 0);
    assert_int_equal(fake_client_info(client).events, BURST);
}

/* on_ready is for one whose last read found nothing. */
static void a_reader_who_comes_before_the_release_is_not_told(void **state)
{
    struct fake_client *client = join(0, SSE_DRAIN_PULL, 0);
    char bytes[16];

    (void)state;
    (void)fake_client_pull(client);
    assert_int_equal(sse_registry_hold(registry), 0);
    assert_true(publish(2));
    assert_int_equal(sse_emitter_read(client->emitter, bytes, 9), 9);
    assert_int_equal(client->ready, 0);
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(client->ready, 0);
    (void)fake_client_pull(client);
    assert_true(publish(1));
    assert_int_equal(client->ready, 1);
}

/* The end comes with the release; who looks before that has seen it. */
static void a_reader_who_has_seen_the_end_is_not_told(void **state)
{
    struct fake_client *client = join(0, SSE_DRAIN_PULL, 0);
    struct iovec iov;

    (void)state;
    assert_int_equal(fake_client_pull(client), 0);
    assert_int_equal(sse_registry_hold(registry), 0);
    assert_true(publish(1));
    /* The message is made, and the audience known, but the queue cannot grow. */
    fake_host_fail_at(&host, 3, false);
    assert_true(publish(1));
    fake_host_fail_at(&host, 0, false);
    assert_int_equal(sse_emitter_peek(client->emitter, &iov, 1), -ENOMEM);
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(client->ready, 0);
    assert_int_equal(client->completions, 1);
}

/* What is before it could have left: it needs no room beside it. */
static void a_send_behind_what_is_held_is_not_too_much(void **state)
{
    const struct sse_event event = {.data = sse_str("it nearly fills a queue of 50 bytes")};
    const enum sse_overflow policies[] = {SSE_OVERFLOW_CLOSE, SSE_OVERFLOW_DROP_NEWEST,
                                          SSE_OVERFLOW_DROP_OLDEST, SSE_OVERFLOW_COALESCE};

    (void)state;
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        struct fake_client *client = &clients[0];

        fake_client_init(client, &host, SSE_DRAIN_CALLBACK);
        client->options.queue_bytes = 50;
        client->options.overflow = policies[i];
        fake_client_open(client);
        assert_int_equal(sse_registry_add(registry, client->emitter), 0);
        assert_int_equal(sse_registry_hold(registry), 0);
        assert_true(publish(1));
        assert_int_equal(sse_emitter_send(client->emitter, &event), 0);
        assert_int_equal(sse_registry_release(registry), 0);
        assert_int_equal(fake_client_info(client).events, 2);
        assert_int_equal(fake_client_info(client).dropped, 0);
        fake_clients_free(clients, 1);
    }
}

static void those_who_come_and_go_meanwhile_cost_no_memory(void **state)
{
    struct fake_client *client = join(0, SSE_DRAIN_CALLBACK, 0);
    size_t blocks = 0;

    (void)state;
    join(1, SSE_DRAIN_CALLBACK, 0);
    assert_int_equal(sse_registry_hold(registry), 0);
    for (unsigned i = 0; i < BURST; i++) {
        assert_true(publish(1));
        assert_int_equal(sse_registry_remove(registry, client->emitter), 0);
        assert_int_equal(sse_registry_add(registry, client->emitter), 0);
        assert_int_equal(sse_emitter_flush(clients[1].emitter), 0);
        if (!i)
            blocks = atomic_load(&host.blocks);
    }
    assert_true(atomic_load(&host.blocks) <= blocks + 2);
    assert_int_equal(sse_registry_release(registry), 0);
    assert_int_equal(fake_client_info(client).events, BURST);
    assert_int_equal(fake_client_info(&clients[1]).events, BURST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_release_that_takes_long_makes_no_queue_overflow),
        TEST(a_reader_who_does_not_read_has_no_more_room),
        TEST(a_sink_that_is_full_has_no_more_room),
        TEST(a_reader_who_reads_when_told_misses_nothing),
        TEST(a_reader_who_comes_before_the_release_is_not_told),
        TEST(a_reader_who_has_seen_the_end_is_not_told),
        TEST(a_send_behind_what_is_held_is_not_too_much),
        TEST(those_who_come_and_go_meanwhile_cost_no_memory),
    };

    return cmocka_run_group_tests_name("cork bounds", tests, NULL, NULL);
}
