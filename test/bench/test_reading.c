/* SPDX-License-Identifier: MIT */
/* Tests what reading.c must refuse or show in its counts. A load client that cannot find a lost event proves
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reading.h"
#include "serving.h"

#include <stdio.h>
#include <string.h>

#define SIZE 30
#define FRAME (6 + SIZE + 2)
#define STREAM_MAX 1024

static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/** A head, then an event for each stamp up to a 0. */
struct stream {
    char bytes[STREAM_MAX];
    size_t size;
};

static struct stream stream_of(const uint64_t *stamps)
{
    struct stream stream = {.size = sizeof(head) - 1};

    memcpy(stream.bytes, head, stream.size);
    for (; *stamps; stamps++)
        stream.size +=
            (size_t)snprintf(stream.bytes + stream.size, STREAM_MAX - stream.size, "data: %0*llu%s\n\n",
                             STAMP_DIGITS, (unsigned long long)*stamps, "xxxxxxxxxxx");
    return stream;
}

/* Reads the stream in pieces of `step` bytes. */
static bool take(struct reading *reading, const struct stream *stream, size_t step)
{
    static struct latencies latencies;

    *reading = (struct reading){.data_size = SIZE};
    for (size_t at = 0; at < stream->size; at += step) {
        size_t size = stream->size - at < step ? stream->size - at : step;

        if (!reading_take(reading, stream->bytes + at, size, 1000, &latencies))
            return false;
    }
    return true;
}

static void test_good_stream(void **state)
{
    const struct stream stream = stream_of((const uint64_t[]){100, 200, 300, 0});
    struct reading reading;

    (void)state;
    assert_int_equal(stream.size, sizeof(head) - 1 + 3 * FRAME);
    for (size_t step = 1; step <= stream.size; step++) {
        assert_true(take(&reading, &stream, step));
        assert_true(reading_is_whole(&reading));
        assert_int_equal(reading.events, 3);
        assert_int_equal(reading.last, 300);
        assert_int_equal(reading.sum, 600);
    }
}

static void check_comment(const char *comment, size_t size, size_t place)
{
    const struct stream events = stream_of((const uint64_t[]){100, 200, 0});
    struct stream stream = events;
    struct reading reading;

    memcpy(stream.bytes + place, comment, size);
    memcpy(stream.bytes + place + size, events.bytes + place, events.size - place);
    stream.size += size;
    for (size_t step = 1; step <= stream.size; step++) {
        assert_true(take(&reading, &stream, step));
        assert_true(reading_is_whole(&reading));
        assert_int_equal(reading.sum, 300);
    }
    stream.size = place + 1;
    assert_true(take(&reading, &stream, 7));
    assert_false(reading_is_whole(&reading));
}

static void test_comments(void **state)
{
    static const char *const comments[] = {":\n", ":\n\n", ": a comment\n\n"};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (size_t events = 0; events <= 2; events++)
            check_comment(comments[i], strlen(comments[i]), sizeof(head) - 1 + events * FRAME);
}

static void test_lost_event(void **state)
{
    const struct stream lost = stream_of((const uint64_t[]){100, 300, 0});
    const struct stream replaced = stream_of((const uint64_t[]){100, 250, 300, 0});
    struct reading reading;

    (void)state;
    assert_true(take(&reading, &lost, 7));
    assert_int_equal(reading.events, 2);
    assert_true(take(&reading, &replaced, 7));
    assert_int_equal(reading.events, 3);
    assert_int_not_equal(reading.sum, 600);
}

static void test_order(void **state)
{
    const struct stream twice = stream_of((const uint64_t[]){100, 200, 200, 0});
    const struct stream backwards = stream_of((const uint64_t[]){100, 300, 200, 0});
    const struct stream of_the_future = stream_of((const uint64_t[]){100, 1001, 0});
    struct reading reading;

    (void)state;
    assert_false(take(&reading, &twice, 64));
    assert_false(take(&reading, &backwards, 64));
    assert_false(take(&reading, &of_the_future, 64));
}

/* Each byte of an event is changed, missing or doubled. Of the stamp, only changes that show in the sum. */
static void test_torn_event(void **state)
{
    const struct stream whole = stream_of((const uint64_t[]){100, 200, 300, 0});
    const size_t event = sizeof(head) - 1 + FRAME;
    struct reading reading;

    (void)state;
    for (size_t at = event; at < event + FRAME; at++) {
        struct stream changed = whole;
        struct stream missing = whole;

        changed.bytes[at] ^= 1;
        assert_true(!take(&reading, &changed, STREAM_MAX) || reading.sum != 600);
        memmove(missing.bytes + at, missing.bytes + at + 1, whole.size - at - 1);
        missing.size--;
        assert_false(take(&reading, &missing, STREAM_MAX));
    }
}

static void test_end_within_an_event(void **state)
{
    struct stream stream = stream_of((const uint64_t[]){100, 200, 0});
    struct reading reading;

    (void)state;
    stream.size--;
    assert_true(take(&reading, &stream, STREAM_MAX));
    assert_int_equal(reading.events, 1);
    assert_false(reading_is_whole(&reading));
}

/* Latencies of 1 to 1000 microseconds. Each share is at most one in a hundred above the exact one. */
static void test_latencies(void **state)
{
    static struct latencies latencies;
    struct reading reading = {.has_head = true, .data_size = SIZE};
    struct stream stream;

    (void)state;
    for (uint64_t i = 1; i <= 1000; i++) {
        stream = stream_of((const uint64_t[]){i, 0});
        assert_true(reading_take(&reading, stream.bytes + sizeof(head) - 1, FRAME, i + i * 1000, &latencies));
    }
    assert_in_range(latencies_at(&latencies, 0.50), 500000, 505000);
    assert_in_range(latencies_at(&latencies, 0.99), 990000, 999900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_stream), cmocka_unit_test(test_comments),
        cmocka_unit_test(test_lost_event),  cmocka_unit_test(test_order),
        cmocka_unit_test(test_torn_event),  cmocka_unit_test(test_end_within_an_event),
        cmocka_unit_test(test_latencies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
