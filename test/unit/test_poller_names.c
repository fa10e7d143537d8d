/* SPDX-License-Identifier: MIT */
/* Numbers and generations of descriptors, and many descriptors, with both pollers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "faulty_calls.h"
#include "poller_stage.h"

#include <errno.h>
#include <unistd.h>

/* More than three waits report. */
#define PAIRS_MAX 200

static void removed_descriptors_are_not_reported(void **state)
{
    struct poller_stage *stage = *state;

    for (int removed = 0; removed < 3; removed++) {
        struct poller_pair pairs[3];

        for (int i = 0; i < 3; i++) {
            poller_pair_add(stage, &pairs[i], POLLER_INPUT);
            poller_pair_send(&pairs[i]);
        }
        stage->poller->remove(stage->poller, pairs[removed].ends[0]);
        assert_int_equal(poller_stage_wait(stage), 2);
        for (int i = 0; i < 2; i++)
            assert_int_not_equal(stage->events[i].descriptor, pairs[removed].ends[0]);
        pairs[removed].generation += 10;
        assert_int_equal(stage->poller->add(stage->poller, pairs[removed].ends[0], pairs[removed].generation,
                                            POLLER_INPUT),
                         0);
        assert_true(poller_stage_happened(stage, &pairs[removed]) & POLLER_INPUT);
        for (int i = 0; i < 3; i++)
            poller_pair_remove(stage, &pairs[i]);
        assert_int_equal(poller_stage_wait(stage), 0);
    }
}

static void a_descriptor_is_added_once(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;

    poller_pair_add(stage, &pair, POLLER_INPUT);
    assert_int_equal(stage->poller->add(stage->poller, pair.ends[0], pair.generation + 1, POLLER_INPUT),
                     -EEXIST);
    poller_pair_send(&pair);
    assert_true(poller_stage_happened(stage, &pair) & POLLER_INPUT);
    poller_pair_remove(stage, &pair);
}

static void unknown_descriptors_are_ignored(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair, unknown;

    poller_pair_open(&unknown);
    stage->poller->remove(stage->poller, unknown.ends[0]);
    poller_pair_change(stage, &unknown, POLLER_OUTPUT);
    poller_pair_add(stage, &pair, POLLER_INPUT);
    stage->poller->remove(stage->poller, unknown.ends[0]);
    stage->poller->remove(stage->poller, 1000000);
    stage->poller->remove(stage->poller, -1);
    poller_pair_change(stage, &unknown, POLLER_OUTPUT);
    assert_int_equal(stage->poller->add(stage->poller, -1, 1, POLLER_INPUT), -EBADF);
    assert_false(poller_stage_happened(stage, &unknown));
    poller_pair_send(&pair);
    assert_true(poller_stage_happened(stage, &pair) & POLLER_INPUT);
    poller_pair_remove(stage, &pair);
    poller_pair_close(&unknown);
}

/* As soon as a number is closed, it may belong to another file. Late events of the old file have the old
 * generation. */
static void a_number_that_is_used_again_has_another_generation(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair old, new;
    int number;

    poller_pair_add(stage, &old, POLLER_INPUT);
    poller_pair_send(&old);
    number = old.ends[0];
    stage->poller->remove(stage->poller, number);
    poller_pair_open(&new);
    assert_int_equal(dup2(new.ends[0], number), number);
    close(new.ends[0]);
    new.ends[0] = number;
    assert_int_equal(stage->poller->add(stage->poller, number, new.generation, POLLER_INPUT), 0);
    assert_false(poller_stage_happened(stage, &new) & POLLER_INPUT);
    poller_pair_send(&new);
    assert_true(poller_stage_happened(stage, &new) & POLLER_INPUT);
    assert_int_equal(poller_stage_happened(stage, &old), 0);
    poller_pair_close_end(&old, 1);
    poller_pair_remove(stage, &new);
}

/* Another part of the program closed it and has a copy, which epoll still reports. */
static void a_number_that_was_closed_behind_the_poller_has_the_old_generation(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair old, new;
    int number, copy;

    poller_pair_add(stage, &old, POLLER_INPUT);
    poller_stage_settle(stage);
    number = old.ends[0];
    copy = dup(number);
    poller_pair_open(&new);
    assert_int_equal(dup2(new.ends[0], number), number);
    close(new.ends[0]);
    new.ends[0] = number;
    if (!poller_stage_is_epoll(stage))
        stage->poller->remove(stage->poller, number);
    assert_int_equal(stage->poller->add(stage->poller, number, new.generation, POLLER_INPUT), 0);
    poller_stage_settle(stage);
    poller_pair_send(&old);
    assert_false(poller_stage_happened(stage, &new) & POLLER_INPUT);
    poller_pair_send(&new);
    assert_true(poller_stage_happened(stage, &new) & POLLER_INPUT);
    close(copy);
    poller_pair_close_end(&old, 1);
    poller_pair_remove(stage, &new);
}

/* Number 0 is valid, whatever the program does with its standard input. */
static void the_lowest_name_is_a_name_like_others(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;
    int standard_input = dup(STDIN_FILENO), found;

    poller_pair_open(&pair);
    assert_int_equal(dup2(pair.ends[0], STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(stage->poller->add(stage->poller, STDIN_FILENO, 0, POLLER_INPUT), 0);
    poller_pair_send(&pair);
    found = poller_stage_wait(stage);
    stage->poller->remove(stage->poller, STDIN_FILENO);
    close(STDIN_FILENO);
    if (standard_input >= 0) {
        assert_int_equal(dup2(standard_input, STDIN_FILENO), STDIN_FILENO);
        close(standard_input);
    }
    poller_pair_close(&pair);
    assert_int_equal(found, 1);
    assert_int_equal(stage->events[0].descriptor, STDIN_FILENO);
    assert_int_equal(stage->events[0].generation, 0);
}

static void an_old_generation_changes_nothing(void **state)
{
    struct poller_stage *stage = *state;
    struct poller_pair pair;

    if (poller_stage_is_epoll(stage)) /* the kernel knows only the number, and a report of input is never
                                       * withdrawn */
        return;
    poller_pair_add(stage, &pair, POLLER_INPUT);
    stage->poller->change(stage->poller, pair.ends[0], pair.generation - 1, 0);
    poller_pair_send(&pair);
    assert_true(poller_stage_happened(stage, &pair) & POLLER_INPUT);
    poller_pair_remove(stage, &pair);
}

/* Many */

/* There are more events than one wait reports. Every descriptor is reported some time. */
static void all_of_many_are_reported(void **state)
{
    static struct poller_pair pairs[PAIRS_MAX];
    struct poller_stage *stage = *state;
    bool reported[PAIRS_MAX] = {false};
    size_t waits = 0, found = 0;

    for (size_t i = 0; i < PAIRS_MAX; i++) {
        poller_pair_add(stage, &pairs[i], POLLER_INPUT);
        poller_pair_send(&pairs[i]);
    }
    for (; waits < PAIRS_MAX / POLLER_EVENTS_MAX + 1; waits++) {
        int count = poller_stage_wait(stage);

        assert_in_range(count, 1, POLLER_EVENTS_MAX);
        for (size_t i = 0; i < PAIRS_MAX * (size_t)count; i++) {
            const struct poller_event *event = &stage->events[i / PAIRS_MAX];

            if (event->descriptor != pairs[i % PAIRS_MAX].ends[0])
                continue;
            assert_int_equal(event->generation, pairs[i % PAIRS_MAX].generation);
            found += !reported[i % PAIRS_MAX];
            reported[i % PAIRS_MAX] = true;
        }
    }
    assert_int_equal(found, PAIRS_MAX);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        poller_pair_remove(stage, &pairs[i]);
}

/* However many are ready, poll(2) looks at all of them once. */
static void a_report_of_many_needs_one_poll(void **state)
{
    static struct poller_pair pairs[2 * POLLER_EVENTS_MAX];
    struct poller_stage *stage = *state;

    for (size_t count = POLLER_EVENTS_MAX - 1; count <= 2 * POLLER_EVENTS_MAX; count++) {
        size_t found = 0;
        int reported;

        for (size_t i = 0; i < count; i++) {
            poller_pair_add(stage, &pairs[i], POLLER_INPUT);
            poller_pair_send(&pairs[i]);
        }
        faulty_calls_reset();
        do {
            reported = poller_stage_wait(stage);
            found += (size_t)reported;
        } while (reported == POLLER_EVENTS_MAX && found <= count);
        assert_int_equal(found, count);
        assert_int_equal(faulty_calls_made(FAULTY_POLL), !poller_stage_is_epoll(stage));
        for (size_t i = 0; i < count; i++)
            poller_pair_remove(stage, &pairs[i]);
        assert_int_equal(poller_stage_wait(stage), 0);
    }
}

/* What was ready under a number is not reported of the next descriptor with this number. */
static void a_number_may_change_between_two_reports(void **state)
{
    static struct poller_pair pairs[2 * POLLER_EVENTS_MAX];
    const size_t count = sizeof(pairs) / sizeof(pairs[0]);
    struct poller_stage *stage = *state;

    for (size_t i = 0; i < count; i++) {
        poller_pair_add(stage, &pairs[i], POLLER_INPUT);
        poller_pair_send(&pairs[i]);
    }
    assert_int_equal(poller_stage_wait(stage), POLLER_EVENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        poller_pair_remove(stage, &pairs[i]);
        poller_pair_add(stage, &pairs[i], POLLER_INPUT);
    }
    for (int wait = 0; wait < 3; wait++)
        for (int i = poller_stage_wait(stage); i-- > 0;)
            assert_false(stage->events[i].happened & POLLER_INPUT);
    for (size_t i = 0; i < count; i++)
        poller_pair_remove(stage, &pairs[i]);
}

static int run(make_poller *const *maker, const char *name)
{
    const struct CMUnitTest tests[] = {
        POLLER_TEST(removed_descriptors_are_not_reported, maker),
        POLLER_TEST(a_descriptor_is_added_once, maker),
        POLLER_TEST(unknown_descriptors_are_ignored, maker),
        POLLER_TEST(a_number_that_is_used_again_has_another_generation, maker),
        POLLER_TEST(a_number_that_was_closed_behind_the_poller_has_the_old_generation, maker),
        POLLER_TEST(the_lowest_name_is_a_name_like_others, maker),
        POLLER_TEST(an_old_generation_changes_nothing, maker),
        POLLER_TEST(all_of_many_are_reported, maker),
        POLLER_TEST(a_report_of_many_needs_one_poll, maker),
        POLLER_TEST(a_number_may_change_between_two_reports, maker),
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return poller_stage_run(run);
}
