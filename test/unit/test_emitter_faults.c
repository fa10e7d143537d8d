/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/emitter.h>

#include "event_source_parser.h"
#include "fake_host.h"
#include "fake_sink.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD "HTTP/1.1 200 OK\r\n\r\n"
#define RETRY "retry: 1500\n"
#define HEARTBEAT_MS 1000

struct client {
    struct fake_sink sink; /* first: `user` is both */
    struct fake_host host;
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    char log[16]; /* a letter for each hook, in order */
    struct sse_completion record;
    char last_id[400];
    unsigned sent; /* events that were tried, and whose number the next has */
};

static void note(struct client *client, char letter)
{
    size_t length = strlen(client->log);

    if (length + 1 < sizeof(client->log))
        client->log[length] = letter;
}

static void on_blocked(struct sse_emitter *emitter, void *user)
{
    (void)emitter;
    note(user, 'b');
}

static void on_error(struct sse_emitter *emitter, int error, void *user)
{
    (void)emitter, (void)error;
    note(user, 'e');
}

static void on_completion(struct sse_emitter *emitter, const struct sse_completion *completion, void *user)
{
    struct client *client = user;
    struct sse_str id = completion->last_event_id;

    (void)emitter;
    note(client, 'c');
    client->record = *completion;
    snprintf(client->last_id, sizeof(client->last_id), "%.*s", (int)id.len, id.ptr ? id.ptr : "");
}

static void on_release(void *user)
{
    note(user, 'x');
}

static struct client *prepare(struct client *client, enum sse_framing framing)
{
    memset(client, 0, sizeof(*client));
    fake_host_init(&client->host);
    fake_sink_init(&client->sink);
    client->options = (struct sse_emitter_options){.size = sizeof(client->options),
                                                   .host = &client->host.host,
                                                   .drain = SSE_DRAIN_CALLBACK,
                                                   .framing = framing,
                                                   .head = sse_str(HEAD),
                                                   .retry_ms = 1500,
                                                   .heartbeat_ms = HEARTBEAT_MS,
                                                   .write = fake_sink_write,
                                                   .on_blocked = on_blocked,
                                                   .on_error = on_error,
                                                   .on_completion = on_completion,
                                                   .on_release = on_release,
                                                   .user = client};
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

static struct sse_emitter_info info_of(struct client *client)
{
    struct sse_emitter_info info = {.size = sizeof(info)};

    assert_int_equal(sse_emitter_info(client->emitter, &info), 0);
    return info;
}

static int send_as_message(struct client *client, const struct sse_event *events, size_t count)
{
    struct sse_message *message = NULL;
    int error = sse_message_new(&message, events, count, &client->host.host);

    if (!error)
        error = sse_emitter_send_message(client->emitter, message);
    sse_message_unref(message);
    return error;
}

/* s: small, d: without an id, i and j: with one of 41 and 40 bytes, l: large, and so on. */
static int send_kind(struct client *client, char kind)
{
    char number[16], long_id[320], large[640];
    struct sse_event event = {.retry_ms = 0};

    snprintf(number, sizeof(number), "%u", client->sent);
    snprintf(long_id, sizeof(long_id), "%0*u", kind == 'l' ? 300 : kind == 'j' ? 40 : 41, client->sent);
    snprintf(large, sizeof(large), "%0600u", client->sent);
    event.data = sse_str(kind == 'l' ? large : number);
    if (strchr("ijl", kind))
        event.id = sse_str(long_id);
    else if (kind != 'd')
        event.id = kind == 'z' ? sse_str("") : sse_str(number);
    if (kind == 'a') {
        event.comment = sse_str("note");
        event.type = sse_str("alarm");
        event.retry_ms = 9;
    }
    return kind == 'm' ? send_as_message(client, &event, 1) : sse_emitter_send(client->emitter, &event);
}

/* A letter for each step: an event of that kind, or f: the sink is full, p: full after 5 bytes,
 * o: open again, h: a heartbeat is due, c: complete. */
static int step(struct client *client, char letter)
{
    switch (letter) {
    case 'f':
    case 'p':
        client->sink.room = letter == 'f' ? 0 : 5;
        return 0;
    case 'o':
        client->sink.room = SIZE_MAX;
        return sse_emitter_flush(client->emitter);
    case 'h':
        fake_host_advance_ms(&client->host, HEARTBEAT_MS);
        return sse_emitter_tick(client->emitter);
    case 'c':
        return sse_emitter_complete(client->emitter);
    default:
        return send_kind(client, letter);
    }
}

static bool is_event(char letter)
{
    return strchr("sdijlzam", letter) != NULL;
}

static void run(struct client *client, const char *steps)
{
    for (; *steps; steps++) {
        bool open = info_of(client).state == SSE_STATE_OPEN;

        (void)step(client, *steps);
        client->sent += open && is_event(*steps);
    }
}

/* The stream as it is when nothing fails, for the caller to free with its client. */
static void run_undisturbed(struct client *client, enum sse_framing framing, const char *steps)
{
    open_emitter(prepare(client, framing));
    run(client, steps);
    assert_int_equal(info_of(client).reason, SSE_REASON_COMPLETED);
    assert_int_equal(info_of(client).events, client->sent);
}

static void expect_same_stream(const struct client *client, const struct client *reference)
{
    assert_int_equal(client->sink.size, reference->sink.size);
    assert_memory_equal(client->sink.bytes, reference->sink.bytes, reference->sink.size);
}

static void count_event(const struct event_source_event *event, void *user)
{
    (void)event;
    ++*(uint64_t *)user;
}

/* Feeds what a client makes of the bytes: behind the head, and of whole chunks only. */
static void feed(struct event_source_parser *parser, const struct client *client)
{
    size_t at = strlen(HEAD), size = client->sink.size;
    const char *bytes = (const char *)client->sink.bytes;

    while (client->options.framing == SSE_FRAMING_CHUNKED && at < size) {
        const char *line_end = memchr(bytes + at, '\n', size - at);
        size_t start = line_end ? (size_t)(line_end - bytes) + 1 : size;
        size_t length = start < size ? strtoul(bytes + at, NULL, 16) : 0;

        if (start >= size || size - start < length + 2)
            return;
        event_source_parser_feed(parser, bytes + start, length);
        at = start + length + 2;
    }
    if (at < size)
        event_source_parser_feed(parser, bytes + at, size - at);
}

/* What an independent client understood is what the completion record says. */
static void expect_honest_record(const struct client *client)
{
    uint64_t dispatched = 0;
    struct event_source_parser *parser = event_source_parser_new(count_event, &dispatched);

    feed(parser, client);
    assert_int_equal(client->record.events, dispatched);
    assert_int_equal(client->record.dropped, client->sent - dispatched);
    assert_int_equal(client->record.bytes, client->sink.size);
    assert_string_equal(client->last_id, event_source_parser_last_event_id(parser, NULL));
    event_source_parser_free(parser);
}

static void an_error_of_the_first_write_is_an_error_of_new(void **state)
{
    static const ssize_t errors[][2] = {{-EPIPE, -EPIPE},
                                        {-ECONNRESET, -ECONNRESET},
                                        {-EIO, -EIO},
                                        {SSIZE_MAX, -EIO},
                                        {-SSIZE_MAX - 1, -EIO}};

    (void)state;
    for (size_t i = 0; i < COUNT(errors) * 2; i++) {
        for (size_t offset = 0; offset < strlen(HEAD RETRY); offset++) {
            struct client client;

            prepare(&client, i % 2)->sink.error_at = offset;
            client.sink.error = errors[i / 2][0];
            assert_int_equal(sse_emitter_new(&client.emitter, &client.options), errors[i / 2][1]);
            assert_null(client.emitter);
            assert_int_equal(client.sink.size, offset);
            finish(&client);
            assert_string_equal(client.log, "");
        }
    }
}

/* The sink is full, and the client leaves before anybody looks again. */
static ssize_t refuse_then_fail(void *user, const struct iovec *iov, int count)
{
    (void)iov, (void)count;
    return ((struct client *)user)->sink.calls++ ? -EPIPE : -EAGAIN;
}

static void no_hook_at_the_end_runs_inside_new(void **state)
{
    struct client client;

    (void)state;
    prepare(&client, SSE_FRAMING_RAW)->options.write = refuse_then_fail;
    open_emitter(&client);
    assert_string_equal(client.log, "b");
    assert_int_equal(sse_emitter_flush(client.emitter), -EPIPE);
    finish(&client);
    assert_string_equal(client.log, "becx");
}

#define EVERYTHING "sdhaisjsldzmsc"

static void a_failed_sink_is_left_alone(void **state)
{
    static const struct {
        ssize_t result;
        int error;
        enum sse_reason reason;
    } rows[] = {
        {-EPIPE, -EPIPE, SSE_REASON_PEER_GONE},      {-ECONNRESET, -ECONNRESET, SSE_REASON_PEER_GONE},
        {-EIO, -EIO, SSE_REASON_IO_ERROR},           {-4095, -4095, SSE_REASON_IO_ERROR},
        {-4096, -EIO, SSE_REASON_IO_ERROR},          {SSIZE_MAX, -EIO, SSE_REASON_IO_ERROR},
        {-SSIZE_MAX - 1, -EIO, SSE_REASON_IO_ERROR},
    };

    (void)state;
    for (unsigned framing = 0; framing < 2; framing++) {
        struct client reference, client;
        size_t first = strlen(HEAD RETRY) + (framing ? 5 : 0);

        run_undisturbed(&reference, framing, EVERYTHING);
        for (size_t i = 0; i < COUNT(rows) * (reference.sink.size - first); i++) {
            size_t row = i % COUNT(rows), offset = first + i / COUNT(rows);

            prepare(&client, framing);
            client.sink.error_at = offset;
            client.sink.error = rows[row].result;
            client.sink.take_max = i % 2 * 7;
            open_emitter(&client);
            run(&client, EVERYTHING "soh");
            assert_int_equal(client.sink.size, offset);
            assert_memory_equal(client.sink.bytes, reference.sink.bytes, offset);
            assert_int_equal(client.record.reason, rows[row].reason);
            assert_int_equal(client.record.error, rows[row].error);
            assert_int_equal(client.record.last_event_id.ptr == NULL, client.record.events == 0);
            expect_honest_record(&client);
            finish(&client);
            assert_string_equal(client.log, "ecx");
        }
        finish(&reference);
    }
}

/* Sinks that are slow, full or interrupted at each offset, once or until they are looked at again. */
static void no_interruption_loses_a_byte(void **state)
{
    static const ssize_t results[] = {0, -EAGAIN, -EWOULDBLOCK, -EINTR};
    static const char steps[] = "sdaisjsldzmsc";

    (void)state;
    for (unsigned framing = 0; framing < 2; framing++) {
        struct client reference, client;

        run_undisturbed(&reference, framing, steps);
        for (size_t i = 0; i < COUNT(results) * reference.sink.size * 2; i++) {
            size_t row = i / 2 % COUNT(results);

            prepare(&client, framing);
            client.sink.error_at = i / 2 / COUNT(results);
            client.sink.error = results[row];
            client.sink.error_once = i % 2;
            open_emitter(&client);
            run(&client, steps);
            if (!client.sink.error_once) {
                assert_int_equal(client.sink.size, client.sink.error_at);
                assert_string_equal(client.log, "b");
                assert_true(client.sink.calls < 1000);
            } else if (results[row] == -EINTR) {
                assert_string_equal(client.log, "c");
            }
            client.sink.error_at = SIZE_MAX;
            (void)sse_emitter_flush(client.emitter);
            expect_same_stream(&client, &reference);
            expect_honest_record(&client);
            finish(&client);
        }
        for (size_t take_max = 1; take_max <= reference.sink.size; take_max++) {
            prepare(&client, framing)->sink.take_max = take_max;
            open_emitter(&client);
            run(&client, steps);
            expect_same_stream(&client, &reference);
            expect_honest_record(&client);
            finish(&client);
            assert_string_equal(client.log, "cx");
        }
        finish(&reference);
    }
}

static void on_blocked_is_told_once_until_the_queue_is_empty(void **state)
{
    static const char *const rows[][2] = {{"sss", ""},         {"fsss", "b"},    {"psss", "b"},
                                          {"fsos", "b"},       {"fsfspps", "b"}, {"fsofs", "bb"},
                                          {"psofsofs", "bbb"}, {"fsoc", "bc"}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows) * 2; i++) {
        struct client client;

        open_emitter(prepare(&client, i % 2));
        run(&client, rows[i / 2][0]);
        assert_string_equal(client.log, rows[i / 2][1]);
        finish(&client);
    }
}

static void a_torn_batch_counts_its_whole_events(void **state)
{
    static const struct sse_event batch[] = {
        {.id = {"1", 1}, .data = {"a", 1}}, {.id = {"2", 1}, .data = {"b", 1}}, {.data = {"c", 1}}};

    (void)state;
    for (size_t i = 0; i < 39 * 2; i++) {
        struct client client;

        prepare(&client, i % 2)->sink.error_at = strlen(HEAD RETRY) + i % 2 * 5 + i / 2;
        client.sink.error = -EPIPE;
        open_emitter(&client);
        client.sent = COUNT(batch);
        assert_int_equal(send_as_message(&client, batch, COUNT(batch)), -EPIPE);
        expect_honest_record(&client);
        finish(&client);
    }
}

enum persistence { ONCE, UNTIL_RETRY, FOR_GOOD, PERSISTENCES };

/* Runs a step while allocations may fail; if it fails it must have changed nothing. True if the
 * emitter has ended, as it may when a small event was taken in part. */
static bool step_without_memory(struct client *client, char letter, enum persistence persistence)
{
    struct sse_emitter_info before, after;
    int timeout, error;

    fake_host_advance_ms(&client->host, 1);
    before = info_of(client);
    timeout = sse_emitter_next_timeout(client->emitter);
    error = step(client, letter);
    client->sent += is_event(letter) && !error;
    if (error != -ENOMEM) {
        assert_int_equal(error, 0);
        return false;
    }
    after = info_of(client);
    if (after.state == SSE_STATE_CLOSED) {
        assert_int_equal(client->sink.room, 0);
        assert_int_equal(after.bytes, before.bytes + 5);
        assert_int_equal(after.reason, SSE_REASON_OVERFLOW);
        assert_int_equal(after.error, -ENOMEM);
        client->sent++;
        return true;
    }
    assert_int_equal(after.events + after.dropped, before.events + before.dropped);
    assert_int_equal(after.bytes, before.bytes);
    assert_int_equal(after.queued_bytes, before.queued_bytes);
    assert_int_equal(after.queued_messages, before.queued_messages);
    assert_int_equal(sse_emitter_next_timeout(client->emitter), timeout);
    if (persistence == FOR_GOOD)
        return false;
    fake_host_fail_at(&client->host, 0, false);
    assert_int_equal(step(client, letter), 0);
    client->sent += is_event(letter);
    return false;
}

static void every_allocation_may_fail(void **state)
{
    static const char steps[] = "siamlofssssssssssssslmofsofmopsolpaoc";

    (void)state;
    for (unsigned i = 0; i < PERSISTENCES * 2; i++) {
        enum persistence persistence = i / 2;
        struct client reference, client;
        size_t nth = 0, failed = 0;
        bool ended;

        run_undisturbed(&reference, i % 2, steps);
        do {
            int error;

            prepare(&client, i % 2);
            fake_host_fail_at(&client.host, ++nth, persistence != ONCE);
            error = sse_emitter_new(&client.emitter, &client.options);
            if (error) {
                assert_int_equal(error, -ENOMEM);
                assert_int_equal(client.sink.size, 0);
                fake_host_fail_at(&client.host, 0, false);
                open_emitter(&client);
            }
            ended = false;
            for (const char *at = steps; *at && !ended; at++)
                ended = step_without_memory(&client, *at, persistence);
            failed = client.host.fail_at ? client.host.attempts : nth;
            assert_string_equal(strchr(client.log, ended ? 'e' : 'c'), ended ? "ec" : "c");
            if (!ended && persistence != FOR_GOOD)
                expect_same_stream(&client, &reference);
            expect_honest_record(&client);
            finish(&client);
        } while (failed >= nth);
        assert_true(nth > 20);
        finish(&reference);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_of_the_first_write_is_an_error_of_new),
        cmocka_unit_test(no_hook_at_the_end_runs_inside_new),
        cmocka_unit_test(a_failed_sink_is_left_alone),
        cmocka_unit_test(no_interruption_loses_a_byte),
        cmocka_unit_test(on_blocked_is_told_once_until_the_queue_is_empty),
        cmocka_unit_test(a_torn_batch_counts_its_whole_events),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
