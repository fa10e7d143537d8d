/* SPDX-License-Identifier: MIT */
/* Every allocation of every scenario fails, once, and then with all later ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenario.h"

#include <stdio.h>

static size_t total;

/* Returns how many allocations have failed, each in a separate run. */
static size_t sweep(const struct scenario *scenario, enum loop_kind kind, bool for_good)
{
    struct fault fault = {.kind = FAULT_ALLOCATION, .nth = 1, .for_good = for_good};

    while (scenario_run(scenario, kind, &fault))
        fault.nth++;
    return fault.nth - 1;
}

static void every_allocation_fails(void **state)
{
    const struct scenario *scenario = *state;

    for (enum loop_kind kind = 0; kind < LOOP_KINDS; kind++) {
        size_t once;

        if (!loop_kind_exists(kind))
            continue;
        assert_false(scenario_run(scenario, kind, &(struct fault){.kind = FAULT_NONE}));
        once = sweep(scenario, kind, false);
        assert_true(once > 0);
        total += once + sweep(scenario, kind, true);
    }
}

int main(void)
{
    struct CMUnitTest tests[SCENARIOS];
    int failed;

    for (size_t i = 0; i < SCENARIOS; i++)
        tests[i] = (struct CMUnitTest){.name = scenarios[i].name,
                                       .test_func = every_allocation_fails,
                                       .initial_state = (void *)(uintptr_t)&scenarios[i]};
    failed = cmocka_run_group_tests_name("allocations", tests, NULL, NULL);
    printf("fault points: %zu allocations\n", total);
    return failed;
}
