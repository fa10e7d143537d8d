/* SPDX-License-Identifier: MIT */
/* Tests what plain.c removes, and that faults are still noticed after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../reading.h"

#include <stdio.h>
#include <string.h>

#define DATA_SIZE 20
#define FIRST "0000000000000000100x"
#define SECOND "0000000000000000200x"
#define STREAM_MAX 1024

static const char raw_head[] = "HTTP/1.1 200 OK\r\n\r\n";
static const char chunked_head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nX: y\r\n\r\n";

/* Reads the stream in pieces of `step` bytes, as that of a new client. */
static bool take(struct reading *reading, const char *stream, size_t step)
{
    static struct latencies latencies;
    static int fd;
    size_t left = strlen(stream);

    *reading = (struct reading){.fd = fd++, .data_size = DATA_SIZE};
    for (; left; stream += step, left -= step) {
        step = left < step ? left : step;
        if (!reading_take(reading, stream, step, 1000, &latencies))
            return false;
    }
    return true;
}

static void expect_two_events(const char *stream)
{
    struct reading reading;

    for (size_t step = 1; step <= strlen(stream); step++) {
        assert_true(take(&reading, stream, step));
        assert_true(reading_is_whole(&reading));
        assert_int_equal(reading.events, 2);
        assert_int_equal(reading.last, 200);
    }
}

/* In chunks of `step` bytes. */
static const char *in_chunks(const char *body, size_t step)
{
    static char stream[STREAM_MAX];
    size_t left = strlen(body);
    int size = snprintf(stream, sizeof(stream), "%s", chunked_head);

    for (; left; body += step, left -= step) {
        step = left < step ? left : step;
        size +=
            snprintf(stream + size, sizeof(stream) - (size_t)size, "%zX\r\n%.*s\r\n", step, (int)step, body);
        assert_in_range(size, 0, STREAM_MAX - 1);
    }
    return stream;
}

static const char *with_raw_head(const char *body)
{
    static char stream[STREAM_MAX];

    snprintf(stream, sizeof(stream), "%s%s", raw_head, body);
    return stream;
}

static const char *const bodies[] = {
    "data: " FIRST "\n\ndata: " SECOND "\n\n",
    "data:" FIRST "\n\ndata:" SECOND "\n\n",
    ": hi\n\nid: 1:0\ndata: " FIRST "\n\nid: 1:1\ndata: " SECOND "\n\n",
    "retry: 3\n\nevent:message\nid:daa\ndata:" FIRST "\ndat\n\ndata:" SECOND "\ndx\n\n:\n\n",
};

static void test_other_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
        expect_two_events(with_raw_head(bodies[i]));
}

static void test_chunks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
        for (size_t step = 6; step < 40; step++)
            expect_two_events(in_chunks(bodies[i], step));
}

static void test_faults(void **state)
{
    static const char *const faulty[] = {
        "id: 1\ndata: " FIRST "\ndata: " SECOND "\n\n",   /* no end of the first */
        "data: 000000000000000000100x\n\n",               /* too long */
        "data: 000000000000000100x\n\n",                  /* too short */
        "id: 2\ndata: " SECOND "\n\ndata: " FIRST "\n\n", /* order */
        "data:  " FIRST "\n\n",                           /* only one space does not count */
    };
    struct reading reading;

    (void)state;
    for (size_t i = 0; i < sizeof(faulty) / sizeof(*faulty); i++) {
        assert_false(take(&reading, with_raw_head(faulty[i]), 7));
        assert_false(take(&reading, in_chunks(faulty[i], 9), 7));
    }
}

static void test_what_is_missing(void **state)
{
    struct reading reading;

    (void)state;
    assert_true(take(&reading, with_raw_head("id: 1\ndata: " SECOND "\n\nid: 2\n\n"), 5));
    assert_int_equal(reading.events, 1);
    assert_true(take(&reading, with_raw_head("data: " FIRST "\n"), 5));
    assert_int_equal(reading.events, 0);
    assert_false(reading_is_whole(&reading));
}

static void test_end_of_stream(void **state)
{
    char stream[STREAM_MAX + sizeof("0\r\n\r\n")];
    struct reading reading;

    (void)state;
    snprintf(stream, sizeof(stream), "%s0\r\n\r\n", in_chunks(bodies[0], 30));
    assert_false(take(&reading, stream, 11));
    assert_int_equal(reading.events, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_fields),  cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_what_is_missing),
        cmocka_unit_test(test_end_of_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
