/* SPDX-License-Identifier: MIT */
/* Caps: which clients are refused, and which are evicted for a newer one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry_stage.h"

#include <stdlib.h>

#define MANY 10000

static void use_caps(enum sse_admission admission, size_t emitters, size_t topic_emitters)
{
    use_registry((struct sse_registry_options){.emitters_max = emitters,
                                               .topic_emitters_max = topic_emitters,
                                               .admission = admission,
                                               .history = {.events = 10},
                                               .id_prefix = sse_str("E")});
}

static int try_enter(size_t which, const char *topics)
{
    return join(prepare(which, SSE_OUTPUT_CALLBACK), topics, absent);
}

/* An emitter whose bytes cannot be written, so that it drains when it is completed. */
static struct fake_client *enter_slow(size_t which, const char *topics)
{
    struct fake_client *client = enter(which, topics);

    client->output.room = 0;
    assert_int_equal(send_data(client, "1"), 0);
    (void)fake_loop_settle(&loop);
    return client;
}

static void expect_completed(size_t which)
{
    expect_end(&clients[which], SSE_REASON_COMPLETED, 0);
}

static void expect_evicted(size_t which)
{
    expect_end(&clients[which], SSE_REASON_EVICTED, 0);
}

static void a_full_registry_refuses(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_REFUSE, 3, 0);
    for (size_t i = 0; i < 3; i++)
        enter(i, "a");
    assert_int_equal(try_enter(3, "b"), -EAGAIN);
    assert_int_equal(try_enter(3, ""), -EAGAIN);
    assert_int_equal(subscribe(&clients[0], "ba", absent, NULL), 0);
    assert_int_equal(stats().refused, 2);
    assert_int_equal(stats().added, 3);
    assert_int_equal(count(NULL), 3);
    assert_int_equal(count("b"), 1);
    assert_int_equal(sse_emitter_abort(clients[1].emitter, -EIO), 0);
    enter(3, "b");
    assert_int_equal(count("b"), 2);
    fake_client_free(&clients[2]);
    enter(4, "c");
    assert_int_equal(try_enter(5, ""), -EAGAIN);
    assert_int_equal(stats().refused, 3);
    assert_int_equal(stats().added, 5);
}

/* The emitter subscribes to all topics and joins the registry, or nothing happens. */
static void a_full_topic_refuses(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_REFUSE, 0, 2);
    enter(0, "a");
    enter(1, "ab");
    assert_int_equal(try_enter(2, "ca"), -EAGAIN);
    assert_int_equal(try_enter(3, "acb"), -EAGAIN);
    assert_int_equal(count(NULL), 2);
    assert_int_equal(count("a"), 2);
    assert_int_equal(count("b"), 1);
    assert_int_equal(count("c"), 0);
    assert_int_equal(stats().topics, 2);
    assert_int_equal(stats().refused, 2);
    assert_int_equal(stats().added, 2);
    enter(2, "c");
    assert_int_equal(subscribe(&clients[2], "ba", absent, NULL), -EAGAIN);
    assert_int_equal(count("b"), 1);
    assert_int_equal(count("c"), 1);
    assert_int_equal(subscribe(&clients[1], "aba", absent, NULL), 0);
    assert_int_equal(subscribe(&clients[2], "bcbb", absent, NULL), 0);
    assert_int_equal(count("b"), 2);
    assert_int_equal(sse_emitter_abort(clients[0].emitter, -EIO), 0);
    assert_int_equal(subscribe(&clients[2], "a", absent, NULL), 0);
    assert_int_equal(stats().refused, 3);
    assert_int_equal(stats().added, 3);
}

/* One place is free, and the list names the topic twice. Both names need only one place. */
static void a_topic_that_is_named_twice_takes_one_place(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_REFUSE, 0, 1);
    enter(0, "aaba");
    assert_int_equal(count("a"), 1);
    enter(1, "cc");
    assert_int_equal(count("c"), 1);
}

/* A draining emitter still occupies its place. */
static void a_place_is_free_when_the_end_is_reached(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_REFUSE, 1, 1);
    assert_int_equal(sse_emitter_complete(enter_slow(0, "a")->emitter), 0);
    (void)fake_loop_settle(&loop);
    assert_int_equal(try_enter(1, "a"), -EAGAIN);
    fake_client_make_room(&clients[0], SIZE_MAX);
    expect_completed(0);
    assert_int_equal(try_enter(1, "a"), 0);
}

/* When the call returns, the newcomer is a member and the oldest is not. The loop does the rest of the end. Row
 * M8. */
static void the_oldest_is_evicted_at_once(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, 3, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(try_enter(i, "a"), 0);
        assert_int_equal(count(NULL), i < 3 ? i + 1 : 3);
        assert_int_equal(count("a"), i < 3 ? i + 1 : 3);
        if (i >= 3) {
            assert_int_equal(clients[i - 3].completions, 0);
            assert_int_equal(send_data(&clients[i - 3], "late"), SSE_ENDED);
        }
        (void)fake_loop_settle(&loop);
        for (size_t j = 0; j <= i; j++) {
            if (j + 3 <= i)
                expect_evicted(j);
            else
                expect_open(&clients[j]);
        }
    }
    assert_int_equal(stats().refused, 0);
    assert_int_equal(stats().added, CLIENTS);
    assert_int_equal(stats().ended_by[SSE_REASON_EVICTED], CLIENTS - 3);
}

static void the_newest_of_a_topic_stay(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, 0, 2);
    enter(0, "a");
    enter(1, "b");
    enter(2, "ab");
    enter(3, "a");
    expect_evicted(0);
    expect_open(&clients[1]);
    expect_open(&clients[2]);
    enter(4, "ab");
    /* The oldest of a was 2, and its end also freed its place in b. So 1 stays. */
    expect_evicted(2);
    assert_int_equal(count("a"), 2);
    assert_int_equal(count("b"), 2);
    expect_open(&clients[1]);
    expect_open(&clients[3]);
    expect_open(&clients[4]);
}

/* Both topics are over their cap, and the same emitter is the oldest of both. */
static void one_emitter_may_be_the_oldest_of_several_topics(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, 2, 1);
    enter(0, "abc");
    enter(1, "d");
    enter(2, "abcc");
    expect_evicted(0);
    expect_open(&clients[1]);
    expect_open(&clients[2]);
    assert_int_equal(count(NULL), 2);
    assert_int_equal(count("a") + count("b") + count("c") + count("d"), 4);
}

/* An evicted emitter writes its queued bytes while it does not count. For each newcomer one is evicted, and no
 * more. */
static void evicted_emitters_drain_outside_of_the_cap(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, 2, 2);
    for (size_t i = 0; i < 6; i++) {
        enter_slow(i, "a");
        assert_int_equal(count(NULL), i < 2 ? i + 1 : 2);
        for (size_t j = 0; j <= i; j++)
            assert_int_equal(fake_client_info(&clients[j]).state,
                             j + 2 <= i ? SSE_STATE_DRAINING : SSE_STATE_OPEN);
    }
    assert_int_equal(stats().remaining, 6);
    expect_delivery(publish('a', "2"), 2, 0, 0);
    for (size_t i = 0; i < 4; i++) {
        fake_client_make_room(&clients[i], SIZE_MAX);
        expect_evicted(i);
        assert_string_equal(fake_client_events(&clients[i]), "data: 1\n\n");
    }
    assert_int_equal(count("a"), 2);
    assert_int_equal(stats().ended_by[SSE_REASON_EVICTED], 4);
    expect_open(&clients[4]);
    expect_open(&clients[5]);
}

/* The time of the subscription counts, not the time of joining the registry. */
static void the_oldest_of_a_topic_has_subscribed_first(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, 0, 2);
    enter(0, "b");
    enter(1, "a");
    enter(2, "a");
    assert_int_equal(subscribe(&clients[0], "a", absent, NULL), 0);
    (void)fake_loop_settle(&loop);
    expect_evicted(1);
    expect_open(&clients[0]);
    assert_int_equal(subscribe(&clients[0], "ab", absent, NULL), 0);
    enter(3, "a");
    expect_evicted(2);
    expect_open(&clients[0]);
    enter(4, "a");
    expect_evicted(0);
}

/* The server itself has already completed the oldest, which keeps its place until its end. */
static void the_oldest_may_be_draining_already(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, 2, 0);
    enter_slow(0, "a");
    enter(1, "a");
    assert_int_equal(sse_emitter_complete(clients[0].emitter), 0);
    assert_int_equal(count(NULL), 2);
    enter(2, "a");
    assert_int_equal(count(NULL), 2);
    expect_open(&clients[1]);
    expect_open(&clients[2]);
    fake_client_make_room(&clients[0], SIZE_MAX);
    expect_completed(0);
    assert_int_equal(stats().ended_by[SSE_REASON_COMPLETED], 1);
}

/* If the newcomer cannot join, nobody is evicted. */
static void a_failed_subscription_evicts_nobody(void **state)
{
    const struct sse_shutdown_options shutdown = {.size = sizeof(shutdown), .drain_ms = 1000};

    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, 2, 1);
    enter_slow(0, "a");
    enter(1, "b");
    for (size_t nth = 1; nth < 100; nth++) {
        int error;

        fake_platform_fail_at(&platform, nth, false);
        error = subscribe(&clients[1], "cda", sse_str("unknown"), NULL);
        fake_platform_fail_at(&platform, 0, false);
        (void)fake_loop_settle(&loop);
        if (!error)
            break;
        assert_int_equal(error, -ENOMEM);
        expect_open(&clients[0]);
        assert_int_equal(count("c") + count("d"), 0);
        assert_int_equal(count("a"), 1);
    }
    assert_int_equal(fake_client_info(&clients[0]).state, SSE_STATE_DRAINING);
    assert_int_equal(count(NULL), 1);
    enter_slow(2, "x");
    assert_int_equal(sse_emitter_complete(clients[1].emitter), 0);
    assert_int_equal(subscribe(&clients[1], "x", absent, NULL), SSE_ENDED);
    expect_open(&clients[2]);
    assert_int_equal(sse_registry_shutdown(registry, &shutdown), 0);
    assert_int_equal(try_enter(3, "x"), -ECONNREFUSED);
    assert_int_equal(subscribe(&clients[2], "y", absent, NULL), -ECONNREFUSED);
}

/* A page that reconnects whenever it is closed: each end causes the next newcomer. */
static struct sse_emitter_options originals;
static size_t next_newcomer;

static void let_the_next_in(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    originals.on_completion(emitter, completion, user);
    if (next_newcomer == CLIENTS)
        return;
    assert_int_equal(try_enter(next_newcomer++, "a"), 0);
    assert_int_equal(count("a"), 2);
}

static void clients_may_reconnect_at_each_eviction(void **state)
{
    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, 2, 2);
    next_newcomer = 3;
    for (size_t i = 0; i < 2; i++) {
        originals = prepare(i, SSE_OUTPUT_CALLBACK)->options;
        clients[i].options.on_completion = let_the_next_in;
        assert_int_equal(join(&clients[i], "a", absent), 0);
    }
    enter(2, "a");
    assert_int_equal(next_newcomer, 5);
    expect_evicted(0);
    expect_evicted(1);
    expect_evicted(2);
    assert_int_equal(count(NULL), 2);
    assert_int_equal(stats().added, 5);
}

static void an_unknown_admission_is_refused(void **state)
{
    struct sse_registry_options options = {.size = sizeof(options), .platform = &platform.platform};
    struct sse_registry *made = NULL;

    (void)state;
    options.admission = (enum sse_admission)2;
    assert_int_equal(sse_registry_new(&made, &options), -EINVAL);
    options.admission = (enum sse_admission) - 1;
    assert_int_equal(sse_registry_new(&made, &options), -EINVAL);
    assert_null(made);
}

/* Random joins and ends, compared with a plain list of the expected members. */
static void random_arrivals_match_a_model(void **state)
{
    size_t order[CLIENTS], present = 0;
    const size_t cap = 4;

    (void)state;
    use_caps(SSE_ADMISSION_EVICT_OLDEST, cap, 0);
    for (size_t round = 0; round < 400; round++) {
        size_t which = (size_t)(platform.platform.random(&platform) % CLIENTS), at = 0;

        while (at < present && order[at] != which)
            at++;
        if (at == present) {
            enter(which, "a");
            if (present == cap) {
                expect_evicted(order[0]);
                memmove(&order[0], &order[1], --present * sizeof(order[0]));
            }
            order[present++] = which;
        } else {
            assert_int_equal(sse_emitter_abort(clients[which].emitter, -EPIPE), 0);
            memmove(&order[at], &order[at + 1], (--present - at) * sizeof(order[0]));
        }
        assert_int_equal(count("a"), present);
        for (size_t i = 0; i < present; i++)
            expect_open(&clients[order[i]]);
    }
}

/* Returns the open emitter that joined first, or `end`. */
static size_t first_open(const struct fake_client *many, size_t from, size_t end)
{
    while (from < end && fake_client_info(&many[from]).state != SSE_STATE_OPEN)
        from++;
    return from;
}

static void open_one_of_many(struct fake_client *client)
{
    fake_client_init(client, &platform, SSE_OUTPUT_PULL);
    client->loop = &loop;
    client->options.registry = registry;
    assert_int_equal(join(client, "ab", absent), 0);
}

/* After ends in any order, each newcomer evicts the oldest. */
static void many_are_evicted_in_order(void **state)
{
    struct fake_client *many = calloc(2 * MANY, sizeof(*many));
    size_t oldest = 0, next = 0;

    (void)state;
    assert_non_null(many);
    use_caps(SSE_ADMISSION_EVICT_OLDEST, MANY, MANY);
    while (next < MANY)
        open_one_of_many(&many[next++]);
    for (size_t i = 0; i < MANY / 3; i++)
        (void)sse_emitter_abort(many[platform.platform.random(&platform) % MANY].emitter, -EIO);
    while (count(NULL) < MANY)
        open_one_of_many(&many[next++]);
    while (next < 2 * MANY) {
        oldest = first_open(many, oldest, next);
        open_one_of_many(&many[next++]);
        assert_int_equal(fake_client_info(&many[oldest]).state, SSE_STATE_DRAINING);
        assert_true(first_open(many, oldest, next) > oldest);
        assert_int_equal(count("a"), MANY);
    }
    /* No other emitter was evicted. */
    oldest = first_open(many, oldest, next);
    for (size_t i = oldest; i < next; i++)
        assert_int_not_equal(fake_client_info(&many[i]).state, SSE_STATE_DRAINING);
    for (size_t i = 0; i < next; i++) {
        sse_emitter_close(many[i].emitter);
        many[i].emitter = NULL;
    }
    (void)fake_loop_settle(&loop);
    for (size_t i = 0; i < next; i++) {
        assert_int_equal(many[i].releases, 1);
        fake_client_free(&many[i]);
    }
    free(many);
}

#define STAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(a_full_registry_refuses),
        STAGE_TEST(a_full_topic_refuses),
        STAGE_TEST(a_topic_that_is_named_twice_takes_one_place),
        STAGE_TEST(a_place_is_free_when_the_end_is_reached),
        STAGE_TEST(the_oldest_is_evicted_at_once),
        STAGE_TEST(the_newest_of_a_topic_stay),
        STAGE_TEST(one_emitter_may_be_the_oldest_of_several_topics),
        STAGE_TEST(evicted_emitters_drain_outside_of_the_cap),
        STAGE_TEST(the_oldest_of_a_topic_has_subscribed_first),
        STAGE_TEST(the_oldest_may_be_draining_already),
        STAGE_TEST(a_failed_subscription_evicts_nobody),
        STAGE_TEST(clients_may_reconnect_at_each_eviction),
        STAGE_TEST(an_unknown_admission_is_refused),
        STAGE_TEST(random_arrivals_match_a_model),
        STAGE_TEST(many_are_evicted_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
