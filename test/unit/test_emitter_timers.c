/* SPDX-License-Identifier: MIT */
/* The timers of an emitter, in the turns of a loop and in the calls of an owner without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client_stage.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS UINT64_C(1000000)
#define OFF SSE_TIMER_OFF
#define TICK "data: tick\n\n"

static const struct sse_event tick = {.data = {"tick", 4}};

struct setting {
    int64_t lifetime_ms, jitter_ms, stall_ms, drain_ms, heartbeat_ms;
};

static void prepare(enum sse_output output, unsigned framing, bool looped, struct setting setting)
{
    fake_client_init(&client, &fake, output);
    client.loop = looped ? &loop : NULL;
    client.options.framing = (enum sse_framing)framing;
    client.options.lifetime_ms = setting.lifetime_ms;
    client.options.lifetime_jitter_ms = setting.jitter_ms;
    client.options.stall_ms = setting.stall_ms;
    client.options.drain_ms = setting.drain_ms;
    client.options.heartbeat_ms = setting.heartbeat_ms;
}

/* Does the owner's work. With a loop it returns the time to the next turn. */
static int work(void)
{
    if (client.loop)
        return fake_loop_settle(&loop);
    (void)sse_emitter_flush(client.emitter);
    return 0;
}

/* Writes the first byte of the body. */
static void open_client(void)
{
    fake_client_open(&client);
    (void)work();
    if (client.options.output == SSE_OUTPUT_PULL)
        assert_true(fake_client_pull(&client) <= 0);
    fake_client_forget(&client);
}

static enum sse_reason reason_now(void)
{
    return fake_client_info(&client).reason;
}

/* A letter for each step: f: the output is full, o: it has room again, s: send, c: complete, u: flush and the
 * owner's work, r: read one byte, t: the owner's work. A digit lets that many milliseconds pass. */
static void run(const char *steps)
{
    char byte;

    for (; *steps; steps++) {
        if (*steps == 'f' || *steps == 'o')
            client.output.room = *steps == 'f' ? 0 : SIZE_MAX;
        else if (*steps == 's')
            assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        else if (*steps == 'c')
            assert_int_equal(sse_emitter_complete(client.emitter), 0);
        else if (*steps == 'r')
            assert_true(sse_emitter_read(client.emitter, &byte, 1) >= 0);
        else if (*steps == 'u' && client.loop)
            assert_true(sse_emitter_flush(client.emitter) >= 0);
        else if (*steps >= '0' && *steps <= '9')
            fake_platform_advance_ms(&fake, (uint64_t)(*steps - '0'));
        if (strchr("scut", *steps))
            (void)work();
    }
}

static void work_after(uint64_t milliseconds)
{
    fake_platform_advance_ms(&fake, milliseconds);
    (void)work();
}

/* Timers run exactly at their millisecond, in single steps and in steps of the length that turns return. */
static void timers_end_at_their_time(void **state)
{
    static const struct {
        struct setting setting;
        const char *before;
        uint64_t after_ms;
        enum sse_reason reason;
        size_t sent;
    } rows[] = {
        {{500, 0, OFF, OFF, OFF}, "", 500, SSE_REASON_LIFETIME, 0},
        {{500, 0, OFF, OFF, OFF}, "s9s", 491, SSE_REASON_LIFETIME, 24},
        {{1, 0, OFF, OFF, OFF}, "", 1, SSE_REASON_LIFETIME, 0},
        {{500, 0, OFF, 200, OFF}, "fs", 700, SSE_REASON_DRAIN_TIMEOUT, 0},
        {{500, 0, 600, 200, OFF}, "fs", 600, SSE_REASON_STALLED, 0},
        {{OFF, 0, 300, OFF, OFF}, "fs", 300, SSE_REASON_STALLED, 0},
        {{OFF, 0, 300, OFF, OFF}, "fs9s9su", 282, SSE_REASON_STALLED, 0},
        {{OFF, 0, 300, OFF, OFF}, "9999fs", 300, SSE_REASON_STALLED, 0},
        {{OFF, 0, 300, OFF, OFF}, "fs9ouf9s", 300, SSE_REASON_STALLED, 12},
        {{OFF, 0, OFF, 200, OFF}, "fsc", 200, SSE_REASON_DRAIN_TIMEOUT, 0},
        {{OFF, 0, OFF, 200, OFF}, "fs99c9", 191, SSE_REASON_DRAIN_TIMEOUT, 0},
        {{OFF, 0, 100, 200, OFF}, "fsc", 100, SSE_REASON_STALLED, 0},
        {{0, 0, 0, 0, OFF}, "fs", 30000, SSE_REASON_STALLED, 0},
        {{0, 0, 0, 0, 0}, "fsc", 5000, SSE_REASON_DRAIN_TIMEOUT, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows) * 3; i++) {
        bool looped = i % 3, leaps = i % 3 == 2;
        uint64_t passed = 0, step = 1;

        prepare(SSE_OUTPUT_CALLBACK, 0, looped, rows[i / 3].setting);
        open_client();
        run(rows[i / 3].before);
        for (; passed < rows[i / 3].after_ms; passed += step) {
            int next = work();

            assert_int_equal(reason_now(), SSE_REASON_NONE);
            assert_true(!looped || next > 0);
            step = leaps ? (uint64_t)next : 1;
            work_after(step - 1);
            assert_int_equal(reason_now(), SSE_REASON_NONE);
            work_after(1);
        }
        assert_int_equal(passed, rows[i / 3].after_ms);
        assert_int_equal(reason_now(), rows[i / 3].reason);
        assert_string_equal(client.log + strspn(client.log, "b"), "tc");
        assert_int_equal(client.timeout, rows[i / 3].reason);
        assert_int_equal(client.completion.error, rows[i / 3].reason == SSE_REASON_LIFETIME ? 0 : -ETIMEDOUT);
        assert_int_equal(client.output.size, rows[i / 3].sent);
        if (looped)
            assert_int_equal(work(), -1);
        fake_client_free(&client);
    }
}

/* The last chunk of an idle stream has as much time as any other bytes. */
static void the_last_chunk_has_its_own_time(void **state)
{
    static const struct setting setting = {OFF, 0, 50, OFF, OFF};

    (void)state;
    for (unsigned looped = 0; looped < 2; looped++) {
        prepare(SSE_OUTPUT_CALLBACK, SSE_FRAMING_CHUNKED, looped, setting);
        open_client();
        work_after(1000);
        run("fc");
        work_after(49);
        assert_int_equal(fake_client_info(&client).state, SSE_STATE_DRAINING);
        work_after(1);
        assert_int_equal(reason_now(), SSE_REASON_STALLED);
        fake_client_free(&client);
    }
}

static void timers_that_are_off_never_end_it(void **state)
{
    static const char *const before[] = {"", "s", "fs", "fsc", "fs9s9u"};
    static const struct setting never[] = {{OFF, 0, OFF, OFF, OFF},
                                           {INT64_MAX, 0, INT64_MAX, INT64_MAX, INT64_MAX},
                                           {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}};

    (void)state;
    for (size_t i = 0; i < COUNT(before) * COUNT(never) * 2; i++) {
        bool looped = i % 2;

        prepare(SSE_OUTPUT_CALLBACK, 0, looped, never[i / 2 % COUNT(never)]);
        open_client();
        run(before[i / 2 / COUNT(never)]);
        for (size_t k = 0; k < 1000; k++) {
            int next = work();

            assert_true(!looped || next == -1);
            fake_platform_advance_ms(&fake, 10000000);
        }
        assert_int_equal(reason_now(), SSE_REASON_NONE);
        fake_client_free(&client);
        fake.now = 1000000000;
    }
}

/* The reader needs nearly all the time that it has for each byte. Fault 20. Fault 21. */
static void a_client_that_makes_progress_stays_open(void **state)
{
    static const struct setting setting = {OFF, 0, 100, OFF, OFF};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        bool pull = i % 2, looped = i / 2;

        prepare(pull ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK, 0, looped, setting);
        open_client();
        run("fss");
        for (size_t k = 0; k < strlen(TICK TICK) - 1; k++) {
            work_after(99);
            client.output.room = 1;
            run(pull ? "rt" : "ut");
            assert_int_equal(reason_now(), SSE_REASON_NONE);
            /* A turn may be too early for a timer that has moved, but never too late. */
            if (looped)
                assert_in_range(work(), 1, 100);
        }
        /* Then its output is reported as writable again and again, and accepts nothing. */
        for (size_t k = 0; k < 99; k++)
            run("u1ut");
        assert_int_equal(reason_now(), SSE_REASON_NONE);
        work_after(1);
        assert_int_equal(reason_now(), SSE_REASON_STALLED);
        assert_int_equal(client.completion.events, 1);
        assert_int_equal(client.completion.dropped, 1);
        fake_client_free(&client);
    }
}

/* Over many seeds every tenth of the allowed range occurs, and nothing outside of it. */
static void times_are_spread(void **state)
{
    static const struct {
        struct setting setting;
        int first, last;
        const char *sent;
    } rows[] = {
        {{OFF, 0, 0, 0, 1000}, 750, 1000, ":\n"}, {{OFF, 0, 0, 0, 60000}, 45000, 60000, ":\n"},
        {{0, 0, 0, 0, 0}, 11250, 15000, ":\n"},   {{1000, 400, 0, 0, OFF}, 600, 1000, ""},
        {{1000, 1000, 0, 0, OFF}, 0, 1000, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int range = rows[i].last - rows[i].first;
        size_t met[11] = {0};

        for (uint64_t seed = 1; seed <= 500; seed++) {
            int timeout;

            prepare(SSE_OUTPUT_CALLBACK, 0, true, rows[i].setting);
            fake.random = seed * UINT64_C(0x9e3779b97f4a7c15);
            fake_client_open(&client);
            timeout = fake_loop_turn(&loop);
            assert_in_range(timeout, rows[i].first, rows[i].last);
            met[(timeout - rows[i].first) * 10 / range]++;
            fake_client_forget(&client);
            work_after((uint64_t)timeout);
            assert_string_equal(fake_client_text(&client), rows[i].sent);
            assert_int_equal(client.timeout, *rows[i].sent ? 0 : SSE_REASON_LIFETIME);
            fake_client_free(&client);
        }
        for (size_t k = 0; k < 10; k++)
            assert_in_range(met[k], 20, 100);
    }
}

/* Fault 42. */
static void heartbeats_come_only_when_idle(void **state)
{
    static const struct setting setting = {OFF, 0, OFF, OFF, 8};
    static const struct {
        const char *steps;
        const char *raw, *chunked;
    } rows[] = {
        {"5t", "", ""},
        {"8t", ":\n", "2\r\n:\n\r\n"},
        {"9999t", ":\n", "2\r\n:\n\r\n"},
        {"8ttt", ":\n", "2\r\n:\n\r\n"},
        {"8t5t", ":\n", "2\r\n:\n\r\n"},
        {"8t8t", ":\n:\n", "2\r\n:\n\r\n2\r\n:\n\r\n"},
        {"5ts5ts5t", TICK TICK, "c\r\n" TICK "\r\nc\r\n" TICK "\r\n"},
        {"5s8t", TICK ":\n", "c\r\n" TICK "\r\n2\r\n:\n\r\n"},
        {"fs9t9t9tou", TICK, "c\r\n" TICK "\r\n"},
        {"fs9t9tou5t", TICK, "c\r\n" TICK "\r\n"},
        {"fs9tou8t", TICK ":\n", "c\r\n" TICK "\r\n2\r\n:\n\r\n"},
        {"f8t8t8t8tou", ":\n", "2\r\n:\n\r\n"},
        {"f8tsou", ":\n" TICK, "2\r\n:\n\r\nc\r\n" TICK "\r\n"},
        {"fsc9t9tou9t", TICK, "c\r\n" TICK "\r\n0\r\n\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows) * 4; i++) {
        const char *steps = rows[i / 4].steps;
        size_t part = !strchr(steps, 'f') ? 1 : strlen(strchr(steps, 's') ? TICK : ":\n");

        /* The output becomes full at each byte of the next event. */
        for (size_t taken = 0; taken < part; taken++) {
            prepare(SSE_OUTPUT_CALLBACK, i % 2, i / 2 % 2, setting);
            open_client();
            for (const char *step = steps; *step; step++) {
                run((const char[]){*step, '\0'});
                if (*step == 'f')
                    client.output.room = taken;
            }
            assert_string_equal(fake_client_text(&client), i % 2 ? rows[i / 4].chunked : rows[i / 4].raw);
            fake_client_free(&client);
        }
    }
}

/* A late call runs both timers, as if it had come in time. */
static void a_late_turn_runs_all_due_timers(void **state)
{
    (void)state;
    for (int looped = 0; looped < 2; looped++) {
        prepare(SSE_OUTPUT_CALLBACK, 0, looped, (struct setting){1000, 0, OFF, OFF, 100});
        open_client();
        work_after(5000);
        assert_string_equal(fake_client_text(&client), ":\n");
        assert_int_equal(reason_now(), SSE_REASON_LIFETIME);
        assert_string_equal(client.log, "tc");
        fake_client_free(&client);
    }
}

/* Every record has the age in whole milliseconds. A turn that began before the emitter was made does not make it
 * older. */
static void the_age_is_exact(void **state)
{
    static const struct {
        int64_t passed; /* nanoseconds */
        int64_t age_ms;
    } rows[] = {{0, 0},  {MS - 1, 0},          {MS, 1}, {2 * MS - 1, 1}, {86400000 * (int64_t)MS, 86400000},
                {-1, 0}, {-5 * (int64_t)MS, 0}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows) * 2; i++) {
        prepare(SSE_OUTPUT_CALLBACK, 0, i % 2, (struct setting){OFF, 0, OFF, OFF, OFF});
        open_client();
        fake.now += (uint64_t)rows[i / 2].passed;
        assert_int_equal(fake_client_info(&client).age_ms, rows[i / 2].age_ms);
        assert_int_equal(sse_emitter_abort(client.emitter, -EIO), 0);
        (void)work();
        assert_int_equal(client.completions, 1);
        assert_int_equal(client.completion.age_ms, rows[i / 2].age_ms);
        fake_client_free(&client);
    }
}

static void timeouts_are_rounded_up(void **state)
{
    static const struct {
        int64_t lifetime_ms;
        uint64_t passed; /* nanoseconds */
        int timeout;
    } rows[] = {
        {10, 0, 10},          {10, 1, 10}, {10, MS - 1, 10},      {10, MS, 9},
        {10, 10 * MS - 1, 1}, {1, 0, 1},   {INT_MAX, 0, INT_MAX}, {INT64_C(1) << 40, 0, INT_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        prepare(SSE_OUTPUT_CALLBACK, 0, true, (struct setting){rows[i].lifetime_ms, 0, OFF, OFF, OFF});
        open_client();
        fake.now += rows[i].passed;
        assert_int_equal(fake_loop_turn(&loop), rows[i].timeout);
        assert_int_equal(reason_now(), SSE_REASON_NONE);
        fake_client_free(&client);
    }
}

static void a_clock_at_its_end_overflows_nothing(void **state)
{
    static const uint64_t left[] = {0, 1, MS - 1, MS, 9 * MS, 10 * MS - 1, 10 * MS, 10 * MS + 1, 100 * MS};

    (void)state;
    for (size_t i = 0; i < COUNT(left); i++) {
        int timeout;

        fake.now = UINT64_MAX - left[i];
        prepare(SSE_OUTPUT_CALLBACK, 0, true, (struct setting){10, 0, 10, 10, OFF});
        open_client();
        timeout = fake_loop_turn(&loop);
        assert_int_equal(timeout, left[i] > 10 * MS ? 10 : -1);
        run("tfst");
        assert_int_equal(fake_loop_turn(&loop), timeout);
        fake.now = UINT64_MAX;
        run("ttt");
        assert_int_equal(reason_now(), timeout < 0 ? SSE_REASON_NONE : SSE_REASON_STALLED);
        if (timeout < 0)
            run("oustt");
        assert_int_equal(client.output.size, timeout < 0 ? strlen(TICK TICK) : 0);
        fake_client_free(&client);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_end_at_their_time),
        TEST(the_last_chunk_has_its_own_time),
        TEST(timers_that_are_off_never_end_it),
        TEST(a_client_that_makes_progress_stays_open),
        TEST(times_are_spread),
        TEST(heartbeats_come_only_when_idle),
        TEST(a_late_turn_runs_all_due_timers),
        TEST(the_age_is_exact),
        TEST(timeouts_are_rounded_up),
        TEST(a_clock_at_its_end_overflows_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
