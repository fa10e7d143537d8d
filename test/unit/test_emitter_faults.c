/* SPDX-License-Identifier: MIT */
/* Outputs that fail, are slow or are full, with and without a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event_source_parser.h"
#include "fake_client.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEARTBEAT_MS 1000

static const struct sse_http_options heads[] = {{.size = sizeof(heads[0])},
                                                {.size = sizeof(heads[0]), .chunked = true}};

/* A client, and the number of events it was sent. The next event has that number. */
struct receiver {
    struct fake_client client;
    struct fake_loop loop;
    struct fake_platform fake;
    unsigned framing;
    unsigned sent;
};

static void prepare(struct receiver *receiver, unsigned framing, bool looped)
{
    memset(receiver, 0, sizeof(*receiver));
    fake_platform_init(&receiver->fake);
    fake_loop_open(&receiver->loop, &receiver->fake);
    fake_client_init(&receiver->client, &receiver->fake, SSE_OUTPUT_CALLBACK);
    receiver->client.loop = looped ? &receiver->loop : NULL;
    receiver->client.options.http = &heads[framing];
    receiver->client.options.retry_ms = 1500;
    receiver->client.options.heartbeat_ms = HEARTBEAT_MS;
    receiver->framing = framing;
}

static void open_receiver(struct receiver *receiver)
{
    fake_client_open(&receiver->client);
}

static void finish(struct receiver *receiver)
{
    fake_client_free(&receiver->client);
    fake_loop_close(&receiver->loop);
    fake_platform_check_no_leak(&receiver->fake);
}

/* A call writes only a limited number of times. */
static void flush_all(struct receiver *receiver)
{
    size_t size;

    do
        size = receiver->client.output.size;
    while (sse_emitter_flush(receiver->client.emitter) == 1 && receiver->client.output.size > size);
}

static void let_owner_work(struct receiver *receiver)
{
    if (receiver->client.loop)
        (void)fake_loop_settle(&receiver->loop);
    else
        flush_all(receiver);
}

static int send_message(struct receiver *receiver, const struct sse_event *events, size_t count)
{
    struct sse_message *message = NULL;
    int error = sse_message_new(&message, events, count, &receiver->fake.platform);

    if (!error)
        error = sse_emitter_send_message(receiver->client.emitter, message);
    sse_message_unref(message);
    return error;
}

/* s: small, d: without an id, i and j: with an id of 41 and 40 bytes, l: large, and so on. */
static int send_kind(struct receiver *receiver, char kind)
{
    char number[16], long_id[320], large[640];
    struct sse_event event = {.retry_ms = 0};

    snprintf(number, sizeof(number), "%u", receiver->sent);
    snprintf(long_id, sizeof(long_id), "%0*u", kind == 'l' ? 300 : kind == 'j' ? 40 : 41, receiver->sent);
    snprintf(large, sizeof(large), "%0600u", receiver->sent);
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
    return kind == 'm' ? send_message(receiver, &event, 1)
                       : sse_emitter_send(receiver->client.emitter, &event);
}

static bool is_event(char letter)
{
    return strchr("sdijlzam", letter) != NULL;
}

/* A letter for each step. An event of that kind, or f: the output is full, p: it is full after 5 bytes, o: it has
 * room again, h: a heartbeat is due, c: complete. */
static int step(struct receiver *receiver, char letter)
{
    int error = 0;

    if (letter == 'f' || letter == 'p') {
        receiver->client.output.room = letter == 'f' ? 0 : 5;
        return 0;
    }
    if (letter == 'o')
        receiver->client.output.room = SIZE_MAX;
    if (letter == 'o' && receiver->client.loop)
        assert_int_not_equal(sse_emitter_flush(receiver->client.emitter), -EINVAL);
    if (letter == 'h')
        fake_platform_advance_ms(&receiver->fake, HEARTBEAT_MS);
    if (letter == 'c')
        error = sse_emitter_complete(receiver->client.emitter);
    if (is_event(letter))
        error = send_kind(receiver, letter);
    if (receiver->client.loop || letter == 'o' || letter == 'h')
        let_owner_work(receiver);
    return error;
}

static void run(struct receiver *receiver, const char *steps)
{
    let_owner_work(receiver);
    for (; *steps; steps++) {
        bool open = fake_client_info(&receiver->client).state == SSE_STATE_OPEN;

        (void)step(receiver, *steps);
        receiver->sent += open && is_event(*steps);
    }
}

/* Returns the stream without any fault. The caller frees it with its client. */
static void run_undisturbed(struct receiver *receiver, unsigned framing, const char *steps)
{
    prepare(receiver, framing, false);
    open_receiver(receiver);
    run(receiver, steps);
    assert_int_equal(fake_client_info(&receiver->client).reason, SSE_REASON_COMPLETED);
    assert_int_equal(fake_client_info(&receiver->client).events, receiver->sent);
}

static void expect_same_stream(const struct receiver *receiver, const struct receiver *reference)
{
    assert_int_equal(receiver->client.output.size, reference->client.output.size);
    assert_memory_equal(receiver->client.output.bytes, reference->client.output.bytes,
                        reference->client.output.size);
}

static void count_event(const struct event_source_event *event, void *user)
{
    (void)event;
    ++*(uint64_t *)user;
}

static size_t head_size(const struct receiver *receiver)
{
    return (size_t)sse_http_head(NULL, 0, &heads[receiver->framing]);
}

/* Parses the bytes like a client: after the head, and only complete chunks. */
static void feed(struct event_source_parser *parser, const struct receiver *receiver)
{
    size_t at = head_size(receiver), size = receiver->client.output.size;
    const char *bytes = (const char *)receiver->client.output.bytes;

    while (receiver->framing == SSE_FRAMING_CHUNKED && at < size) {
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

/* An independent client understood the same events as the completion record counts. */
static void expect_honest_record(const struct receiver *receiver)
{
    const struct sse_completion *record = &receiver->client.completion;
    uint64_t dispatched = 0;
    struct event_source_parser *parser = event_source_parser_new(count_event, &dispatched);

    feed(parser, receiver);
    assert_int_equal(record->events, dispatched);
    assert_int_equal(record->dropped, receiver->sent - dispatched);
    assert_int_equal(record->bytes, receiver->client.output.size);
    assert_string_equal(receiver->client.last_id, event_source_parser_last_event_id(parser, NULL));
    event_source_parser_free(parser);
}

#define EVERYTHING "sdhaisjsldzmsc"

/* Fault 13. Fault 22. */
static void a_failed_output_is_left_alone(void **state)
{
    static const struct {
        ssize_t result;
        int error;
        enum sse_reason reason;
    } rows[] = {
        {-EPIPE, -EPIPE, SSE_REASON_DISCONNECTED},
        {-ECONNRESET, -ECONNRESET, SSE_REASON_DISCONNECTED},
        {-ETIMEDOUT, -ETIMEDOUT, SSE_REASON_DISCONNECTED},
        {-EIO, -EIO, SSE_REASON_OUTPUT_ERROR},
        {-4095, -4095, SSE_REASON_OUTPUT_ERROR},
        {-4096, -EIO, SSE_REASON_OUTPUT_ERROR},
        {SSIZE_MAX, -EIO, SSE_REASON_OUTPUT_ERROR},
        {-SSIZE_MAX - 1, -EIO, SSE_REASON_OUTPUT_ERROR},
    };
    static struct receiver reference, receiver;

    (void)state;
    for (unsigned framing = 0; framing < 2; framing++) {
        run_undisturbed(&reference, framing, EVERYTHING);
        for (size_t i = 0; i < COUNT(rows) * reference.client.output.size; i++) {
            size_t row = i % COUNT(rows), offset = i / COUNT(rows);

            prepare(&receiver, framing, offset % 2);
            receiver.client.output.error_at = offset;
            receiver.client.output.error = rows[row].result;
            receiver.client.output.take_max = i % 2 * 7;
            open_receiver(&receiver);
            run(&receiver, EVERYTHING "soh");
            assert_int_equal(receiver.client.output.size, offset);
            if (offset)
                assert_memory_equal(receiver.client.output.bytes, reference.client.output.bytes, offset);
            assert_int_equal(receiver.client.completion.reason, rows[row].reason);
            assert_int_equal(receiver.client.completion.error, rows[row].error);
            expect_honest_record(&receiver);
            assert_string_equal(receiver.client.log, "ec");
            finish(&receiver);
        }
        finish(&reference);
    }
}

/* The output is slow, full or interrupted at each offset, once or until it is tried again. Fault 9. Fault 10. */
static void no_interruption_loses_a_byte(void **state)
{
    static const ssize_t results[] = {0, -EAGAIN, -EWOULDBLOCK, -EINTR};
    static const char steps[] = "sdaisjsldzmsc";
    static struct receiver reference, receiver;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        unsigned framing = i % 2, looped = i / 2;

        run_undisturbed(&reference, framing, steps);
        for (size_t k = 0; k < COUNT(results) * reference.client.output.size * 2; k++) {
            prepare(&receiver, framing, looped);
            receiver.client.output.error_at = k / 2 / COUNT(results);
            receiver.client.output.error = results[k / 2 % COUNT(results)];
            receiver.client.output.error_once = k % 2;
            open_receiver(&receiver);
            run(&receiver, steps);
            if (!receiver.client.output.error_once) {
                assert_int_equal(receiver.client.output.size, receiver.client.output.error_at);
                assert_true(receiver.client.output.calls < 1000);
            }
            receiver.client.output.error_at = SIZE_MAX;
            (void)step(&receiver, 'o');
            expect_same_stream(&receiver, &reference);
            expect_honest_record(&receiver);
            finish(&receiver);
        }
        for (size_t take_max = 1; take_max <= reference.client.output.size; take_max++) {
            prepare(&receiver, framing, looped);
            receiver.client.output.take_max = take_max;
            open_receiver(&receiver);
            run(&receiver, steps);
            let_owner_work(&receiver);
            expect_same_stream(&receiver, &reference);
            expect_honest_record(&receiver);
            assert_string_equal(receiver.client.log, "c");
            finish(&receiver);
        }
        finish(&reference);
    }
}

/* on_ready does not run again for later events, because nobody has tried to write. */
static void blocked_is_reported_once_for_each_try(void **state)
{
    static const char *const rows[][2] = {{"sss", ""},     {"fsss", "b"},       {"psss", "b"}, {"fsos", "b"},
                                          {"fsofs", "bb"}, {"psofsofs", "bbb"}, {"fsoc", "bc"}};
    static struct receiver receiver;

    (void)state;
    for (size_t i = 0; i < COUNT(rows) * 2; i++) {
        prepare(&receiver, i % 2, true);
        open_receiver(&receiver);
        run(&receiver, rows[i / 2][0]);
        assert_string_equal(receiver.client.log, rows[i / 2][1]);
        finish(&receiver);
    }
}

static void a_truncated_batch_counts_its_whole_events(void **state)
{
    static const struct sse_event batch[] = {
        {.id = {"1", 1}, .data = {"a", 1}}, {.id = {"2", 1}, .data = {"b", 1}}, {.data = {"c", 1}}};
    static struct receiver receiver;

    (void)state;
    for (size_t i = 0; i < 39 * 2; i++) {
        prepare(&receiver, i % 2, false);
        open_receiver(&receiver);
        run(&receiver, "");
        receiver.client.output.error_at = receiver.client.output.size + i / 2;
        receiver.client.output.error = -EPIPE;
        receiver.sent = COUNT(batch);
        (void)send_message(&receiver, batch, COUNT(batch));
        assert_int_equal(sse_emitter_flush(receiver.client.emitter), -EPIPE);
        expect_honest_record(&receiver);
        finish(&receiver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_output_is_left_alone),
        cmocka_unit_test(no_interruption_loses_a_byte),
        cmocka_unit_test(blocked_is_reported_once_for_each_try),
        cmocka_unit_test(a_truncated_batch_counts_its_whole_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
