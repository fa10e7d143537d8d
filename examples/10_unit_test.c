/* SPDX-License-Identifier: MIT */
/*
 * A unit test of an integration, with cmocka. It needs no socket, no thread and no waiting: the test moves the
 * clock, chooses the allocation that fails, and reads the client's bytes from a buffer.
 *
 *     cc 10_unit_test.c $(pkg-config --cflags --libs sse-emitter cmocka) -o unit_test && ./unit_test
 */
#include "fakes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- The integration. In your project it has a file of its own. ---- */

struct feed {
    const struct sse_platform *platform; /* NULL outside of tests */
    struct sse_registry *registry;
    struct sse_loop *loop;
    int clients;
    enum sse_reason last_end;
};

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct feed *feed = user;

    --feed->clients;
    feed->last_end = completion->reason;
    sse_emitter_close(emitter);
}

static int feed_add(struct feed *feed, ssize_t (*write)(void *, const struct iovec *, int))
{
    const struct sse_emitter_options options = {
        .size = sizeof(options),
        .platform = feed->platform,
        .registry = feed->registry,
        .loop = feed->loop,
        .output = SSE_OUTPUT_CALLBACK,
        .write = write,
        .queue_messages = 4,
        .on_completion = on_completion,
        .user = feed,
    };
    struct sse_emitter *emitter;
    int error = sse_emitter_new(&emitter, &options, NULL);

    if (error == 0)
        ++feed->clients;
    return error;
}

static int feed_publish(struct feed *feed, const char *text)
{
    const struct sse_event event = {.data = sse_str(text)};

    return sse_registry_publish(feed->registry, sse_str(NULL), &event, NULL);
}

/* ---- Its tests. ---- */

static struct feed feed;

static int set_up(void **state)
{
    const struct sse_registry_options in_memory = {.size = sizeof(in_memory), .platform = &fake_platform};

    (void)state;
    fake_reset();
    feed = (struct feed){.platform = &fake_platform};
    return sse_registry_new(&feed.registry, &in_memory) || sse_loop_new(&feed.loop, &fake_loop);
}

/* Fails if a block is still allocated. */
static int tear_down(void **state)
{
    (void)state;
    sse_loop_free(feed.loop);
    sse_registry_unref(feed.registry);
    return fake.blocks;
}

static void test_a_client_gets_events(void **state)
{
    (void)state;
    assert_int_equal(feed_add(&feed, fake_write), 0);
    assert_int_equal(feed_publish(&feed, "hello"), 0);
    fake_run(feed.loop, 0);
    assert_string_equal(fake.received, ":\ndata: hello\n\n");
    fake_run(feed.loop, 15000);
    assert_string_equal(fake.received, ":\ndata: hello\n\n:\n");
}

static void test_a_client_that_takes_nothing_is_ended(void **state)
{
    (void)state;
    assert_int_equal(feed_add(&feed, fake_write), 0);
    fake.room = 5;
    assert_int_equal(feed_publish(&feed, "hello"), 0);
    fake_run(feed.loop, 0);
    fake_run(feed.loop, 29999);
    assert_int_equal(feed.clients, 1);
    fake_run(feed.loop, 1);
    assert_int_equal(feed.clients, 0);
    assert_int_equal(feed.last_end, SSE_REASON_STALLED);
    assert_string_equal(fake.received, ":\ndat");
}

static void test_a_queue_that_overflows_ends_its_client(void **state)
{
    (void)state;
    assert_int_equal(feed_add(&feed, fake_write), 0);
    fake.room = 0;
    for (int sent = 0; sent < 5; ++sent) {
        assert_int_equal(feed.clients, 1);
        assert_int_equal(feed_publish(&feed, "hello"), 0);
        fake_run(feed.loop, 0);
    }
    assert_int_equal(feed.clients, 0);
    assert_int_equal(feed.last_end, SSE_REASON_OVERFLOW);
}

static void test_without_memory_nothing_changes(void **state)
{
    int nth = 1;

    (void)state;
    /* Each of the allocations fails once. */
    for (fake.until_failure = nth; feed_add(&feed, fake_write) == -ENOMEM; fake.until_failure = ++nth) {
        assert_int_equal(feed.clients, 0);
        assert_int_equal(sse_registry_count(feed.registry, sse_str(NULL)), 0);
    }
    assert_true(nth > 1);
    fake.until_failure = 1;
    assert_int_equal(feed_publish(&feed, "lost"), -ENOMEM);
    assert_int_equal(feed_publish(&feed, "hello"), 0);
    fake_run(feed.loop, 0);
    assert_string_equal(fake.received, ":\ndata: hello\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_client_gets_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_client_that_takes_nothing_is_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_queue_that_overflows_ends_its_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_memory_nothing_changes, set_up, tear_down)};

    return cmocka_run_group_tests_name("10_unit_test", tests, NULL, NULL);
}
