/* SPDX-License-Identifier: MIT */
/* Every call of an emitter in every state, with and without a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_client.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DRAIN_MS 500
#define STALL_MS 1000
#define LIFETIME_MS 100000
#define START_MS 700
#define TICK "data: tick\n\n"

static const struct sse_event tick = {.data = {"tick", 4}};

static struct fake_platform fake;
static struct sse_platform counting; /* as `fake`, but counts how often its clock is read */
static size_t clock_reads;
static struct fake_loop loop;
static struct fake_client client;

static uint64_t counted_now(void *user)
{
    clock_reads++;
    return fake.platform.now(user);
}

static int set_up(void **state)
{
    (void)state;
    fake_platform_init(&fake);
    counting = fake.platform;
    counting.now = counted_now;
    fake_loop_open(&loop, &fake);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_loop_close(&loop);
    assert_int_equal(atomic_load(&fake.blocks), 0);
    return 0;
}

static void prepare(enum sse_output output, bool looped)
{
    fake_client_init(&client, &fake, output);
    client.loop = looped ? &loop : NULL;
    client.options.platform = &counting;
    client.options.lifetime_ms = LIFETIME_MS;
    client.options.stall_ms = STALL_MS;
    client.options.drain_ms = DRAIN_MS;
    client.options.start_ms = START_MS;
}

static bool is_pull(void)
{
    return client.options.output == SSE_OUTPUT_PULL;
}

/* Does the owner's work: a turn, or a call. */
static void let_owner_work(void)
{
    if (client.loop)
        (void)fake_loop_settle(&loop);
    else
        (void)sse_emitter_flush(client.emitter);
}

/* Whether the client has received everything so far. */
static void receive(void)
{
    let_owner_work();
    if (is_pull())
        (void)fake_client_pull(&client);
    fake_client_forget(&client);
}

static void expect_unchanged(const struct sse_emitter_info *before)
{
    struct sse_emitter_info after = fake_client_info(&client);

    assert_int_equal(after.state, before->state);
    assert_int_equal(after.reason, before->reason);
    assert_int_equal(after.queued_bytes, before->queued_bytes);
    assert_int_equal(after.queued_messages, before->queued_messages);
    assert_int_equal(after.events, before->events);
    assert_int_equal(after.bytes, before->bytes);
    assert_int_equal(after.dropped, before->dropped);
}

/* The stages of an emitter: first the states, then the end by each reason. */
enum stage { PAUSED, EMPTY, BACKLOG, DRAINING, CLOSED };

static const struct {
    enum sse_reason reason;
    int error;
    int answer;      /* the answer of calls after the end */
    enum stage from; /* the stage before it */
    uint64_t after_ms;
    const char *log;
} ends[] = {
    {SSE_REASON_COMPLETED, 0, SSE_ENDED, EMPTY, 0, "cx"},
    {SSE_REASON_LIFETIME, 0, SSE_ENDED, EMPTY, LIFETIME_MS, "tcx"},
    {SSE_REASON_STALLED, -ETIMEDOUT, -ETIMEDOUT, BACKLOG, STALL_MS, "tcx"},
    {SSE_REASON_DRAIN_TIMEOUT, -ETIMEDOUT, -ETIMEDOUT, DRAINING, DRAIN_MS, "tcx"},
    {SSE_REASON_NOT_STARTED, -ETIMEDOUT, -ETIMEDOUT, PAUSED, START_MS, "tcx"},
    {SSE_REASON_DISCONNECTED, -ECONNRESET, -ECONNRESET, EMPTY, 0, "ecx"},
    {SSE_REASON_OVERFLOW, -ENOBUFS, -EIO, BACKLOG, 0, "ecx"},
    {SSE_REASON_ABORTED, -EPROTO, -EPROTO, DRAINING, 0, "ecx"},
    {SSE_REASON_OUTPUT_ERROR, -ENOSPC, -ENOSPC, BACKLOG, 0, "ecx"}, /* PULL has no output that could fail */
};

#define STAGES (CLOSED + COUNT(ends))

static bool exists(size_t stage)
{
    return stage < CLOSED || ends[stage - CLOSED].reason != SSE_REASON_OUTPUT_ERROR || !is_pull();
}

static void end_by(size_t end)
{
    enum sse_reason reason = ends[end].reason;
    bool by_output = reason == SSE_REASON_OUTPUT_ERROR || (reason == SSE_REASON_DISCONNECTED && !is_pull());

    client.output.error_at = by_output ? client.output.size : SIZE_MAX;
    client.output.error = ends[end].error;
    fake_platform_advance_ms(&fake, ends[end].after_ms);
    if (reason == SSE_REASON_OVERFLOW)
        while (!sse_emitter_send(client.emitter, &tick))
            let_owner_work();
    else if (reason == SSE_REASON_COMPLETED)
        assert_int_equal(sse_emitter_complete(client.emitter), 0);
    else if (by_output)
        (void)sse_emitter_send(client.emitter, &tick);
    else if (!ends[end].after_ms)
        assert_int_equal(sse_emitter_abort(client.emitter, ends[end].error), 0);
    if (by_output && client.loop)
        client.output.room = SIZE_MAX;
    if (by_output)
        (void)sse_emitter_flush(client.emitter);
    let_owner_work();
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_CLOSED);
}

static void bring_to(enum sse_output output, bool looped, size_t stage)
{
    size_t before = stage < CLOSED ? stage : ends[stage - CLOSED].from;

    prepare(output, looped);
    client.options.queue_messages = 2;
    client.options.paused = before == PAUSED;
    fake_client_open(&client);
    receive();
    client.output.room = before == EMPTY || before == PAUSED ? SIZE_MAX : 5;
    if (before == BACKLOG || before == DRAINING)
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
    if (before == DRAINING)
        assert_int_equal(sse_emitter_complete(client.emitter), 0);
    let_owner_work();
    if (stage >= CLOSED)
        end_by(stage - CLOSED);
    client.output.room = SIZE_MAX;
    client.output.error_at = SIZE_MAX;
}

enum call {
    START,
    COMPLETE,
    ABORT,
    FLUSH,
    INTERRUPT,
    PING,
    SEND,
    SEND_MESSAGE,
    PEEK,
    CONSUME_NOTHING,
    CONSUME_ONE,
    READ,
    WAIT,
    GET_INFO,
    USER,
    REFERENCES,
    CALLS
};

#define SOME 1000  /* any answer above 0 */
#define ENDED 1001 /* the answer that belongs to the reason */
#define LATE 1002  /* -EALREADY, or the answer that belongs to the reason */

static int call_with_message(struct sse_emitter *emitter)
{
    struct sse_message *message = NULL;
    int result;

    assert_int_equal(sse_message_new(&message, &tick, 1, NULL), 0);
    result = sse_emitter_send_message(emitter, message);
    sse_message_unref(message);
    return result;
}

static int call(struct sse_emitter *emitter, enum call which)
{
    static int (*const plain[])(struct sse_emitter *) = {[COMPLETE] = sse_emitter_complete,
                                                         [FLUSH] = sse_emitter_flush,
                                                         [INTERRUPT] = sse_emitter_interrupt,
                                                         [PING] = sse_emitter_ping,
                                                         [SEND_MESSAGE] = call_with_message};
    struct sse_emitter_info info;
    struct iovec iov;
    char buffer[100];

    if (which < COUNT(plain) && plain[which])
        return plain[which](emitter);
    switch (which) {
    case START:
        return sse_emitter_start(emitter, false);
    case ABORT:
        return sse_emitter_abort(emitter, -EIO);
    case SEND:
        return sse_emitter_send(emitter, &tick);
    case PEEK:
        return sse_emitter_peek(emitter, &iov, 1);
    case CONSUME_NOTHING:
        return sse_emitter_consume(emitter, 0);
    case CONSUME_ONE:
        return sse_emitter_consume(emitter, 1);
    case READ:
        return (int)sse_emitter_read(emitter, buffer, sizeof(buffer));
    case WAIT:
        return sse_emitter_wait(emitter, 0);
    case GET_INFO:
        return sse_emitter_get_info(emitter, &info, sizeof(info));
    case USER:
        return sse_emitter_user(emitter) == (emitter ? &client : NULL) ? 0 : -1;
    default:
        sse_emitter_unref(sse_emitter_ref(emitter));
        return 0;
    }
}

/* The columns for CALLBACK and for PULL: paused, empty, with a backlog, draining, closed. */
static const int expected[CALLS][2][5] = {
    [START] = {{0, -EALREADY, -EALREADY, LATE, LATE}, {0, -EALREADY, -EALREADY, LATE, LATE}},
    [COMPLETE] = {{0, 0, 0, -EALREADY, -EALREADY}, {0, 0, 0, -EALREADY, -EALREADY}},
    [ABORT] = {{0, 0, 0, 0, -EALREADY}, {0, 0, 0, 0, -EALREADY}},
    [FLUSH] = {{0, 0, 1, 1, ENDED}, {0, 0, 1, 1, ENDED}},
    [INTERRUPT] = {{-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, 0, 0, 0, 0}},
    [PING] = {{0, 0, 0, ENDED, ENDED}, {0, 0, 0, ENDED, ENDED}},
    [SEND] = {{0, 0, 0, ENDED, ENDED}, {0, 0, 0, ENDED, ENDED}},
    [SEND_MESSAGE] = {{0, 0, 0, ENDED, ENDED}, {0, 0, 0, ENDED, ENDED}},
    [PEEK] = {{-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, 0, 1, 1, ENDED}},
    [CONSUME_NOTHING] = {{-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, 0, 0, 0, 0}},
    [CONSUME_ONE] = {{-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL},
                     {-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL}},
    [READ] = {{-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, 0, SOME, SOME, ENDED}},
    [WAIT] = {{-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, 0, 1, 1, ENDED}},
}; /* get_info, user, ref and unref: 0 */

static bool is_expected(int wanted, int result, int answer)
{
    if (wanted == SOME)
        return result > 0;
    if (wanted == LATE)
        return result == -EALREADY || result == answer;
    return result == (wanted == ENDED ? answer : wanted);
}

static void check_call(enum call which, enum sse_output output, bool looped, size_t stage)
{
    bool closed = stage >= CLOSED;
    int wanted = expected[which][output == SSE_OUTPUT_PULL][closed ? CLOSED : stage];
    int answer = closed ? ends[stage - CLOSED].answer : SSE_ENDED, result;
    struct sse_emitter_info before = fake_client_info(&client);

    assert_int_equal(before.state, closed ? SSE_STATE_CLOSED : stage == DRAINING);
    assert_int_equal(before.reason, closed ? ends[stage - CLOSED].reason : SSE_REASON_NONE);
    assert_int_equal(before.error, closed ? ends[stage - CLOSED].error : 0);
    assert_int_equal(before.paused, stage == PAUSED);
    /* The output has not been tried again, so the call itself writes if there is room. */
    if (output == SSE_OUTPUT_CALLBACK && !looped && which == FLUSH)
        wanted = closed ? ENDED : stage == DRAINING ? ENDED : 0;
    clock_reads = 0;
    result = call(client.emitter, which);
    if (!is_expected(wanted, result, answer))
        fail_msg("call %d in stage %zu, output %d, loop %d: %d", which, stage, output, looped, result);
    if (clock_reads > 1 && which != WAIT)
        fail_msg("call %d in stage %zu, output %d: the clock is read again", which, stage, output);
    if (closed)
        expect_unchanged(&before);
}

static void every_call_is_defined_in_every_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < CALLS * STAGES * 4; i++) {
        enum sse_output output = i / CALLS / STAGES % 2 ? SSE_OUTPUT_PULL : SSE_OUTPUT_CALLBACK;
        bool looped = i / CALLS / STAGES / 2;
        size_t stage = i / CALLS % STAGES;

        client.options.output = output;
        if (!exists(stage))
            continue;
        bring_to(output, looped, stage);
        check_call((enum call)(i % CALLS), output, looped, stage);
        fake_client_free(&client);
        if (stage >= CLOSED)
            assert_string_equal(client.log + strspn(client.log, "rb"), ends[stage - CLOSED].log);
        assert_int_equal(strcspn(client.log, "c"), strlen(client.log) - 2);
        assert_int_equal(strcspn(client.log, "x"), strlen(client.log) - 1);
    }
}

static void null_is_refused_or_ignored(void **state)
{
    static const int odd_errors[] = {0, 1, -4096, INT_MIN, INT_MAX};
    struct sse_emitter_info info;
    struct iovec iov;
    char byte;

    (void)state;
    prepare(SSE_OUTPUT_PULL, false);
    fake_client_open(&client);
    assert_int_equal(sse_emitter_send(client.emitter, NULL), -EINVAL);
    assert_int_equal(sse_emitter_send_message(client.emitter, NULL), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, NULL, 1), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, &iov, 0), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, &iov, INT_MIN), -EINVAL);
    assert_int_equal(sse_emitter_read(client.emitter, NULL, 1), -EINVAL);
    assert_int_equal(sse_emitter_read(client.emitter, &byte, 0), -EINVAL);
    assert_int_equal(sse_emitter_read(client.emitter, &byte, (size_t)SSIZE_MAX + 1), -EINVAL);
    assert_int_equal(sse_emitter_wait(client.emitter, -2), -EINVAL);
    assert_int_equal(sse_emitter_get_info(client.emitter, NULL, sizeof(info)), -EINVAL);
    assert_int_equal(sse_emitter_get_info(client.emitter, &info, 0), -EINVAL);
    for (size_t i = 0; i < COUNT(odd_errors); i++)
        assert_int_equal(sse_emitter_abort(client.emitter, odd_errors[i]), -EINVAL);
    assert_int_equal(fake_client_info(&client).state, SSE_STATE_OPEN);
    fake_client_free(&client);
    for (int which = 0; which < CALLS; which++)
        assert_int_equal(call(NULL, (enum call)which), which < USER ? -EINVAL : 0);
    sse_emitter_close(NULL);
    assert_null(sse_emitter_ref(NULL));
}

#define MEMBER_ENDS_AT(member)                                                                               \
    (offsetof(struct sse_emitter_info, member) + sizeof(((struct sse_emitter_info *)0)->member))

/* An older program receives the members that it knows. A newer one receives zeros for members that only it
 * knows. */
static void info_of_every_size(void **state)
{
    union {
        struct sse_emitter_info info;
        unsigned char bytes[sizeof(struct sse_emitter_info) + 64];
    } given;

    (void)state;
    prepare(SSE_OUTPUT_CALLBACK, false);
    fake_client_open(&client);
    assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
    fake_platform_advance_ms(&fake, 7);
    for (size_t size = 1; size <= sizeof(given.bytes); size++) {
        memset(&given, 0xa5, sizeof(given));
        assert_int_equal(sse_emitter_get_info(client.emitter, &given.info, size), 0);
        if (size >= MEMBER_ENDS_AT(reason))
            assert_int_equal(given.info.reason, SSE_REASON_NONE);
        if (size >= MEMBER_ENDS_AT(events))
            assert_int_equal(given.info.events, 1);
        if (size >= MEMBER_ENDS_AT(bytes))
            assert_int_equal(given.info.bytes, strlen(":\n" TICK));
        if (size >= MEMBER_ENDS_AT(age_ms))
            assert_int_equal(given.info.age_ms, 7);
        for (size_t at = sizeof(given.info); at < sizeof(given.bytes); at++)
            assert_int_equal(given.bytes[at], at < size ? 0 : 0xa5);
        for (size_t at = size; at < sizeof(given.info); at++)
            assert_int_equal(given.bytes[at], 0xa5);
    }
    fake_client_free(&client);
}

static void every_reason_has_a_name(void **state)
{
    (void)state;
    for (int reason = SSE_REASON_NONE; reason <= SSE_REASON_EVICTED; reason++) {
        const char *name = sse_reason_name((enum sse_reason)reason);

        assert_string_not_equal(name, "");
        assert_string_not_equal(name, "unknown");
        for (int other = SSE_REASON_NONE; other < reason; other++)
            assert_string_not_equal(name, sse_reason_name((enum sse_reason)other));
    }
    assert_string_equal(sse_reason_name(SSE_REASON_DISCONNECTED), "client disconnected");
    assert_string_equal(sse_reason_name((enum sse_reason)(SSE_REASON_EVICTED + 1)), "unknown");
    assert_string_equal(sse_reason_name((enum sse_reason)INT_MAX), "unknown");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_call_is_defined_in_every_state),
        TEST(null_is_refused_or_ignored),
        TEST(info_of_every_size),
        TEST(every_reason_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
