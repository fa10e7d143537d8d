/* SPDX-License-Identifier: MIT */
/* The emitters that a thread collects, by loop, before it marks them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connection/emitter.h"
#include "connection/marks.h"

#include <stdlib.h>

#define LOOPS 3
#define EACH 4

/* In all orders that receivers may have, a loop gets one list, and its lock is taken once for all of them. */
static void receivers_that_alternate_need_one_list_for_each_loop(void **state)
{
    static const size_t loops[LOOPS * EACH] = {0, 0, 1, 0, 1, 1, 2, 0, 2, 1, 2, 2};
    struct sse_emitter *emitters = calloc(LOOPS * EACH, sizeof(*emitters));
    struct mark_chain chain = {.to_wake = NULL};
    struct marks marks[LOOPS];

    (void)state;
    assert_non_null(emitters);
    for (size_t i = 0; i < LOOPS; i++) {
        assert_int_equal(sse_marks_init(&marks[i]), 0);
        sse_marks_rouse(&marks[i]);
    }
    for (size_t i = 0; i < LOOPS * EACH; i++)
        sse_mark_chain_add(&chain, &marks[loops[i]], &emitters[i]);
    assert_int_equal(chain.count, LOOPS);
    sse_mark_chain_finish(&chain);
    for (size_t i = 0; i < LOOPS; i++) {
        struct sse_emitter *marked = sse_marks_take(&marks[i]);
        size_t count = 0;

        for (; marked; marked = marked->next_marked) {
            assert_int_equal(loops[marked - emitters], i);
            count++;
        }
        assert_int_equal(count, EACH);
        assert_int_equal(marks[i].pins, 0);
        sse_marks_destroy(&marks[i]);
    }
    free(emitters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receivers_that_alternate_need_one_list_for_each_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
