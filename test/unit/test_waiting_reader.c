/* SPDX-License-Identifier: MIT */
/* Other threads act while a reader without a loop waits. The wait calls the test instead of sleeping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#define LIMIT 2

/* The action in the next wait. */
static void (*meanwhile)(void);

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    void (*what)(void) = meanwhile;

    (void)condition;
    assert_non_null(what);
    meanwhile = NULL;
    pthread_mutex_unlock(lock);
    what();
    pthread_mutex_lock(lock);
    return 0;
}

static size_t published, ended;

/* One event more than the limit for an absent reader. */
static void publish_more_than_the_limit(void)
{
    for (published = 0; published < LIMIT + 1; published++)
        ended += publish_event('t', (struct sse_event){.data = sse_str("x")}).ended;
}

static void publish_more_than_four_times_the_limit(void)
{
    for (published = 0; published < 4 * LIMIT + 1; published++)
        ended += publish_event('t', (struct sse_event){.data = sse_str("x")}).ended;
}

static struct fake_client *open_reader(void)
{
    struct fake_client *client = prepare(0, SSE_OUTPUT_PULL);

    client->loop = NULL;
    client->options.queue_messages = LIMIT;
    assert_int_equal(join(client, "t", absent), 0);
    assert_int_equal(fake_client_pull(client), 0);
    fake_client_forget(client);
    ended = 0;
    return client;
}

/* A reader that has been notified may still come. So four times the limit counts, as for an output that was not
 * tried yet. */
static void a_reader_that_waits_has_a_turn_to_come(void **state)
{
    struct fake_client *client = open_reader();

    (void)state;
    meanwhile = publish_more_than_the_limit;
    assert_int_equal(sse_emitter_wait(client->emitter, -1), 1);
    assert_int_equal(ended, 0);
    assert_int_equal(fake_client_pull(client), 0);
    assert_int_equal(fake_client_info(client).events, LIMIT + 1);
    meanwhile = publish_more_than_four_times_the_limit;
    assert_int_equal(sse_emitter_wait(client->emitter, -1), -EIO);
    assert_int_equal(ended, 1);
    assert_int_equal(fake_client_info(client).reason, SSE_REASON_OVERFLOW);
}

/* An absent reader is held to the limit. */
static void a_reader_that_does_not_wait_overflows(void **state)
{
    struct fake_client *client = open_reader();

    (void)state;
    publish_more_than_the_limit();
    assert_int_equal(ended, 1);
    assert_int_equal(fake_client_info(client).reason, SSE_REASON_OVERFLOW);
}

/* A wait does the owner's work. What that queues counts before the wait returns, as bytes that nobody has tried to
 * write yet: four times the budget holds them. */
static void what_a_wait_queues_is_counted(void **state)
{
    struct fake_client *client;

    (void)state;
    use_registry((struct sse_registry_options){.backlog_bytes = 1});
    client = prepare(0, SSE_OUTPUT_PULL);
    client->loop = NULL;
    client->options.heartbeat_ms = 100;
    assert_int_equal(join(client, "t", absent), 0);
    assert_int_equal(fake_client_pull(client), 0);
    assert_int_equal(stats().backlog_bytes, 0);
    fake_platform_advance_ms(&platform, 100);
    assert_int_equal(sse_emitter_wait(client->emitter, 0), 1);
    assert_int_equal(stats().backlog_bytes, 2);
    expect_delivery(publish_event('x', (struct sse_event){.data = sse_str("x")}), 0, 0, 0);
    expect_open(client);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(a_reader_that_waits_has_a_turn_to_come),
        STAGE_TEST(a_reader_that_does_not_wait_overflows),
        STAGE_TEST(what_a_wait_queues_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
