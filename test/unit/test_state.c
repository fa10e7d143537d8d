/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "connection/state.h"

#include <errno.h>

#define STATE_COUNT 3
#define REASON_COUNT 13
#define LOWEST_ERROR (-4095)

/* The state after a reason in open, draining and closed, and the results of the predicates. If the state does not
 * change, the reason was too late. */
static const struct {
    enum sse_reason reason;
    enum sse_state next[STATE_COUNT];
    bool graceful;
    bool timeout;
    bool error;
} table[REASON_COUNT] = {
    {SSE_REASON_NONE, {SSE_STATE_OPEN, SSE_STATE_DRAINING, SSE_STATE_CLOSED}, false, false, false},
    {SSE_REASON_COMPLETED, {SSE_STATE_DRAINING, SSE_STATE_DRAINING, SSE_STATE_CLOSED}, true, false, false},
    {SSE_REASON_LIFETIME, {SSE_STATE_DRAINING, SSE_STATE_DRAINING, SSE_STATE_CLOSED}, true, true, false},
    {SSE_REASON_STALLED, {SSE_STATE_CLOSED, SSE_STATE_CLOSED, SSE_STATE_CLOSED}, false, true, false},
    {SSE_REASON_DRAIN_TIMEOUT, {SSE_STATE_CLOSED, SSE_STATE_CLOSED, SSE_STATE_CLOSED}, false, true, false},
    {SSE_REASON_DISCONNECTED, {SSE_STATE_CLOSED, SSE_STATE_CLOSED, SSE_STATE_CLOSED}, false, false, true},
    {SSE_REASON_OUTPUT_ERROR, {SSE_STATE_CLOSED, SSE_STATE_CLOSED, SSE_STATE_CLOSED}, false, false, true},
    {SSE_REASON_OVERFLOW, {SSE_STATE_CLOSED, SSE_STATE_CLOSED, SSE_STATE_CLOSED}, false, false, true},
    {SSE_REASON_ABORTED, {SSE_STATE_CLOSED, SSE_STATE_CLOSED, SSE_STATE_CLOSED}, false, false, true},
    {SSE_REASON_CLOSED, {SSE_STATE_CLOSED, SSE_STATE_CLOSED, SSE_STATE_CLOSED}, false, false, false},
    {SSE_REASON_SHUTDOWN, {SSE_STATE_DRAINING, SSE_STATE_DRAINING, SSE_STATE_CLOSED}, true, false, false},
    {SSE_REASON_NOT_STARTED, {SSE_STATE_CLOSED, SSE_STATE_CLOSED, SSE_STATE_CLOSED}, false, true, false},
    {SSE_REASON_EVICTED, {SSE_STATE_DRAINING, SSE_STATE_DRAINING, SSE_STATE_CLOSED}, true, false, false},
};

static void table_holds_for_each_state_and_reason(void **state)
{
    (void)state;
    for (int reason = 0; reason < REASON_COUNT; reason++) {
        assert_int_equal(table[reason].reason, reason);
        for (int from = 0; from < STATE_COUNT; from++) {
            enum sse_state next = table[reason].next[from];
            struct transition transition = sse_state_end((enum sse_state)from, (enum sse_reason)reason);

            if (transition.next != next || transition.taken != ((int)next != from))
                fail_msg("state %d, reason %d: next %d, taken %d", from, reason, transition.next,
                         transition.taken);
        }
    }
}

static void predicates_hold_for_each_reason(void **state)
{
    (void)state;
    for (int reason = 0; reason < REASON_COUNT; reason++) {
        if (sse_reason_is_graceful((enum sse_reason)reason) != table[reason].graceful)
            fail_msg("%d: graceful", reason);
        if (sse_reason_is_timeout((enum sse_reason)reason) != table[reason].timeout)
            fail_msg("%d: timeout", reason);
        if (sse_reason_is_error((enum sse_reason)reason) != table[reason].error)
            fail_msg("%d: error", reason);
    }
}

/* on_error never runs in addition to on_timeout. */
static void no_reason_is_both_timeout_and_error(void **state)
{
    (void)state;
    for (int reason = 0; reason < REASON_COUNT; reason++)
        assert_false(sse_reason_is_timeout((enum sse_reason)reason) &&
                     sse_reason_is_error((enum sse_reason)reason));
}

/* In any order of reasons: draining begins at most once, the end comes at most once, and no reason is accepted
 * after it. */
static void every_sequence_of_reasons_ends_once(void **state)
{
    (void)state;
    for (int way = 0; way < REASON_COUNT * REASON_COUNT * REASON_COUNT * REASON_COUNT; way++) {
        enum sse_state now = SSE_STATE_OPEN;
        int drains = 0, ends = 0;

        for (int rest = way, step = 0; step < 4; step++, rest /= REASON_COUNT) {
            struct transition transition = sse_state_end(now, (enum sse_reason)(rest % REASON_COUNT));

            assert_true(transition.next >= now);
            assert_int_equal(transition.taken, transition.next != now);
            drains += transition.taken && transition.next == SSE_STATE_DRAINING;
            ends += transition.taken && transition.next == SSE_STATE_CLOSED;
            now = transition.next;
        }
        assert_true(drains <= 1);
        assert_int_equal(ends, now == SSE_STATE_CLOSED);
    }
}

static void errors_become_reasons(void **state)
{
    (void)state;
    for (int error = LOWEST_ERROR; error < 0; error++) {
        bool gone = error == -EPIPE || error == -ECONNRESET || error == -ECONNREFUSED ||
                    error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -ENETUNREACH;

        assert_int_equal(sse_reason_of_output_error(error),
                         gone ? SSE_REASON_DISCONNECTED : SSE_REASON_OUTPUT_ERROR);
        assert_int_equal(sse_reason_of_abort(error), gone ? SSE_REASON_DISCONNECTED : SSE_REASON_ABORTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_holds_for_each_state_and_reason),
        cmocka_unit_test(predicates_hold_for_each_reason),
        cmocka_unit_test(no_reason_is_both_timeout_and_error),
        cmocka_unit_test(every_sequence_of_reasons_ends_once),
        cmocka_unit_test(errors_become_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
