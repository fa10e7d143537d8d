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
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD "HTTP/1.1 200 OK\r\n\r\n"
#define DRAIN_MS 500
#define STALL_MS 1000
#define LIFETIME_MS 100000

struct client {
    struct fake_sink sink; /* first: `user` is both */
    struct fake_host host;
    struct sse_host counting; /* as `host`, but counts how often its clock is read */
    size_t clock_reads;
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    char log[16]; /* a letter for each hook, in order */
    size_t hooks;
    struct sse_completion record;
};

static const struct sse_event tick = {.data = {"tick", 4}};

static void note(struct client *client, char letter)
{
    client->log[client->hooks++ % (sizeof(client->log) - 1)] = letter;
}

static void on_wake(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    note(user, 'w');
}

static void on_timeout(struct sse_emitter *emitter, enum sse_reason reason, void *user)
{
    (void)emitter, (void)reason;
    note(user, 't');
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter, (void)error;
    note(user, 'e');
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    (void)emitter;
    note(user, 'c');
    ((struct client *)user)->record = *completion;
}

static void on_release(void *user)
{
    note(user, 'x');
}

static uint64_t counted_now(void *user)
{
    struct client *client = user;

    client->clock_reads++;
    return client->host.now;
}

/* Everything but the emitter, so that a test may still change the options. */
static struct client *prepare(struct client *client, enum sse_drain drain, enum sse_framing framing)
{
    memset(client, 0, sizeof(*client));
    fake_host_init(&client->host);
    fake_sink_init(&client->sink);
    client->counting = (struct sse_host){.size = sizeof(struct sse_host), .now = counted_now, .user = client};
    client->options = (struct sse_emitter_options){.size = sizeof(client->options),
                                                   .host = &client->host.host,
                                                   .drain = drain,
                                                   .framing = framing,
                                                   .write = fake_sink_write,
                                                   .on_ready = on_wake,
                                                   .on_blocked = on_wake,
                                                   .on_timeout = on_timeout,
                                                   .on_error = on_error,
                                                   .on_completion = on_completion,
                                                   .on_release = on_release,
                                                   .user = client,
                                                   .lifetime_ms = LIFETIME_MS,
                                                   .stall_ms = STALL_MS,
                                                   .drain_ms = DRAIN_MS,
                                                   .heartbeat_ms = SSE_TIMER_OFF};
    return client;
}

static void open_emitter(struct client *client)
{
    assert_int_equal(sse_emitter_new(&client->emitter, &client->options), 0);
}

static void finish(struct client *client)
{
    sse_emitter_unref(client->emitter);
    fake_sink_free(&client->sink);
    fake_host_check_no_leak(&client->host);
}

static void expect_sent(const struct client *client, const char *text)
{
    assert_int_equal(client->sink.size, strlen(text));
    if (*text)
        assert_memory_equal(client->sink.bytes, text, strlen(text));
}

static struct sse_emitter_info info_of(struct client *client)
{
    struct sse_emitter_info info;

    memset(&info, 0, sizeof(info));
    info.size = sizeof(info);
    assert_int_equal(sse_emitter_info(client->emitter, &info), 0);
    return info;
}

static void expect_unchanged(struct client *client, const struct sse_emitter_info *before)
{
    struct sse_emitter_info after = info_of(client);

    assert_int_equal(after.state, before->state);
    assert_int_equal(after.reason, before->reason);
    assert_int_equal(after.queued_bytes, before->queued_bytes);
    assert_int_equal(after.queued_messages, before->queued_messages);
    assert_int_equal(after.events, before->events);
    assert_int_equal(after.bytes, before->bytes);
    assert_int_equal(after.dropped, before->dropped);
}

/* For streams whose messages hold one event each, behind no head. */
static void check_accounts(struct client *client, uint64_t accepted)
{
    struct sse_emitter_info info = info_of(client);

    assert_int_equal(info.events + info.dropped + info.queued_messages, accepted);
    assert_int_equal(info.bytes, client->sink.size);
    assert_int_equal(!info.queued_bytes, !info.queued_messages);
}

/* Makes an emitter with these options and takes it away again, or sees that nothing has happened. */
static int try_options(struct client *client)
{
    int error = sse_emitter_new(&client->emitter, &client->options);

    assert_int_equal(!client->emitter, error != 0);
    if (error)
        assert_int_equal(client->sink.calls, 0);
    finish(client);
    assert_string_equal(client->log, error ? "" : "cx");
    return error;
}

#define MEMBER(member)                                                                                       \
    offsetof(struct sse_emitter_options, member), sizeof(((struct sse_emitter_options *)0)->member)
#define SIZE ((int64_t)sizeof(struct sse_emitter_options))

static void members_have_their_ranges(void **state)
{
    static const struct {
        size_t offset, size;
        int error; /* of the first `bad` values; none of the `good` ones that follow */
        int bad, good;
        int64_t values[6];
    } rows[] = {
        {MEMBER(size), -EINVAL, 3, 1, {0, SIZE - 1, SIZE + 1, SIZE}},
        {MEMBER(drain), -EINVAL, 4, 1, {0, 4, -1, INT_MAX, SSE_DRAIN_PULL}},
        {MEMBER(framing), -EINVAL, 3, 1, {2, -1, INT_MIN, SSE_FRAMING_CHUNKED}},
        {MEMBER(overflow), -EINVAL, 3, 1, {4, -1, INT_MAX, SSE_OVERFLOW_COALESCE}},
        {MEMBER(write), -EINVAL, 1, 0, {0}},
        {MEMBER(fd), 0, 0, 2, {-1, INT_MAX}},
        {MEMBER(retry_ms), -ERANGE, 4, 2, {-1, INT64_MIN, SSE_RETRY_MAX + 1, INT64_MAX, 1, SSE_RETRY_MAX}},
        {MEMBER(lifetime_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(lifetime_jitter_ms), -EINVAL, 3, 2, {-1, LIFETIME_MS + 1, INT64_MAX, 1, LIFETIME_MS}},
        {MEMBER(stall_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(drain_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(heartbeat_ms), -EINVAL, 2, 3, {-2, INT64_MIN, SSE_TIMER_OFF, 1, INT64_MAX}},
        {MEMBER(queue_bytes), 0, 0, 2, {100, -1}},
        {MEMBER(queue_messages), -EINVAL, 2, 1, {-1, INT64_MAX, 1}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int k = 0; k < rows[i].bad + rows[i].good; k++) {
            int64_t value = rows[i].values[k];
            int narrow = (int)value, error;
            const void *from = rows[i].size == sizeof(narrow) ? (const void *)&narrow : (const void *)&value;
            struct client client;

            prepare(&client, SSE_DRAIN_CALLBACK, SSE_FRAMING_RAW);
            memcpy((char *)&client.options + rows[i].offset, from, rows[i].size);
            error = try_options(&client);
            if (error != (k < rows[i].bad ? rows[i].error : 0))
                fail_msg("row %zu, value %d: %d", i, k, error);
        }
    }
}

static void bad_pointers_are_refused(void **state)
{
    struct sse_host hosts[3];
    struct client client;

    (void)state;
    prepare(&client, SSE_DRAIN_CALLBACK, SSE_FRAMING_RAW);
    assert_int_equal(sse_emitter_new(NULL, &client.options), -EINVAL);
    assert_int_equal(sse_emitter_new(&client.emitter, NULL), -EINVAL);
    for (size_t i = 0; i < COUNT(hosts); i++) {
        hosts[i] = client.host.host;
        client.options.host = &hosts[i];
        hosts[i].size += i == 0;
        hosts[i].allocate = i == 1 ? NULL : hosts[i].allocate;
        hosts[i].release = i == 2 ? NULL : hosts[i].release;
        assert_int_equal(try_options(&client), -EINVAL);
    }
    prepare(&client, SSE_DRAIN_FD, SSE_FRAMING_RAW)->options.fd = -1;
    assert_int_equal(try_options(&client), -EINVAL);
    client.options.fd = INT_MAX;
    assert_int_equal(try_options(&client), -EBADF);
}

static void heads_are_checked(void **state)
{
    static const struct {
        struct sse_str head;
        int64_t retry_ms;
        size_t queue_bytes;
        int error;
    } rows[] = {
        {{NULL, 1}, 0, 0, -EINVAL},
        {{NULL, SIZE_MAX}, 0, 0, -EINVAL},
        {{NULL, 0}, 0, 1, 0},
        {{HEAD, 0}, 0, 1, 0},
        {{HEAD, 19}, 0, 19, 0},
        {{HEAD, 19}, 0, 18, -EMSGSIZE},
        {{NULL, 0}, 15, 10, 0},
        {{NULL, 0}, 15, 9, -EMSGSIZE},
        {{HEAD, 19}, 15, 29, 0},
        {{HEAD, 19}, 15, 28, -EMSGSIZE},
        {{HEAD, SIZE_MAX}, 0, 0, -EMSGSIZE},
        {{HEAD, SIZE_MAX}, 0, SIZE_MAX, -EMSGSIZE},
        {{HEAD, SIZE_MAX - 50}, 0, SIZE_MAX, -EMSGSIZE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct client client;
        int error;

        prepare(&client, SSE_DRAIN_CALLBACK, SSE_FRAMING_RAW)->options.head = rows[i].head;
        client.options.retry_ms = rows[i].retry_ms;
        client.options.queue_bytes = rows[i].queue_bytes;
        error = try_options(&client);
        if (error != rows[i].error)
            fail_msg("row %zu: %d", i, error);
    }
}

static void head_and_retry_go_first(void **state)
{
    static const char *const expected[] = {HEAD "retry: 1500\n", HEAD "c\r\nretry: 1500\n\r\n"};

    (void)state;
    for (unsigned i = 0; i < COUNT(expected) * 2; i++) {
        const char *text = expected[i / 2];
        size_t taken = i % 2 ? 7 : strlen(text);
        char head[] = HEAD;
        struct client client;

        prepare(&client, SSE_DRAIN_CALLBACK, i / 2)->options.head = sse_str(head);
        client.options.retry_ms = 1500;
        client.sink.room = taken;
        open_emitter(&client);
        memset(head, 'x', sizeof(head));
        assert_string_equal(client.log, i % 2 ? "w" : "");
        assert_int_equal(info_of(&client).bytes, taken);
        assert_int_equal(info_of(&client).queued_bytes, strlen(text) - taken);
        client.sink.room = SIZE_MAX;
        assert_int_equal(sse_emitter_flush(client.emitter), 0);
        expect_sent(&client, text);
        assert_int_equal(info_of(&client).events, 0);
        finish(&client);
        assert_int_equal(client.record.dropped, 0);
    }
}

static int fail_emitter(struct sse_emitter *emitter)
{
    return sse_emitter_complete_with_error(emitter, -EIO);
}

/* Nor is there an empty chunk before, however little an event holds. */
static void only_completion_writes_the_last_chunk(void **state)
{
    static const struct sse_event events[] = {
        {.data = {"", 0}}, {.id = {"", 0}}, {.comment = {"", 0}}, {.retry_ms = 1}, {.data = {"\n", 1}}};
    static const char *const chunks[] = {"8\r\ndata: \n\n\r\n", "6\r\nid: \n\n\r\n", "2\r\n:\n\r\n",
                                         "9\r\nretry: 1\n\r\n", "f\r\ndata: \ndata: \n\n\r\n"};
    int (*const ends[])(struct sse_emitter *) = {sse_emitter_complete, sse_emitter_detach, fail_emitter};

    (void)state;
    for (size_t i = 0; i < COUNT(ends) * 61 * (COUNT(events) + 1); i++) {
        size_t end = i % COUNT(ends), room = end ? SIZE_MAX : i / COUNT(ends) % 61;
        size_t count = i / COUNT(ends) / 61;
        char expected[100] = "";
        struct client client;

        prepare(&client, SSE_DRAIN_CALLBACK, SSE_FRAMING_CHUNKED)->sink.room = room;
        open_emitter(&client);
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(sse_emitter_send(client.emitter, &events[k]), 0);
            strcat(expected, chunks[k]);
        }
        assert_int_equal(ends[end](client.emitter), 0);
        client.sink.room = SIZE_MAX;
        (void)sse_emitter_flush(client.emitter);
        assert_true(sse_emitter_flush(client.emitter) < 0);
        assert_int_equal(sse_emitter_complete(client.emitter), -EALREADY);
        expect_sent(&client, strcat(expected, end ? "" : "0\r\n\r\n"));
        check_accounts(&client, count);
        finish(&client);
    }
}

static void memory_is_used_only_for_what_waits(void **state)
{
    static char text[2000];
    const struct sse_event events[] = {
        tick, {.id = {"id", 2}, .type = {"t", 1}, .data = {text, 400}}, {.data = {text, 2000}}};

    (void)state;
    memset(text, 'a', sizeof(text));
    for (unsigned framing = 0; framing < 2; framing++) {
        struct client client;
        size_t allocations, bytes;

        open_emitter(prepare(&client, SSE_DRAIN_CALLBACK, framing));
        allocations = client.host.allocations;
        bytes = client.host.bytes;
        for (size_t i = 0; i < 1000; i++)
            assert_int_equal(sse_emitter_send(client.emitter, &events[i % 2]), 0);
        assert_int_equal(client.host.allocations, allocations);
        client.sink.room = 100;
        for (size_t i = 0; i < 100; i++)
            assert_int_equal(sse_emitter_send(client.emitter, &events[i % COUNT(events)]), 0);
        assert_true(client.host.bytes > bytes);
        client.sink.room = SIZE_MAX;
        assert_int_equal(sse_emitter_flush(client.emitter), 0);
        assert_int_equal(client.host.bytes, bytes);
        check_accounts(&client, 1100);
        finish(&client);
    }
}

static void a_full_queue_ends_the_emitter(void **state)
{
    /* framing, queue_bytes, queue_messages, room; then accepted, written */
    static const unsigned rows[][6] = {
        {0, 12, 0, 0, 1, 0},  {0, 35, 0, 0, 2, 0},   {0, 36, 0, 0, 3, 0},        {0, 36, 0, 11, 3, 0},
        {0, 36, 0, 12, 4, 1}, {0, 36, 0, 24, 5, 2},  {1, 50, 0, 0, 2, 0},        {1, 51, 0, 0, 3, 0},
        {1, 51, 0, 16, 3, 0}, {1, 51, 0, 17, 4, 1},  {0, 0, 1, 0, 1, 0},         {0, 0, 9, 0, 9, 0},
        {0, 0, 9, 13, 10, 1}, {0, 0, 0, 0, 4096, 0}, {0, 0, 99999, 0, 87381, 0}, {1, 0, 99999, 0, 61680, 0}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct client client;
        uint64_t accepted = 0;
        int error;

        prepare(&client, SSE_DRAIN_CALLBACK, rows[i][0])->options.queue_bytes = rows[i][1];
        client.options.queue_messages = rows[i][2];
        client.sink.room = rows[i][3];
        open_emitter(&client);
        while (!(error = sse_emitter_send(client.emitter, &tick)))
            accepted++;
        assert_int_equal(error, -ENOBUFS);
        assert_int_equal(accepted, rows[i][4]);
        check_accounts(&client, accepted);
        assert_int_equal(client.host.blocks, 1);
        finish(&client);
        assert_string_equal(client.log, "wecx");
        assert_int_equal(client.record.reason, SSE_REASON_OVERFLOW);
        assert_int_equal(client.record.error, -ENOBUFS);
        assert_int_equal(client.record.events, rows[i][5]);
        assert_int_equal(client.record.dropped, accepted - rows[i][5]);
    }
}

/* Every kind of event that is refused, in every drain and framing, on an idle and a busy stream. */
static void a_refused_event_leaves_everything_as_it_was(void **state)
{
    static char large[300];
    static const struct sse_event events[] = {
        {.retry_ms = 0},
        {.type = {"t", 1}},
        {.data = {NULL, 1}},
        {.comment = {NULL, SIZE_MAX}},
        {.type = {"a\rb", 3}, .data = {"", 0}},
        {.type = {"a\nb", 3}, .data = {"", 0}},
        {.type = {"a\0b", 3}, .data = {"", 0}},
        {.id = {"1\n2", 3}, .data = {"", 0}},
        {.id = {"1\0", 2}, .data = {"", 0}},
        {.id = {" 1", 2}, .data = {"", 0}},
        {.retry_ms = -1},
        {.retry_ms = SSE_RETRY_MAX + 1},
        {.data = {"\xc0\x80", 2}},
        {.comment = {"\xff", 1}},
        {.data = {"x", SIZE_MAX}},
        {.data = {"x", SSE_EVENT_SIZE_MAX + 1}},
        {.data = {large, sizeof(large)}},
    };
    static const int errors[] = {-EINVAL, -EINVAL, -EINVAL,    -EINVAL,   -EINVAL,  -EINVAL,
                                 -EINVAL, -EINVAL, -EINVAL,    -EINVAL,   -ERANGE,  -ERANGE,
                                 -EILSEQ, -EILSEQ, -EOVERFLOW, -EMSGSIZE, -EMSGSIZE};

    (void)state;
    memset(large, 'a', sizeof(large));
    for (size_t i = 0; i < COUNT(events) * 8; i++) {
        unsigned framing = i % 2, backlog = i / 2 % 2, pull = i / 4 % 2;
        struct sse_message *message;
        struct sse_emitter_info before;
        struct client client;

        prepare(&client, pull ? SSE_DRAIN_PULL : SSE_DRAIN_CALLBACK, framing);
        client.options.queue_bytes = sizeof(large);
        client.sink.room = backlog ? 3 : SIZE_MAX;
        open_emitter(&client);
        if (backlog)
            assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        before = info_of(&client);
        assert_int_equal(sse_emitter_send(client.emitter, &events[i / 8]), errors[i / 8]);
        if (!sse_message_new(&message, &events[i / 8], 1, &client.host.host)) {
            assert_int_equal(sse_emitter_send_message(client.emitter, message), errors[i / 8]);
            sse_message_unref(message);
        }
        expect_unchanged(&client, &before);
        assert_int_equal(client.sink.size, before.bytes);
        assert_int_equal(sse_emitter_send(client.emitter, &tick), 0);
        assert_int_equal(info_of(&client).events + info_of(&client).queued_messages, 1 + backlog);
        finish(&client);
    }
}

/* Where an emitter stands: first the states, then the closed one by each reason. */
enum stage { EMPTY, BACKLOG, DRAINING, CLOSED };

static const struct {
    enum sse_reason reason;
    int error;
    int answer;      /* of calls after the end */
    enum stage from; /* what comes before it */
    uint64_t after_ms;
    const char *log;
} ends[] = {
    {SSE_REASON_COMPLETED, 0, -ESHUTDOWN, EMPTY, 0, "cx"},
    {SSE_REASON_LIFETIME, -ETIMEDOUT, -ESHUTDOWN, EMPTY, LIFETIME_MS, "tcx"},
    {SSE_REASON_STALL, -ETIMEDOUT, -ETIMEDOUT, BACKLOG, STALL_MS, "tcx"},
    {SSE_REASON_DRAIN, -ETIMEDOUT, -ETIMEDOUT, DRAINING, DRAIN_MS, "tcx"},
    {SSE_REASON_PEER_GONE, -ECONNRESET, -ECONNRESET, EMPTY, 0, "ecx"},
    {SSE_REASON_OVERFLOW, -ENOBUFS, -ENOBUFS, BACKLOG, 0, "ecx"},
    {SSE_REASON_APPLICATION, -EPROTO, -EPROTO, DRAINING, 0, "ecx"},
    {SSE_REASON_DETACHED, -ECANCELED, -ECANCELED, BACKLOG, 0, "cx"},
    {SSE_REASON_IO_ERROR, -ENOSPC, -ENOSPC, BACKLOG, 0, "ecx"}, /* pull has no sink that could tell */
};

#define STAGES (CLOSED + COUNT(ends))

static void end_by(struct client *client, size_t end)
{
    bool by_sink = ends[end].reason == SSE_REASON_PEER_GONE || ends[end].reason == SSE_REASON_IO_ERROR;

    by_sink = by_sink && client->options.drain == SSE_DRAIN_CALLBACK;
    client->sink.error_at = by_sink ? client->sink.size : SIZE_MAX;
    client->sink.error = ends[end].error;
    fake_host_advance_ms(&client->host, ends[end].after_ms);
    if (ends[end].reason == SSE_REASON_OVERFLOW)
        assert_int_equal(sse_emitter_send(client->emitter, &tick), 0);
    if (ends[end].after_ms)
        assert_int_equal(sse_emitter_tick(client->emitter), 0);
    else if (ends[end].reason == SSE_REASON_COMPLETED)
        assert_int_equal(sse_emitter_complete(client->emitter), 0);
    else if (ends[end].reason == SSE_REASON_DETACHED)
        assert_int_equal(sse_emitter_detach(client->emitter), 0);
    else if (by_sink || ends[end].reason == SSE_REASON_OVERFLOW)
        assert_int_equal(sse_emitter_send(client->emitter, &tick), ends[end].error);
    else
        assert_int_equal(sse_emitter_complete_with_error(client->emitter, ends[end].error), 0);
}

static void bring_to(struct client *client, enum sse_drain drain, size_t stage)
{
    size_t before = stage < CLOSED ? stage : ends[stage - CLOSED].from;

    prepare(client, drain, SSE_FRAMING_RAW)->options.queue_messages = 2;
    client->options.host = &client->counting;
    client->sink.room = before == EMPTY ? SIZE_MAX : 5;
    open_emitter(client);
    assert_int_equal(client->clock_reads, 1);
    if (before != EMPTY)
        assert_int_equal(sse_emitter_send(client->emitter, &tick), 0);
    if (before == DRAINING)
        assert_int_equal(sse_emitter_complete(client->emitter), 0);
    if (stage < CLOSED)
        return;
    end_by(client, stage - CLOSED);
}

#define CALLS 17
#define SOME 1000  /* any answer above 0 */
#define ENDED 1001 /* the answer of the reason */

static int call(struct client *client, size_t which)
{
    static int (*const plain[])(struct sse_emitter *) = {sse_emitter_complete,  fail_emitter,
                                                         sse_emitter_detach,    sse_emitter_flush,
                                                         sse_emitter_interrupt, sse_emitter_next_timeout,
                                                         sse_emitter_tick};
    struct sse_emitter *emitter = client->emitter;
    struct sse_message *message = NULL;
    struct sse_emitter_info info = {.size = sizeof(info)};
    struct iovec iov;
    char buffer[100];
    int result;

    if (which < COUNT(plain))
        return plain[which](emitter);
    switch (which) {
    case 7:
        return sse_emitter_send(emitter, &tick);
    case 8:
        assert_int_equal(sse_message_new(&message, &tick, 1, NULL), 0);
        result = sse_emitter_send_message(emitter, message);
        sse_message_unref(message);
        return result;
    case 9:
        return sse_emitter_peek(emitter, &iov, 1);
    case 10:
        return sse_emitter_advance(emitter, 0);
    case 11:
        return sse_emitter_advance(emitter, 1);
    case 12:
        return (int)sse_emitter_read(emitter, buffer, sizeof(buffer));
    case 13:
        return sse_emitter_info(emitter, &info);
    case 14:
        return sse_emitter_wait(emitter, 0);
    case 15:
        return sse_emitter_user(emitter) == (emitter ? client : NULL) ? 0 : -1;
    default:
        result = sse_emitter_ref(emitter) == emitter ? 0 : -1;
        sse_emitter_unref(emitter);
        return result;
    }
}

static void every_call_is_defined_in_every_state(void **state)
{
    /* For a callback and for pull: empty, with a backlog, draining, closed. */
    static const int expected[CALLS][2][4] = {
        {{0, 0, -EALREADY, -EALREADY}, {0, 0, -EALREADY, -EALREADY}}, /* complete */
        {{0, 0, 0, -EALREADY}, {0, 0, 0, -EALREADY}},                 /* complete_with_error */
        {{0, 0, 0, 0}, {0, 0, 0, 0}},                                 /* detach */
        {{0, 1, 1, ENDED}, {0, 1, 1, ENDED}},                         /* flush */
        {{0, 0, 0, 0}, {0, 0, 0, 0}},                                 /* interrupt */
        {{SOME, SOME, SOME, -1}, {SOME, SOME, SOME, -1}},             /* next_timeout */
        {{0, 0, 0, 0}, {0, 0, 0, 0}},                                 /* tick */
        {{0, 0, -ESHUTDOWN, ENDED}, {0, 0, -ESHUTDOWN, ENDED}},       /* send */
        {{0, 0, -ESHUTDOWN, ENDED}, {0, 0, -ESHUTDOWN, ENDED}},       /* send_message */
        {{-EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, 1, 1, ENDED}},     /* peek */
        {{-EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, 0, 0, 0}},         /* advance by 0 */
        {{-EINVAL, -EINVAL, -EINVAL, -EINVAL}, {-EINVAL, -EINVAL, -EINVAL, -EINVAL}}, /* advance by 1 */
        {{-EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, SOME, SOME, ENDED}},               /* read */
        {{0, 0, 0, 0}, {0, 0, 0, 0}},                                                 /* info */
        {{-EINVAL, -EINVAL, -EINVAL, -EINVAL}, {0, 1, 1, ENDED}},                     /* wait */
    }; /* user, ref and unref: 0 */

    (void)state;
    for (size_t i = 0; i < CALLS * (STAGES * 2 - 1); i++) {
        size_t which = i % CALLS, stage = i / CALLS % STAGES, pull = i / CALLS / STAGES;
        bool closed = stage >= CLOSED;
        int wanted = expected[which][pull][closed ? CLOSED : stage], result;
        struct sse_emitter_info before;
        struct client client;

        bring_to(&client, pull ? SSE_DRAIN_PULL : SSE_DRAIN_CALLBACK, stage);
        before = info_of(&client);
        assert_int_equal(before.state, closed ? SSE_STATE_CLOSED : stage == DRAINING);
        assert_int_equal(before.reason, closed ? ends[stage - CLOSED].reason : SSE_REASON_NONE);
        assert_int_equal(before.error, closed ? ends[stage - CLOSED].error : 0);
        client.clock_reads = 0;
        result = call(&client, which);
        if (wanted == ENDED)
            wanted = ends[stage - CLOSED].answer;
        if (wanted == SOME ? result <= 0 : result != wanted)
            fail_msg("call %zu in stage %zu, pull %zu: %d", which, stage, pull, result);
        if (client.clock_reads > 1 && which != 14)
            fail_msg("call %zu in stage %zu, pull %zu: the clock is read again", which, stage, pull);
        if (closed)
            expect_unchanged(&client, &before);
        finish(&client);
        if (closed)
            assert_string_equal(client.log + strspn(client.log, "w"), ends[stage - CLOSED].log);
        assert_int_equal(strcspn(client.log, "c"), strlen(client.log) - 2);
        assert_int_equal(strcspn(client.log, "x"), strlen(client.log) - 1);
    }
}

static void null_is_refused_or_nothing(void **state)
{
    static const int odd_errors[] = {0, 1, -4096, INT_MIN, -ESHUTDOWN, -EINTR, -EINVAL};
    struct sse_emitter_info info = {.size = sizeof(info) - 1};
    struct client client;
    struct iovec iov;
    char byte;

    (void)state;
    open_emitter(prepare(&client, SSE_DRAIN_PULL, SSE_FRAMING_RAW));
    assert_int_equal(sse_emitter_send(client.emitter, NULL), -EINVAL);
    assert_int_equal(sse_emitter_send_message(client.emitter, NULL), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, NULL, 1), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, &iov, 0), -EINVAL);
    assert_int_equal(sse_emitter_peek(client.emitter, &iov, INT_MIN), -EINVAL);
    assert_int_equal(sse_emitter_read(client.emitter, NULL, 1), -EINVAL);
    assert_int_equal(sse_emitter_read(client.emitter, &byte, 0), -EINVAL);
    assert_int_equal(sse_emitter_read(client.emitter, &byte, (size_t)SSIZE_MAX + 1), -EINVAL);
    assert_int_equal(sse_emitter_wait(client.emitter, -2), -EINVAL);
    assert_int_equal(sse_emitter_info(client.emitter, NULL), -EINVAL);
    assert_int_equal(sse_emitter_info(client.emitter, &info), -EINVAL);
    assert_int_equal(info.size, sizeof(info) - 1);
    for (size_t i = 0; i < COUNT(odd_errors); i++)
        assert_int_equal(sse_emitter_complete_with_error(client.emitter, odd_errors[i]), -EINVAL);
    assert_int_equal(info_of(&client).state, SSE_STATE_OPEN);
    finish(&client);
    client.emitter = NULL;
    for (size_t which = 0; which < CALLS; which++)
        assert_int_equal(call(&client, which), which < 15 ? -EINVAL : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_have_their_ranges),
        cmocka_unit_test(bad_pointers_are_refused),
        cmocka_unit_test(heads_are_checked),
        cmocka_unit_test(head_and_retry_go_first),
        cmocka_unit_test(only_completion_writes_the_last_chunk),
        cmocka_unit_test(memory_is_used_only_for_what_waits),
        cmocka_unit_test(a_full_queue_ends_the_emitter),
        cmocka_unit_test(a_refused_event_leaves_everything_as_it_was),
        cmocka_unit_test(every_call_is_defined_in_every_state),
        cmocka_unit_test(null_is_refused_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
