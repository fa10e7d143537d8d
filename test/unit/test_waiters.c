/* SPDX-License-Identifier: MIT */
/* The list of threads that wait for an emitter: several wait at once, and leave in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connection/mark.h"

#define WAITERS 3

static size_t length(const struct sse_emitter *emitter, const struct emitter_waiter *of)
{
    size_t found = 0;

    for (const struct emitter_waiter *at = emitter->waiters; at; at = at->next)
        found += !of || at == of;
    return found;
}

static void waiters_leave_in_any_order(void **state)
{
    static const size_t orders[][WAITERS] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        struct emitter_waiter waiters[WAITERS];
        struct sse_emitter emitter = {.waiters = NULL};

        for (size_t k = 0; k < WAITERS; k++)
            sse_emitter_add_waiter(&emitter, &waiters[k]);
        for (size_t k = 0; k < WAITERS; k++) {
            assert_int_equal(length(&emitter, &waiters[orders[i][k]]), 1);
            sse_emitter_remove_waiter(&emitter, &waiters[orders[i][k]]);
            assert_int_equal(length(&emitter, &waiters[orders[i][k]]), 0);
            assert_int_equal(length(&emitter, NULL), WAITERS - 1 - k);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiters_leave_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
