/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_platform.h"
#include "fanout/topics.h"

#include <stdlib.h>
#include <string.h>

#define TOPICS 3000
#define OPERATIONS 200000

static struct fake_platform fake;
static struct emitter_membership membership;
static struct topic *topics;

/* A plain model of the emitter's subscriptions. */
static struct subscription model[TOPICS];
static uint32_t model_count;

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    membership = (struct emitter_membership){.topic = NULL};
    model_count = 0;
    topics = calloc(TOPICS, sizeof(*topics));
    return topics ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    while (sse_subscriptions_count(&membership))
        sse_subscriptions_remove(&membership, 0, &fake.platform);
    free(topics);
    fake_platform_check_no_leak(&fake);
    return 0;
}

static uint32_t model_find(const struct topic *topic)
{
    uint32_t position = 0;

    while (position < model_count && model[position].topic != topic)
        position++;
    return position;
}

static void add(struct topic *topic, uint32_t place)
{
    const struct subscription added = {.topic = topic, .place = place};

    assert_true(sse_subscriptions_reserve(&membership, &fake.platform));
    sse_subscriptions_add(&membership, added);
    model[model_count++] = added;
}

static void remove_at(uint32_t position)
{
    sse_subscriptions_remove(&membership, position, &fake.platform);
    model[position] = model[--model_count];
}

static void check(const struct topic *topic)
{
    assert_int_equal(sse_subscriptions_count(&membership), model_count);
    assert_int_equal(sse_subscriptions_find(&membership, topic), model_find(topic));
}

static void check_all(void)
{
    for (uint32_t i = 0; i < model_count; i++) {
        struct subscription found = sse_subscriptions_at(&membership, i);

        assert_ptr_equal(found.topic, model[i].topic);
        assert_int_equal(found.place, model[i].place);
    }
    for (size_t i = 0; i < TOPICS; i++)
        check(&topics[i]);
}

/* The share of new ones changes slowly, so that the list grows, empties and is freed many times. */
static void random_operations_match_a_model(void **state)
{
    size_t emptied = 0, most = 0;

    (void)state;
    for (size_t i = 0; i < OPERATIONS; i++) {
        uint64_t random = fake.platform.random(&fake);
        struct topic *topic = &topics[random % (i % 50000 < 25000 ? TOPICS : 40)];
        bool adds = random >> 32 & 1 || (i % 10000 < 5000 && random >> 33 & 1);
        uint32_t position = model_find(topic);

        check(topic);
        if (adds && position == model_count)
            add(topic, (uint32_t)random);
        else if (!adds && model_count)
            remove_at((uint32_t)(random >> 40) % model_count);
        if (model_count && random >> 63) {
            sse_subscriptions_move(&membership, model_count / 2, (uint32_t)i);
            model[model_count / 2].place = (uint32_t)i;
        }
        emptied += !model_count;
        most = model_count > most ? model_count : most;
        if (i % 5000 == 0)
            check_all();
    }
    assert_true(emptied > 10);
    assert_true(most > 500);
}

static void a_failed_reserve_changes_nothing(void **state)
{
    size_t refused = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        fake_platform_fail_at(&fake, 1, false);
        if (!sse_subscriptions_reserve(&membership, &fake.platform))
            refused++;
        fake_platform_fail_at(&fake, 0, false);
        check(&topics[i]);
        add(&topics[i], i);
    }
    check_all();
    assert_in_range(refused, 20, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_operations_match_a_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_reserve_changes_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
