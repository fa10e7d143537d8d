/* SPDX-License-Identifier: MIT */
/* sse_registry_each, sse_registry_complete, and a registry that is released before its emitters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdlib.h>

#define MEMBERS 5

/* The visitor's action at client 1. */
static void (*deed)(void);
static unsigned visits[CLIENTS];

static int visit(struct sse_emitter *emitter, void *user)
{
    struct fake_client *client = sse_emitter_user(emitter);
    const unsigned *stop = user;
    unsigned total = 0;

    visits[client - clients]++;
    if (client == &clients[1] && deed)
        deed();
    for (size_t i = 0; i < CLIENTS; i++)
        total += visits[i];
    return stop && total == *stop ? -77 : 0;
}

/* Returns how many were visited, each once. */
static unsigned walk(void (*what)(void), const char *topic)
{
    unsigned total = 0;

    deed = what;
    memset(visits, 0, sizeof(visits));
    assert_int_equal(sse_registry_each(registry, sse_str(topic), visit, NULL), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_in_range(visits[i], 0, 1);
        total += visits[i];
    }
    return total;
}

static void fill(void)
{
    for (size_t i = 0; i < MEMBERS; i++)
        enter(i, i < 3 ? "t" : "u");
}

static void each_member_is_visited_once(void **state)
{
    unsigned stop = 2, total = 0;

    (void)state;
    assert_int_equal(walk(NULL, NULL), 0);
    fill();
    assert_int_equal(walk(NULL, "t"), 3);
    assert_int_equal(walk(NULL, "u"), 2);
    assert_int_equal(walk(NULL, "nobody"), 0);
    assert_int_equal(walk(NULL, NULL), MEMBERS);
    memset(visits, 0, sizeof(visits));
    assert_int_equal(sse_registry_each(registry, absent, visit, &stop), -77);
    for (size_t i = 0; i < CLIENTS; i++)
        total += visits[i];
    assert_int_equal(total, 2);
    assert_int_equal(sse_registry_each(NULL, absent, visit, NULL), -EINVAL);
    assert_int_equal(sse_registry_each(registry, absent, NULL, NULL), -EINVAL);
}

static void add_another(void)
{
    assert_int_equal(join(prepare(MEMBERS, SSE_OUTPUT_CALLBACK), "t", absent), 0);
}

static void subscribe_all(void)
{
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(subscribe(&clients[i], "txyz", absent, NULL), 0);
}

static void unsubscribe_all(void)
{
    for (size_t i = 0; i < MEMBERS; i++)
        assert_int_equal(unsubscribe(&clients[i], "tuxyz"), 0);
}

static void publish_to_all(void)
{
    expect_delivery(publish_event(' ', (struct sse_event){.data = sse_str("from the visitor")}), MEMBERS + 1,
                    0, 0);
}

/* Emitters that have not been visited yet stay valid. */
static void close_all(void)
{
    for (size_t i = 0; i < MEMBERS + 1; i++) {
        sse_emitter_close(clients[i].emitter);
        clients[i].emitter = NULL;
    }
}

static void release_one(void)
{
    sse_emitter_unref(clients[1].emitter);
    clients[1].emitter = NULL;
}

/* Without a loop that is a close, although the walk has a reference too. */
static void a_visitor_may_release_the_last_reference(void **state)
{
    (void)state;
    prepare(1, SSE_OUTPUT_PULL)->loop = NULL;
    assert_int_equal(join(&clients[1], "t", absent), 0);
    assert_int_equal(walk(release_one, "t"), 1);
    assert_int_equal(count(NULL), 0);
    assert_int_equal(clients[1].completion.reason, SSE_REASON_CLOSED);
    assert_int_equal(clients[1].releases, 1);
}

static void walk_in_walk(void)
{
    unsigned stop = 1;

    deed = NULL;
    memset(visits, 0, sizeof(visits));
    assert_int_equal(sse_registry_each(registry, sse_str("u"), visit, &stop), -77);
    memset(visits, 0, sizeof(visits));
}

static void a_visitor_may_do_anything(void **state)
{
    (void)state;
    fill();
    assert_int_equal(walk(add_another, NULL), MEMBERS);
    assert_int_equal(walk(NULL, NULL), MEMBERS + 1);
    assert_int_equal(walk(subscribe_all, "t"), 4);
    assert_int_equal(walk(NULL, "t"), MEMBERS + 1);
    assert_int_equal(walk(publish_to_all, "x"), MEMBERS);
    assert_int_equal(walk(unsubscribe_all, "t"), MEMBERS + 1);
    assert_int_equal(walk(NULL, "t"), 1);
    assert_int_equal(walk(NULL, NULL), MEMBERS + 1);
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < MEMBERS; i++)
        assert_string_equal(fake_client_events(&clients[i]), EVENT("from the visitor", "1"));
    assert_int_equal(subscribe(&clients[1], "u", absent, NULL), 0);
    deed = walk_in_walk;
    assert_int_equal(sse_registry_each(registry, sse_str("u"), visit, NULL), 0);
    assert_int_equal(walk(close_all, NULL), MEMBERS + 1);
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < MEMBERS + 1; i++) {
        assert_int_equal(clients[i].completions, 1);
        assert_int_equal(clients[i].releases, 1);
        assert_int_equal(clients[i].completion.reason, SSE_REASON_CLOSED);
        fake_client_free(&clients[i]);
    }
    assert_int_equal(walk(NULL, NULL), 0);
}

static int unref_the_registry(struct sse_emitter *emitter, void *user)
{
    (void)emitter, (void)user;
    sse_registry_unref(registry);
    registry = NULL;
    return 5;
}

static void a_visitor_may_release_the_registry(void **state)
{
    (void)state;
    fill();
    assert_int_equal(sse_registry_each(registry, absent, unref_the_registry, NULL), 5);
    expect_open(&clients[0]);
}

static int leave_nothing(struct sse_emitter *emitter, void *user)
{
    clients[0].emitter = NULL;
    sse_emitter_close(emitter);
    return unref_the_registry(emitter, user);
}

/* The emitters do not keep the registry any longer either. Row L1. */
static void a_visitor_may_release_every_reference(void **state)
{
    (void)state;
    (void)prepare(0, SSE_OUTPUT_PULL);
    clients[0].loop = NULL;
    assert_int_equal(join(&clients[0], "t", absent), 0);
    assert_int_equal(sse_registry_each(registry, absent, leave_nothing, NULL), 5);
    assert_int_equal(clients[0].releases, 1);
    fake_client_free(&clients[0]);
}

/* Queued events are still written. Other topics do not change. */
static void a_topic_is_completed(void **state)
{
    (void)state;
    fill();
    (void)publish_event(' ', (struct sse_event){.data = sse_str("last")});
    assert_int_equal(sse_registry_complete(registry, sse_str("t")), 0);
    assert_int_equal(sse_registry_complete(registry, sse_str("nobody")), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fake_client_info(&clients[i]).state, SSE_STATE_DRAINING);
        assert_int_equal(send_data(&clients[i], "late"), SSE_ENDED);
    }
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < MEMBERS; i++) {
        assert_string_equal(fake_client_events(&clients[i]), EVENT("last", "1"));
        if (i < 3)
            expect_end(&clients[i], SSE_REASON_COMPLETED, 0);
        else
            expect_open(&clients[i]);
    }
    assert_int_equal(count(NULL), 2);
    assert_int_equal(sse_registry_complete(registry, absent), 0);
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < MEMBERS; i++)
        expect_end(&clients[i], SSE_REASON_COMPLETED, 0);
    assert_int_equal(count(NULL), 0);
    assert_int_equal(sse_registry_complete(registry, absent), 0);
}

/* It needs no memory, and a client that is ending does not end a second time. */
static void a_complete_cannot_fail(void **state)
{
    (void)state;
    fill();
    clients[0].output.room = 0;
    assert_int_equal(send_data(&clients[0], "waits"), 0);
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(sse_emitter_abort(clients[1].emitter, -EIO), 0);
    fake_platform_fail_at(&platform, 1, true);
    assert_int_equal(sse_registry_complete(registry, absent), 0);
    (void)fake_loop_settle(&loop);
    fake_platform_fail_at(&platform, 0, false);
    assert_int_equal(fake_client_info(&clients[0]).state, SSE_STATE_DRAINING);
    expect_end(&clients[1], SSE_REASON_ABORTED, -EIO);
    for (size_t i = 2; i < MEMBERS; i++)
        expect_end(&clients[i], SSE_REASON_COMPLETED, 0);
    fake_client_make_room(&clients[0], SIZE_MAX);
    expect_end(&clients[0], SSE_REASON_COMPLETED, 0);
    assert_string_equal(fake_client_events(&clients[0]), "data: waits\n\n");
}

/* The registry's emitters stay open, and end as usual. Row L2. */
static void a_registry_may_be_released_before_its_emitters(void **state)
{
    (void)state;
    fill();
    clients[4].output.room = 0;
    (void)publish_event('t', (struct sse_event){.data = sse_str("queued")});
    (void)publish_event('u', (struct sse_event){.data = sse_str("queued")});
    sse_registry_unref(registry);
    registry = NULL;
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_events(&clients[0]), EVENT("queued", "1"));
    assert_int_equal(send_data(&clients[0], "by hand"), 0);
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    assert_int_equal(sse_emitter_abort(clients[2].emitter, -EIO), 0);
    (void)fake_loop_settle(&loop);
    assert_string_equal(fake_client_events(&clients[0]), EVENT("queued", "1") "data: by hand\n\n");
    expect_open(&clients[0]);
    expect_end(&clients[1], SSE_REASON_COMPLETED, 0);
    expect_end(&clients[2], SSE_REASON_ABORTED, -EIO);
    expect_open(&clients[4]);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(each_member_is_visited_once),
        STAGE_TEST(a_visitor_may_do_anything),
        STAGE_TEST(a_visitor_may_release_the_last_reference),
        STAGE_TEST(a_visitor_may_release_the_registry),
        STAGE_TEST(a_visitor_may_release_every_reference),
        STAGE_TEST(a_topic_is_completed),
        STAGE_TEST(a_complete_cannot_fail),
        STAGE_TEST(a_registry_may_be_released_before_its_emitters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
