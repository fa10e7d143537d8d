/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/deadline.h"
#include "connection/timers.h"

#include <limits.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS NANOSECONDS_PER_MILLISECOND
#define NOW UINT64_C(5000000123)
#define DRAWS 10000
#define BUCKETS 10

/* The documented defaults. */
#define STALL_DEFAULT (30000 * MS)
#define DRAIN_DEFAULT (5000 * MS)
#define HEARTBEAT_DEFAULT (15000 * MS)

static const enum sse_state all_states[] = {SSE_STATE_OPEN, SSE_STATE_DRAINING, SSE_STATE_CLOSED};

static uint64_t next_random(uint64_t *random)
{
    uint64_t bits = *random += UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

static struct sse_emitter_options options_of(void)
{
    return (struct sse_emitter_options){.size = sizeof(struct sse_emitter_options)};
}

static struct sse_emitter_options all_off(void)
{
    struct sse_emitter_options options = options_of();

    options.lifetime_ms = SSE_TIMER_OFF;
    options.stall_ms = SSE_TIMER_OFF;
    options.drain_ms = SSE_TIMER_OFF;
    options.heartbeat_ms = SSE_TIMER_OFF;
    return options;
}

/* Without random bits, so that nothing is subtracted. */
static struct timers timers_of(const struct sse_emitter_options *options, uint64_t now)
{
    struct timers timers;

    assert_true(sse_timers_init(&timers, options, now, 0));
    return timers;
}

static struct timers no_timers(void)
{
    const struct sse_emitter_options options = all_off();

    return timers_of(&options, NOW);
}

/* The action is due at its deadline and later, but not a nanosecond earlier. */
static void expect_first(const struct timers *timers, enum sse_state state, bool queued,
                         enum timer_action action, uint64_t deadline)
{
    assert_int_equal(sse_timers_deadline(timers, state, queued), deadline);
    assert_int_equal(sse_timers_due(timers, state, queued, deadline), action);
    assert_int_equal(sse_timers_due(timers, state, queued, deadline - 1), TIMER_NOTHING);
    assert_int_equal(sse_timers_due(timers, state, queued, UINT64_MAX), action);
}

static void expect_never(const struct timers *timers, enum sse_state state, bool queued)
{
    assert_int_equal(sse_timers_deadline(timers, state, queued), DEADLINE_NEVER);
    assert_int_equal(sse_timers_due(timers, state, queued, 0), TIMER_NOTHING);
    assert_int_equal(sse_timers_due(timers, state, queued, UINT64_MAX), TIMER_NOTHING);
}

static void zero_means_the_default(void **state)
{
    const struct sse_emitter_options options = options_of();
    struct timers timers = timers_of(&options, NOW);

    (void)state;
    assert_int_equal(timers.end, DEADLINE_NEVER);
    assert_int_equal(sse_timer_duration(timers.stall), STALL_DEFAULT);
    assert_int_equal(sse_timer_duration(timers.drain), DRAIN_DEFAULT);
    assert_int_equal(sse_timer_duration(timers.heartbeat), HEARTBEAT_DEFAULT);
    assert_int_equal(timers.progress, NOW);
    expect_first(&timers, SSE_STATE_OPEN, false, TIMER_HEARTBEAT, NOW + HEARTBEAT_DEFAULT);
    expect_first(&timers, SSE_STATE_OPEN, true, TIMER_STALL, NOW + STALL_DEFAULT);
    expect_first(&timers, SSE_STATE_DRAINING, true, TIMER_STALL, NOW + STALL_DEFAULT);
}

static void durations_of_49_days_and_more_are_none(void **state)
{
    const uint32_t longest = UINT32_MAX - 1;
    struct sse_emitter_options options = all_off();
    struct timers timers;

    (void)state;
    options.stall_ms = options.drain_ms = options.heartbeat_ms = longest;
    options.lifetime_ms = INT64_C(1) << 33;
    timers = timers_of(&options, 0);
    assert_int_equal(sse_timer_duration(timers.stall), longest * NANOSECONDS_PER_MILLISECOND);
    assert_int_equal(sse_timer_duration(timers.drain), longest * NANOSECONDS_PER_MILLISECOND);
    assert_int_equal(sse_timer_duration(timers.heartbeat), longest * NANOSECONDS_PER_MILLISECOND);
    assert_int_equal(timers.end, (UINT64_C(1) << 33) * NANOSECONDS_PER_MILLISECOND);
    options.stall_ms = options.drain_ms = options.heartbeat_ms = INT64_C(1) + longest;
    timers = timers_of(&options, 0);
    assert_int_equal(sse_timer_duration(timers.stall), DEADLINE_NEVER);
    assert_int_equal(sse_timer_duration(timers.drain), DEADLINE_NEVER);
    assert_int_equal(sse_timer_duration(timers.heartbeat), DEADLINE_NEVER);
}

static void off_means_never(void **state)
{
    struct timers timers = no_timers();

    (void)state;
    assert_int_equal(sse_timer_duration(timers.drain), DEADLINE_NEVER);
    sse_timers_begin_drain(&timers, NOW);
    for (size_t i = 0; i < COUNT(all_states); i++) {
        expect_never(&timers, all_states[i], false);
        expect_never(&timers, all_states[i], true);
    }
}

/* Each timer alone, in each state, with and without queued bytes. */
static void each_timer_runs_in_its_states_only(void **state)
{
    static const struct {
        enum timer_action action;
        bool when[COUNT(all_states)][2]; /* for each state: idle, then with queued bytes */
    } rows[] = {
        {TIMER_HEARTBEAT, {{true, false}, {false, false}, {false, false}}},
        {TIMER_LIFETIME, {{true, true}, {false, false}, {false, false}}},
        {TIMER_STALL, {{false, true}, {false, true}, {false, false}}},
        {TIMER_DRAIN, {{false, false}, {true, true}, {false, false}}},
    };

    (void)state;
    for (size_t row = 0; row < COUNT(rows); row++) {
        struct sse_emitter_options options = all_off();
        struct timers timers;

        if (rows[row].action == TIMER_HEARTBEAT)
            options.heartbeat_ms = 7;
        if (rows[row].action == TIMER_LIFETIME)
            options.lifetime_ms = 7;
        if (rows[row].action == TIMER_STALL)
            options.stall_ms = 7;
        if (rows[row].action == TIMER_DRAIN)
            options.drain_ms = 7;
        for (size_t i = 0; i < COUNT(all_states); i++) {
            timers = timers_of(&options, NOW);
            if (all_states[i] == SSE_STATE_DRAINING)
                sse_timers_begin_drain(&timers, NOW);
            for (int queued = 0; queued < 2; queued++) {
                if (rows[row].when[i][queued])
                    expect_first(&timers, all_states[i], queued, rows[row].action, NOW + 7 * MS);
                else
                    expect_never(&timers, all_states[i], queued);
            }
        }
    }
}

/* The lifetime and the drain end do not move. The others start again. */
static void progress_moves_stall_and_heartbeat_only(void **state)
{
    struct sse_emitter_options options = all_off();
    struct timers timers;

    (void)state;
    options.lifetime_ms = 100;
    options.stall_ms = 10;
    options.heartbeat_ms = 20;
    timers = timers_of(&options, NOW);
    timers.progress = NOW + 50 * MS;
    expect_first(&timers, SSE_STATE_OPEN, true, TIMER_STALL, NOW + 60 * MS);
    expect_first(&timers, SSE_STATE_OPEN, false, TIMER_HEARTBEAT, NOW + 70 * MS);
    timers.progress = NOW + 95 * MS;
    expect_first(&timers, SSE_STATE_OPEN, true, TIMER_LIFETIME, NOW + 100 * MS);
    expect_first(&timers, SSE_STATE_OPEN, false, TIMER_LIFETIME, NOW + 100 * MS);
    timers.end = NOW + 97 * MS;
    expect_first(&timers, SSE_STATE_DRAINING, true, TIMER_DRAIN, NOW + 97 * MS);
    expect_first(&timers, SSE_STATE_DRAINING, false, TIMER_DRAIN, NOW + 97 * MS);
}

static void the_earliest_goes_first(void **state)
{
    struct sse_emitter_options options = all_off();
    struct timers timers;

    (void)state;
    options.lifetime_ms = 30;
    options.stall_ms = 20;
    options.heartbeat_ms = 10;
    timers = timers_of(&options, NOW);
    expect_first(&timers, SSE_STATE_OPEN, false, TIMER_HEARTBEAT, NOW + 10 * MS);
    expect_first(&timers, SSE_STATE_OPEN, true, TIMER_STALL, NOW + 20 * MS);
    timers.stall = TIMER_OFF;
    expect_first(&timers, SSE_STATE_OPEN, true, TIMER_LIFETIME, NOW + 30 * MS);
    timers.drain = 40;
    sse_timers_begin_drain(&timers, NOW);
    expect_first(&timers, SSE_STATE_DRAINING, true, TIMER_DRAIN, NOW + 40 * MS);
    timers.stall = 39;
    expect_first(&timers, SSE_STATE_DRAINING, true, TIMER_STALL, NOW + 39 * MS);
    expect_first(&timers, SSE_STATE_DRAINING, false, TIMER_DRAIN, NOW + 40 * MS);
}

/* An abrupt end comes before a graceful one, and a graceful one before a heartbeat. */
static void ties_have_an_order(void **state)
{
    struct sse_emitter_options options = all_off();
    struct timers timers;

    (void)state;
    options.lifetime_ms = 10;
    options.stall_ms = 10;
    options.heartbeat_ms = 10;
    timers = timers_of(&options, NOW);
    expect_first(&timers, SSE_STATE_OPEN, false, TIMER_LIFETIME, NOW + 10 * MS);
    expect_first(&timers, SSE_STATE_OPEN, true, TIMER_STALL, NOW + 10 * MS);
    timers.drain = 10;
    sse_timers_begin_drain(&timers, NOW);
    expect_first(&timers, SSE_STATE_DRAINING, true, TIMER_DRAIN, NOW + 10 * MS);
}

static bool is_accepted(const struct sse_emitter_options *options)
{
    struct timers timers;

    return sse_timers_init(&timers, options, NOW, 0);
}

static void out_of_range_is_refused(void **state)
{
    static const int64_t below[] = {-2, -3, -1000, INT64_MIN, INT64_MIN + 1};
    static const int64_t within[] = {SSE_TIMER_OFF, 0, 1, 2147483647, INT64_C(2147483648), INT64_MAX};

    (void)state;
    for (size_t timer = 0; timer < 4; timer++) {
        struct sse_emitter_options options = options_of();
        int64_t *const timers[] = {&options.lifetime_ms, &options.stall_ms, &options.drain_ms,
                                   &options.heartbeat_ms};

        for (size_t i = 0; i < COUNT(below); i++) {
            *timers[timer] = below[i];
            assert_false(is_accepted(&options));
        }
        for (size_t i = 0; i < COUNT(within); i++) {
            *timers[timer] = within[i];
            assert_true(is_accepted(&options));
        }
    }
}

static void jitter_must_lie_within_the_lifetime(void **state)
{
    static const struct {
        int64_t lifetime, jitter;
        bool accepted;
    } rows[] = {
        {100, 0, true},
        {100, 1, true},
        {100, 100, true},
        {100, 101, false},
        {100, -1, false},
        {100, INT64_MIN, false},
        {1, 1, true},
        {1, INT64_MAX, false},
        {INT64_MAX, INT64_MAX, true},
        {0, 1, false},
        {SSE_TIMER_OFF, 1, false},
        {SSE_TIMER_OFF, 0, true},
        {SSE_TIMER_OFF, -1, false},
        {0, -1, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_emitter_options options = options_of();

        options.lifetime_ms = rows[i].lifetime;
        options.lifetime_jitter_ms = rows[i].jitter;
        if (is_accepted(&options) != rows[i].accepted)
            fail_msg("row %zu", i);
    }
}

/* Counts what is subtracted from a range, in tenths of it. */
static void count_share(size_t buckets[BUCKETS], uint64_t taken, uint64_t range)
{
    assert_true(taken <= range);
    buckets[taken >= range ? BUCKETS - 1 : taken / (range / BUCKETS)]++;
}

static void expect_spread(const size_t buckets[BUCKETS])
{
    for (size_t i = 0; i < BUCKETS; i++) {
        assert_true(buckets[i] > DRAWS / BUCKETS / 2);
        assert_true(buckets[i] < DRAWS / BUCKETS * 2);
    }
}

static void jitter_stays_in_its_bounds_and_spreads(void **state)
{
    const uint64_t lifetime = 60000 * MS, jitter = 20000 * MS, heartbeat = 8000 * MS;
    size_t lifetimes[BUCKETS] = {0}, heartbeats[BUCKETS] = {0};
    struct sse_emitter_options options = options_of();
    uint64_t random = 1;

    (void)state;
    options.lifetime_ms = 60000;
    options.lifetime_jitter_ms = 20000;
    options.heartbeat_ms = 8000;
    for (int i = 0; i < DRAWS; i++) {
        struct timers timers;

        assert_true(sse_timers_init(&timers, &options, NOW, next_random(&random)));
        assert_true(timers.end <= NOW + lifetime);
        count_share(lifetimes, NOW + lifetime - timers.end, jitter);
        timers.end = DEADLINE_NEVER;
        count_share(heartbeats, NOW + heartbeat - sse_timers_deadline(&timers, SSE_STATE_OPEN, false),
                    heartbeat / 4);
    }
    expect_spread(lifetimes);
    expect_spread(heartbeats);
}

static void extreme_random_bits_stay_in_bounds(void **state)
{
    static const uint64_t randoms[] = {0, 1, 0xffff, 0x10000, UINT64_MAX - 1, UINT64_MAX};
    static const int64_t lengths[] = {1, 2, 3, 4, 5, 1000, TIMER_OFF - 1, INT64_C(31536000000)};

    (void)state;
    for (size_t i = 0; i < COUNT(randoms); i++) {
        for (size_t j = 0; j < COUNT(lengths); j++) {
            struct sse_emitter_options options = all_off();
            uint64_t length = (uint64_t)lengths[j] * MS;
            struct timers timers;

            options.lifetime_ms = lengths[j];
            options.lifetime_jitter_ms = lengths[j];
            assert_true(sse_timers_init(&timers, &options, NOW, randoms[i]));
            assert_in_range(timers.end, NOW, NOW + length);

            options = all_off();
            options.heartbeat_ms = lengths[j];
            assert_true(sse_timers_init(&timers, &options, NOW, randoms[i]));
            if (lengths[j] >= TIMER_OFF)
                expect_never(&timers, SSE_STATE_OPEN, false);
            else
                assert_in_range(sse_timers_deadline(&timers, SSE_STATE_OPEN, false),
                                NOW + length - length / 4, NOW + length);
        }
    }
}

static void random_bits_change_only_jitter(void **state)
{
    struct sse_emitter_options options = options_of();
    struct timers timers;

    (void)state;
    options.lifetime_ms = 100;
    assert_true(sse_timers_init(&timers, &options, NOW, UINT64_C(0x123456789abcdef0)));
    assert_int_equal(timers.end, NOW + 100 * MS);
    assert_int_equal(sse_timer_duration(timers.drain), DRAIN_DEFAULT);
    assert_int_equal(sse_timers_stall_due(&timers, true), NOW + STALL_DEFAULT);
}

/* Every timer near the end of time: its deadline never wraps around to one that is due. Fault 47. */
static void deadlines_saturate(void **state)
{
    static const int64_t lengths[] = {
        1, 1000, INT64_C(18446744073709), INT64_C(18446744073710), INT64_MAX / 1000000, INT64_MAX};
    static const uint64_t nows[] = {
        0, NOW, UINT64_MAX / 2, UINT64_MAX - 2 * MS, UINT64_MAX - MS, UINT64_MAX - 1, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        for (size_t j = 0; j < COUNT(nows); j++) {
            uint64_t now = nows[j], ms = (uint64_t)lengths[i];
            uint64_t left = UINT64_MAX - now;
            bool never = ms >= left / MS + (left % MS != 0);
            struct sse_emitter_options options = all_off();
            struct timers timers;

            options.lifetime_ms = lengths[i];
            timers = timers_of(&options, now);
            assert_int_equal(timers.end, never ? DEADLINE_NEVER : now + ms * MS);
        }
    }
}

static void each_deadline_saturates_on_its_own(void **state)
{
    struct sse_emitter_options options = all_off();
    const uint64_t late = UINT64_MAX - 10 * MS;
    struct timers timers;

    (void)state;
    options.lifetime_ms = options.stall_ms = options.heartbeat_ms = 10;
    timers = timers_of(&options, late);
    expect_never(&timers, SSE_STATE_OPEN, false);
    expect_never(&timers, SSE_STATE_OPEN, true);
    expect_never(&timers, SSE_STATE_DRAINING, true);

    timers = timers_of(&options, late - 1);
    timers.end = DEADLINE_NEVER;
    expect_first(&timers, SSE_STATE_OPEN, false, TIMER_HEARTBEAT, UINT64_MAX - 1);
    expect_first(&timers, SSE_STATE_OPEN, true, TIMER_STALL, UINT64_MAX - 1);
    timers = timers_of(&options, late - 1);
    timers.stall = TIMER_OFF;
    expect_first(&timers, SSE_STATE_OPEN, true, TIMER_LIFETIME, UINT64_MAX - 1);
    timers.drain = 10;
    sse_timers_begin_drain(&timers, late);
    expect_never(&timers, SSE_STATE_DRAINING, true);
}

static void sums_and_durations_saturate(void **state)
{
    const int64_t whole = (int64_t)(UINT64_MAX / MS);

    (void)state;
    assert_int_equal(deadline_after(0, 0), 0);
    assert_int_equal(deadline_after(1, 2), 3);
    assert_int_equal(deadline_after(UINT64_MAX - 2, 1), UINT64_MAX - 1);
    assert_int_equal(deadline_after(UINT64_MAX - 2, 2), DEADLINE_NEVER);
    assert_int_equal(deadline_after(UINT64_MAX - 2, 3), DEADLINE_NEVER);
    assert_int_equal(deadline_after(UINT64_MAX, 0), DEADLINE_NEVER);
    assert_int_equal(deadline_after(0, DEADLINE_NEVER), DEADLINE_NEVER);
    assert_int_equal(deadline_after(0, UINT64_MAX - 1), UINT64_MAX - 1);
    assert_int_equal(deadline_after(1, UINT64_MAX - 1), DEADLINE_NEVER);
    assert_int_equal(deadline_after(UINT64_MAX, UINT64_MAX), DEADLINE_NEVER);

    assert_int_equal(duration_from_ms(0), 0);
    assert_int_equal(duration_from_ms(1), MS);
    assert_int_equal(duration_from_ms(whole), (uint64_t)whole * MS);
    assert_int_equal(duration_from_ms(whole + 1), DEADLINE_NEVER);
    assert_int_equal(duration_from_ms(INT64_MAX), DEADLINE_NEVER);

    assert_true(deadline_is_due(5, 5));
    assert_true(deadline_is_due(0, 5));
    assert_false(deadline_is_due(6, 5));
    assert_false(deadline_is_due(DEADLINE_NEVER, UINT64_MAX));
    assert_true(deadline_is_due(UINT64_MAX - 1, UINT64_MAX));
    assert_int_equal(deadline_earlier(3, 4), 3);
    assert_int_equal(deadline_earlier(4, 3), 3);
    assert_int_equal(deadline_earlier(DEADLINE_NEVER, 3), 3);
}

static void timeouts_are_rounded_up(void **state)
{
    static const struct {
        uint64_t deadline, now;
        int expected;
    } rows[] = {
        {DEADLINE_NEVER, 0, -1},
        {DEADLINE_NEVER, UINT64_MAX, -1},
        {0, 0, 0},
        {7, 7, 0},
        {6, 7, 0},
        {0, UINT64_MAX, 0},
        {8, 7, 1},
        {7 + MS - 1, 7, 1},
        {7 + MS, 7, 1},
        {7 + MS + 1, 7, 2},
        {2 * MS, 0, 2},
        {2 * MS + 1, 0, 3},
        {(INT_MAX - 1) * MS, 0, INT_MAX - 1},
        {(INT_MAX - 1) * MS + 1, 0, INT_MAX},
        {INT_MAX * MS, 0, INT_MAX},
        {INT_MAX * MS + 1, 0, INT_MAX},
        {UINT64_MAX - 1, 0, INT_MAX},
        {UINT64_MAX - 1, UINT64_MAX - 2, 1},
        {UINT64_MAX - 1, UINT64_MAX, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int timeout = deadline_timeout_ms(rows[i].deadline, rows[i].now);

        if (timeout != rows[i].expected)
            fail_msg("row %zu: %d, not %d", i, timeout, rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_means_the_default),
        cmocka_unit_test(durations_of_49_days_and_more_are_none),
        cmocka_unit_test(off_means_never),
        cmocka_unit_test(each_timer_runs_in_its_states_only),
        cmocka_unit_test(progress_moves_stall_and_heartbeat_only),
        cmocka_unit_test(the_earliest_goes_first),
        cmocka_unit_test(ties_have_an_order),
        cmocka_unit_test(out_of_range_is_refused),
        cmocka_unit_test(jitter_must_lie_within_the_lifetime),
        cmocka_unit_test(jitter_stays_in_its_bounds_and_spreads),
        cmocka_unit_test(extreme_random_bits_stay_in_bounds),
        cmocka_unit_test(random_bits_change_only_jitter),
        cmocka_unit_test(deadlines_saturate),
        cmocka_unit_test(each_deadline_saturates_on_its_own),
        cmocka_unit_test(sums_and_durations_saturate),
        cmocka_unit_test(timeouts_are_rounded_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
