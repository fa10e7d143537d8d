/* SPDX-License-Identifier: MIT */
/* References that are released together: none is lost, none is released twice, and the count is seldom
 * written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/releases.h"
#include "fake_platform.h"

#define MESSAGES 40 /* more than there are places */
#define CLIENTS 50

static struct fake_platform fake;
static struct releases releases;
static struct sse_message *messages[MESSAGES];

static int set_up(void **state)
{
    const struct sse_event event = {.data = sse_str("x")};

    (void)state;
    fake_platform_init(&fake);
    sse_releases_begin(&releases);
    for (size_t i = 0; i < MESSAGES; i++)
        assert_int_equal(sse_message_new(&messages[i], &event, 1, &fake.platform), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++)
        sse_message_unref(messages[i]);
    fake_platform_check_no_leak(&fake);
    return 0;
}

static unsigned references(size_t index)
{
    return atomic_load(&messages[index]->refs);
}

static void add(size_t index)
{
    sse_message_keep(messages[index]);
    sse_releases_add(&releases, messages[index]);
}

static void expect_only_ours(void)
{
    for (size_t i = 0; i < MESSAGES; i++)
        assert_int_equal(references(i), 1);
}

static void nothing_is_released_before_the_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++)
        add(0);
    assert_int_equal(references(0), 1 + CLIENTS);
    sse_releases_finish(&releases);
    expect_only_ours();
    sse_releases_finish(&releases);
    expect_only_ours();
}

/* Each client gets the same burst, of as many messages as have a place. */
static void a_burst_is_released_at_the_end(void **state)
{
    (void)state;
    for (size_t burst = 1; burst <= RELEASES_MAX; burst++) {
        for (size_t client = 0; client < CLIENTS; client++)
            for (size_t i = 0; i < burst; i++)
                add(i);
        for (size_t i = 0; i < burst; i++)
            assert_int_equal(references(i), 1 + CLIENTS);
        sse_releases_finish(&releases);
        expect_only_ours();
    }
}

/* Some clients get other messages than the rest, in another order. */
static void every_order_comes_out_right(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        size_t wanted = 1 + round % MESSAGES;

        for (unsigned i = 0; i < 100; i++) {
            random = random * 1664525 + 1013904223;
            add((random >> 16) % wanted);
        }
        sse_releases_finish(&releases);
        expect_only_ours();
    }
}

static void the_last_reference_frees(void **state)
{
    const struct sse_event event = {.data = sse_str("y")};
    size_t blocks = atomic_load(&fake.blocks);
    struct sse_message *message = NULL;

    (void)state;
    assert_int_equal(sse_message_new(&message, &event, 1, &fake.platform), 0);
    sse_message_keep(message);
    sse_releases_add(&releases, message);
    sse_releases_add(&releases, message);
    assert_int_equal(atomic_load(&fake.blocks), blocks + 1);
    sse_releases_finish(&releases);
    assert_int_equal(atomic_load(&fake.blocks), blocks);
}

/* Heartbeats are nobody's to free. */
static void what_is_borrowed_is_not_counted(void **state)
{
    unsigned before = atomic_load(&sse_message_heartbeat()->refs);

    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++) {
        sse_releases_add(&releases, sse_message_heartbeat());
        sse_releases_add(&releases, sse_message_last_chunk());
    }
    sse_releases_finish(&releases);
    assert_int_equal(atomic_load(&sse_message_heartbeat()->refs), before);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_released_before_the_end), TEST(a_burst_is_released_at_the_end),
        TEST(every_order_comes_out_right),        TEST(the_last_reference_frees),
        TEST(what_is_borrowed_is_not_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
