/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/emitter.h>

#include "fake_host.h"
#include "fake_sink.h"

#include <errno.h>
#include <limits.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS UINT64_C(1000000)
#define OFF SSE_TIMER_OFF
#define TICK "data: tick\n\n"

static const struct sse_event tick = {.data = {"tick", 4}};

struct client {
    struct fake_host host;
    struct fake_sink sink;
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    enum sse_reason timeout; /* as on_timeout told it */
    struct sse_completion record;
    size_t completions;
};

static ssize_t on_write(void *user, const struct iovec *iov, int count)
{
    return fake_sink_write(&((struct client *)user)->sink, iov, count);
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter;
    ((struct client *)user)->timeout = reason;
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    ((struct client *)user)->record = *completion;
    ((struct client *)user)->completions++;
}

struct setting {
    int64_t lifetime_ms, jitter_ms, stall_ms, drain_ms, heartbeat_ms;
};

static void prepare(struct client *client, enum sse_drain drain, enum sse_framing framing,
                    struct setting setting)
{
    memset(client, 0, sizeof(*client));
    fake_host_init(&client->host);
    fake_sink_init(&client->sink);
    client->options = (struct sse_emitter_options){.size = sizeof(client->options),
                                                   .host = &client->host.host,
                                                   .drain = drain,
                                                   .framing = framing,
                                                   .write = on_write,
                                                   .on_timeout = on_timeout,
                                                   .on_completion = on_completion,
                                                   .user = client,
                                                   .lifetime_ms = setting.lifetime_ms,
                                                   .lifetime_jitter_ms = setting.jitter_ms,
                                                   .stall_ms = setting.stall_ms,
                                                   .drain_ms = setting.drain_ms,
                                                   .heartbeat_ms = setting.heartbeat_ms};
}

static void open_emitter(struct client *client, struct setting setting)
{
    prepare(client, SSE_DRAIN_CALLBACK, SSE_FRAMING_RAW, setting);
    assert_int_equal(sse_emitter_new(&client->emitter, &client->options), 0);
}

static void finish(struct client *client)
{
    sse_emitter_unref(client->emitter);
    fake_sink_free(&client->sink);
    fake_host_check_no_leak(&client->host);
    assert_int_equal(client->completions, 1);
}

static enum sse_reason reason_of(struct client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    assert_int_equal(sse_emitter_info(client->emitter, &info), 0);
    assert_int_equal(info.state == SSE_STATE_CLOSED, info.reason != SSE_REASON_NONE);
    assert_int_equal(info.state == SSE_STATE_CLOSED, info.error != 0);
    return info.reason;
}

/* A letter for each step: f: the sink is full, o: it is open again, s: send, c: complete, u: flush,
 * r: read one byte, t: tick, and a digit: so many milliseconds pass. */
static void run(struct client *client, const char *steps)
{
    char byte;

    for (; *steps; steps++) {
        if (*steps == 'f' || *steps == 'o')
            client->sink.room = *steps == 'f' ? 0 : SIZE_MAX;
        else if (*steps == 's')
            assert_int_equal(sse_emitter_send(client->emitter, &tick), 0);
        else if (*steps == 'c')
            assert_int_equal(sse_emitter_complete(client->emitter), 0);
        else if (*steps == 'u')
            assert_true(sse_emitter_flush(client->emitter) >= 0);
        else if (*steps == 'r')
            assert_true(sse_emitter_read(client->emitter, &byte, 1) >= 0);
        else if (*steps == 't')
            assert_int_equal(sse_emitter_tick(client->emitter), 0);
        else
            fake_host_advance_ms(&client->host, (uint64_t)(*steps - '0'));
    }
}

static void tick_after(struct client *client, uint64_t milliseconds)
{
    fake_host_advance_ms(&client->host, milliseconds);
    run(client, "t");
}

static int next_timeout(struct client *client)
{
    return sse_emitter_next_timeout(client->emitter);
}

static void expect_sent(const struct client *client, const char *text)
{
    assert_int_equal(client->sink.size, strlen(text));
    if (*text)
        assert_memory_equal(client->sink.bytes, text, strlen(text));
}

/* Driven tick by tick, and by next_timeout: both end it at the same millisecond. */
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
        {{500, 0, OFF, 200, OFF}, "fs", 700, SSE_REASON_DRAIN, 0},
        {{500, 0, 600, 200, OFF}, "fs", 600, SSE_REASON_STALL, 0},
        {{OFF, 0, 300, OFF, OFF}, "fs", 300, SSE_REASON_STALL, 0},
        {{OFF, 0, 300, OFF, OFF}, "fs9s9su", 282, SSE_REASON_STALL, 0},
        {{OFF, 0, 300, OFF, OFF}, "9999fs", 300, SSE_REASON_STALL, 0},
        {{OFF, 0, 300, OFF, OFF}, "fs9ouf9s", 300, SSE_REASON_STALL, 12},
        {{OFF, 0, OFF, 200, OFF}, "fsc", 200, SSE_REASON_DRAIN, 0},
        {{OFF, 0, OFF, 200, OFF}, "fs99c9", 191, SSE_REASON_DRAIN, 0},
        {{OFF, 0, 100, 200, OFF}, "fsc", 100, SSE_REASON_STALL, 0},
        {{0, 0, 0, 0, OFF}, "fs", 30000, SSE_REASON_STALL, 0},
        {{0, 0, 0, 0, 0}, "fsc", 5000, SSE_REASON_DRAIN, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows) * 2; i++) {
        bool leaps = i % 2;
        struct client client;
        uint64_t passed = 0, step = 1;

        open_emitter(&client, rows[i / 2].setting);
        run(&client, rows[i / 2].before);
        for (; passed < rows[i / 2].after_ms; passed += step) {
            assert_int_equal(reason_of(&client), SSE_REASON_NONE);
            assert_true(next_timeout(&client) > 0);
            step = leaps ? (uint64_t)next_timeout(&client) : 1;
            tick_after(&client, step - 1);
            assert_int_equal(reason_of(&client), SSE_REASON_NONE);
            tick_after(&client, 1);
        }
        assert_int_equal(passed, rows[i / 2].after_ms);
        assert_int_equal(reason_of(&client), rows[i / 2].reason);
        assert_int_equal(client.timeout, rows[i / 2].reason);
        assert_int_equal(client.record.error, -ETIMEDOUT);
        assert_int_equal(client.sink.size, rows[i / 2].sent);
        assert_int_equal(next_timeout(&client), -1);
        finish(&client);
    }
}

static void timers_that_are_off_never_end_it(void **state)
{
    static const char *const before[] = {"", "s", "fs", "fsc", "fs9s9u"};
    static const struct setting never[] = {{OFF, 0, OFF, OFF, OFF},
                                           {INT64_MAX, 0, INT64_MAX, INT64_MAX, INT64_MAX},
                                           {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}};

    (void)state;
    for (size_t i = 0; i < COUNT(before) * COUNT(never); i++) {
        struct client client;

        open_emitter(&client, never[i % COUNT(never)]);
        run(&client, before[i / COUNT(never)]);
        for (size_t k = 0; k < 10000; k++) {
            assert_int_equal(next_timeout(&client), -1);
            tick_after(&client, 1000000);
        }
        assert_int_equal(reason_of(&client), SSE_REASON_NONE);
        finish(&client);
    }
}

/* A reader so slow that each byte takes nearly all the time that it has. */
static void who_makes_progress_lives(void **state)
{
    static const struct setting setting = {OFF, 0, 100, OFF, OFF};
    struct client client;

    (void)state;
    for (unsigned pull = 0; pull < 2; pull++) {
        prepare(&client, pull ? SSE_DRAIN_PULL : SSE_DRAIN_CALLBACK, SSE_FRAMING_RAW, setting);
        assert_int_equal(sse_emitter_new(&client.emitter, &client.options), 0);
        run(&client, "fss");
        for (size_t i = 0; i < strlen(TICK TICK) - 1; i++) {
            tick_after(&client, 99);
            client.sink.room = 1;
            run(&client, pull ? "rt" : "ut");
            assert_int_equal(reason_of(&client), SSE_REASON_NONE);
            assert_int_equal(next_timeout(&client), 100);
        }
        /* Then it is announced as writable again and again, and takes nothing. */
        for (size_t i = 0; i < 99; i++)
            run(&client, "u1ut");
        assert_int_equal(reason_of(&client), SSE_REASON_NONE);
        tick_after(&client, 1);
        assert_int_equal(reason_of(&client), SSE_REASON_STALL);
        assert_int_equal(client.record.events, 1);
        assert_int_equal(client.record.dropped, 1);
        finish(&client);
    }
}

/* Over many seeds every tenth of the allowed range is met, and nothing outside of it. */
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
            struct client client;
            int timeout;

            prepare(&client, SSE_DRAIN_CALLBACK, SSE_FRAMING_RAW, rows[i].setting);
            client.host.random = seed * UINT64_C(0x9e3779b97f4a7c15);
            assert_int_equal(sse_emitter_new(&client.emitter, &client.options), 0);
            timeout = next_timeout(&client);
            assert_in_range(timeout, rows[i].first, rows[i].last);
            met[(timeout - rows[i].first) * 10 / range]++;
            tick_after(&client, (uint64_t)timeout);
            expect_sent(&client, rows[i].sent);
            assert_int_equal(client.timeout, *rows[i].sent ? 0 : SSE_REASON_LIFETIME);
            finish(&client);
        }
        for (size_t k = 0; k < 10; k++)
            assert_in_range(met[k], 20, 100);
    }
}

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
    for (size_t i = 0; i < COUNT(rows) * 2; i++) {
        const char *steps = rows[i / 2].steps;
        size_t part = !strchr(steps, 'f') ? 1 : strlen(strchr(steps, 's') ? TICK : ":\n");

        /* A sink that gets full does so at each byte of what comes next. */
        for (size_t taken = 0; taken < part; taken++) {
            struct client client;

            prepare(&client, SSE_DRAIN_CALLBACK, i % 2, setting);
            assert_int_equal(sse_emitter_new(&client.emitter, &client.options), 0);
            for (const char *step = steps; *step; step++) {
                run(&client, (const char[]){*step, '\0'});
                if (*step == 'f')
                    client.sink.room = taken;
            }
            expect_sent(&client, i % 2 ? rows[i / 2].chunked : rows[i / 2].raw);
            finish(&client);
        }
    }
}

static void ticking_too_often_does_nothing(void **state)
{
    struct client client;
    size_t heartbeats;

    (void)state;
    open_emitter(&client, (struct setting){OFF, 0, 0, 0, 100});
    for (size_t i = 0; i < 10000; i++)
        run(&client, "t");
    assert_int_equal(client.sink.calls, 0);
    for (size_t i = 0; i < 10000; i++)
        tick_after(&client, 1);
    heartbeats = client.sink.size / strlen(":\n");
    assert_in_range(heartbeats, 100, 133);
    run(&client, "fsc");
    tick_after(&client, 5000);
    assert_int_equal(reason_of(&client), SSE_REASON_DRAIN);
    for (size_t i = 0; i < 10000; i++)
        tick_after(&client, 1000);
    assert_int_equal(client.sink.size, heartbeats * strlen(":\n"));
    finish(&client);
}

static void timeouts_are_rounded_up(void **state)
{
    static const struct {
        int64_t lifetime_ms;
        uint64_t passed; /* nanoseconds */
        int timeout;
    } rows[] = {
        {10, 0, 10},           {10, 1, 10},
        {10, MS - 1, 10},      {10, MS, 9},
        {10, 10 * MS - 1, 1},  {10, 10 * MS, 0},
        {10, 99 * MS, 0},      {1, 0, 1},
        {INT_MAX, 0, INT_MAX}, {INT64_C(1) << 40, 0, INT_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct client client;

        open_emitter(&client, (struct setting){rows[i].lifetime_ms, 0, OFF, OFF, OFF});
        client.host.now += rows[i].passed;
        assert_int_equal(next_timeout(&client), rows[i].timeout);
        assert_int_equal(reason_of(&client), SSE_REASON_NONE);
        finish(&client);
    }
}

static void a_clock_at_its_end_overflows_nothing(void **state)
{
    static const uint64_t left[] = {0, 1, MS - 1, MS, 9 * MS, 10 * MS - 1, 10 * MS, 10 * MS + 1, 100 * MS};

    (void)state;
    for (size_t i = 0; i < COUNT(left); i++) {
        struct client client;
        int timeout;

        prepare(&client, SSE_DRAIN_CALLBACK, SSE_FRAMING_RAW, (struct setting){10, 0, 10, 10, OFF});
        client.host.now = UINT64_MAX - left[i];
        assert_int_equal(sse_emitter_new(&client.emitter, &client.options), 0);
        timeout = next_timeout(&client);
        assert_int_equal(timeout, left[i] > 10 * MS ? 10 : -1);
        run(&client, "tfst");
        assert_int_equal(next_timeout(&client), timeout);
        client.host.now = UINT64_MAX;
        run(&client, "ttt");
        assert_int_equal(reason_of(&client), timeout < 0 ? SSE_REASON_NONE : SSE_REASON_STALL);
        if (timeout < 0)
            run(&client, "oustt");
        assert_int_equal(client.sink.size, timeout < 0 ? strlen(TICK TICK) : 0);
        finish(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_end_at_their_time),
        cmocka_unit_test(timers_that_are_off_never_end_it),
        cmocka_unit_test(who_makes_progress_lives),
        cmocka_unit_test(times_are_spread),
        cmocka_unit_test(heartbeats_come_only_when_idle),
        cmocka_unit_test(ticking_too_often_does_nothing),
        cmocka_unit_test(timeouts_are_rounded_up),
        cmocka_unit_test(a_clock_at_its_end_overflows_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
