/* SPDX-License-Identifier: MIT */
/*
 * Checks the costs of calls in lib/README.md: counts the steps of a call with n and with 4 n of the thing that it
 * grows with, and compares. See steps.h.
 *
 *   complexity          measures all
 *   complexity NAME     measures one
 *   complexity --list   the rows that are measured, as the table has them: operation, what it grows with,
 * growth
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "costs.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COSTS_MAX 200
#define TIMES 4

/* The part of the steps at n that may be outside of the stated growth, or may change with addresses. */
#define SLACK 1.25

/* Below this growth, the wrong thing was measured, or the row states too much. */
#define GROWTH_AT_LEAST 2.0

static const struct cost *const groups[] = {costs_of_publishing, costs_of_queues, costs_of_histories,
                                            costs_of_members,    costs_of_topics, costs_of_reading,
                                            costs_of_loops,      costs_of_texts};

static const char *const growth_names[] = {
    [CONSTANT] = "1", [LOGARITHMIC] = "log n", [LINEAR] = "n", [LINEARITHMIC] = "n log n"};

static double logarithm(size_t number)
{
    double bits = 0;

    for (; number > 1; number /= 2)
        bits++;
    return bits;
}

static double growth_at_most(const struct cost *cost)
{
    double logarithms = logarithm(TIMES * cost->n) / logarithm(cost->n);

    switch (cost->growth) {
    case CONSTANT:
        return SLACK;
    case LOGARITHMIC:
        return SLACK * logarithms;
    case LINEAR:
        return SLACK * TIMES;
    case LINEARITHMIC:
        break;
    }
    return SLACK * TIMES * logarithms;
}

static void measure(void **state)
{
    const struct cost *cost = *state;
    uint64_t few = cost->steps(cost->n), many = cost->steps(TIMES * cost->n);
    double growth = (double)many / (double)few;
    bool grows = cost->growth == LINEAR || cost->growth == LINEARITHMIC;

    printf("%s, %s: %s; %llu steps at %zu, %llu at %zu, %.2f times\n", cost->operation, cost->grows_with,
           growth_names[cost->growth], (unsigned long long)few, cost->n, (unsigned long long)many,
           TIMES * cost->n, growth);
    if (!few || !many)
        skip();
    if (growth > growth_at_most(cost))
        fail_msg("grows faster: at most %.2f times", growth_at_most(cost));
    if (grows && growth < GROWTH_AT_LEAST)
        fail_msg("grows slower: at least %.2f times", GROWTH_AT_LEAST);
}

static void list(void)
{
    for (size_t group = 0; group < sizeof(groups) / sizeof(groups[0]); group++)
        for (const struct cost *cost = groups[group]; cost->name; cost++)
            printf("%s|%s|%s\n", cost->operation, cost->grows_with, growth_names[cost->growth]);
}

int main(int count, char **arguments)
{
    static struct CMUnitTest tests[COSTS_MAX];
    size_t found = 0;

    if (count > 1 && !strcmp(arguments[1], "--list")) {
        list();
        return 0;
    }
    for (size_t group = 0; group < sizeof(groups) / sizeof(groups[0]); group++) {
        for (const struct cost *cost = groups[group]; cost->name; cost++) {
            if (count > 1 && strcmp(arguments[1], cost->name))
                continue;
            if (found == COSTS_MAX)
                return 2;
            tests[found++] = (struct CMUnitTest){
                .name = cost->name, .test_func = measure, .initial_state = (void *)(uintptr_t)cost};
        }
    }
    return found ? _cmocka_run_group_tests("complexity", tests, found, NULL, NULL) : 2;
}
