/* SPDX-License-Identifier: MIT */
/* Many loops share a registry. A publish wakes each loop once, and each loop writes to its own clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/registry.h>

#include "fake_client.h"

#include <string.h>

/* More loops than a publish collects marks for at the same time. */
#define LOOPS 20
#define CLIENTS (3 * LOOPS)

static struct fake_platform fake;
static struct fake_loop loops[LOOPS];
static struct fake_client clients[CLIENTS];
static struct sse_registry *registry;

/* The loops have a client in turn, twice, and then backwards. */
static size_t number_of_loop(size_t client)
{
    return client < 2 * LOOPS ? client % LOOPS : CLIENTS - 1 - client;
}

static int set_up(void **state)
{
    const struct sse_registry_options options = {.size = sizeof(options), .platform = &fake.platform};

    (void)state;
    fake_platform_init(&fake);
    assert_int_equal(sse_registry_new(&registry, &options), 0);
    for (size_t i = 0; i < LOOPS; i++)
        fake_loop_open(&loops[i], &fake);
    for (size_t i = 0; i < CLIENTS; i++) {
        fake_client_init(&clients[i], &fake, SSE_OUTPUT_CALLBACK);
        clients[i].loop = &loops[number_of_loop(i)];
        clients[i].options.registry = registry;
        fake_client_open(&clients[i]);
    }
    for (size_t i = 0; i < LOOPS; i++) {
        (void)fake_loop_settle(&loops[i]);
        atomic_store(&loops[i].wakes, 0);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        fake_client_forget(&clients[i]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS; i++)
        fake_client_free(&clients[i]);
    for (size_t i = 0; i < LOOPS; i++)
        fake_loop_close(&loops[i]);
    sse_registry_unref(registry);
    fake_platform_check_no_leak(&fake);
    return 0;
}

static void publish(const char *data)
{
    const struct sse_event event = {.data = sse_str(data)};
    struct sse_delivery delivery;

    assert_int_equal(sse_registry_publish(registry, sse_str(NULL), &event, &delivery), 0);
    assert_int_equal(delivery.receivers, CLIENTS);
}

static void expect_text(const char *expected)
{
    for (size_t i = 0; i < CLIENTS; i++)
        assert_string_equal(fake_client_text(&clients[i]), expected);
}

static void a_publish_wakes_each_loop_once(void **state)
{
    (void)state;
    publish("a");
    publish("b");
    for (size_t i = 0; i < LOOPS; i++)
        assert_int_equal(atomic_load(&loops[i].wakes), 1);
    expect_text("");
    for (size_t i = 0; i < LOOPS; i++)
        (void)fake_loop_settle(&loops[i]);
    expect_text("data: a\n\ndata: b\n\n");
    for (size_t i = 0; i < LOOPS; i++)
        assert_int_equal(atomic_load(&loops[i].wakes), 1);
}

/* A slow loop does not delay another one. */
static void each_loop_serves_its_own(void **state)
{
    (void)state;
    publish("a");
    for (size_t i = 0; i < LOOPS; i += 2)
        (void)fake_loop_settle(&loops[i]);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_string_equal(fake_client_text(&clients[i]), number_of_loop(i) % 2 ? "" : "data: a\n\n");
    publish("b");
    for (size_t i = 0; i < LOOPS; i++) {
        assert_int_equal(atomic_load(&loops[i].wakes), i % 2 ? 1 : 2);
        (void)fake_loop_settle(&loops[i]);
    }
    expect_text("data: a\n\ndata: b\n\n");
}

/* Another thread acts while a publish wakes one loop after the other. The first loop is woken last. */
static void *serve_the_first(void *data)
{
    (void)fake_loop_settle(&loops[0]);
    if (data)
        publish(data);
    return NULL;
}

static void let_the_first_be_served(struct fake_loop *loop, void *data)
{
    pthread_t thread;

    assert_int_equal(atomic_load(&loops[0].wakes), 0);
    loop->act = NULL;
    assert_int_equal(pthread_create(&thread, NULL, serve_the_first, data), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void publish_while_the_first_is_served(const char *then)
{
    loops[LOOPS - 1].act_user = (void *)(uintptr_t)then;
    loops[LOOPS - 1].act = let_the_first_be_served;
    publish("a");
}

/* A turn came before the wake and has done the work of the wake. */
static void a_loop_that_had_its_turn_is_not_woken(void **state)
{
    (void)state;
    publish_while_the_first_is_served(NULL);
    for (size_t i = 0; i < LOOPS; i++)
        assert_int_equal(atomic_load(&loops[i].wakes), i > 0);
    for (size_t i = 0; i < LOOPS; i++)
        (void)fake_loop_settle(&loops[i]);
    expect_text("data: a\n\n");
}

/* The loop is marked again, and one wake is enough for both marks. A fake loop aborts on two. */
static void a_loop_that_is_marked_anew_is_woken_once(void **state)
{
    (void)state;
    publish_while_the_first_is_served("b");
    for (size_t i = 0; i < LOOPS; i++)
        assert_int_equal(atomic_load(&loops[i].wakes), 1);
    for (size_t i = 0; i < LOOPS; i++)
        (void)fake_loop_settle(&loops[i]);
    expect_text("data: a\n\ndata: b\n\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_publish_wakes_each_loop_once),
        TEST(each_loop_serves_its_own),
        TEST(a_loop_that_had_its_turn_is_not_woken),
        TEST(a_loop_that_is_marked_anew_is_woken_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
