/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_calls.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEBIBYTE ((size_t)1 << 20)

/* Tries every size of buffer up to a little more than is needed. */
static void expect_parameter(struct sse_text query, const char *name, size_t index, struct sse_text value)
{
    assert_int_equal(sse_http_parameter(query, name, index, NULL, 0), value.len);
    for (size_t size = 0; size < value.len + 3; size++) {
        unsigned char *buffer = malloc(size ? size : 1);
        size_t written = size < value.len ? 0 : value.len;

        assert_non_null(buffer);
        memset(buffer, CANARY, size ? size : 1);
        assert_int_equal(sse_http_parameter(query, name, index, buffer, size), value.len);
        assert_memory_equal(buffer, value.ptr, written);
        assert_true(is_untouched(buffer + written, size - written));
        free(buffer);
    }
}

static void expect_no_parameter(struct sse_text query, const char *name, size_t index, int error)
{
    unsigned char buffer[64];

    memset(buffer, CANARY, sizeof(buffer));
    assert_int_equal(sse_http_parameter(query, name, index, buffer, sizeof(buffer)), error);
    assert_int_equal(sse_http_parameter(query, name, index, buffer, 1), error);
    assert_true(is_untouched(buffer, sizeof(buffer)));
    assert_int_equal(sse_http_parameter(query, name, index, NULL, 0), error);
}

struct row {
    const char *query;
    const char *value; /* NULL: `error` is the result */
    int error;
};

static void expect_rows(const char *name, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sse_text query = exact_copy(rows[i].query, strlen(rows[i].query));
        ssize_t expected = rows[i].value ? (ssize_t)strlen(rows[i].value) : rows[i].error;
        ssize_t result = sse_http_parameter(query, name, 0, NULL, 0);

        if (result != expected)
            fail_msg("%s: %zd instead of %zd", rows[i].query, result, expected);
        if (rows[i].value)
            expect_parameter(query, name, 0, sse_str(rows[i].value));
        else
            expect_no_parameter(query, name, 0, rows[i].error);
        free_text(query);
    }
}

static void values_are_found_and_decoded(void **state)
{
    static const struct row rows[] = {
        {"topic=news", "news", 0},
        {"topic=", "", 0},
        {"topic", "", 0},
        {"a=b&topic=news&c=d", "news", 0},
        {"&&topic=news&&", "news", 0},
        {"topic=a=b==", "a=b==", 0},
        {"topic=a+b%20c", "a b c", 0},
        {"topic=%2B%26%3D%25%3b", "+&=%;", 0},
        {"topic=%0d%0A%09", "\r\n\t", 0},
        {"topic=a;b", "a;b", 0},
        {"topic=%2500", "%00", 0},

        /* Other names. */
        {"", NULL, -ENOENT},
        {"&", NULL, -ENOENT},
        {"Topic=a", NULL, -ENOENT},
        {"topi=a", NULL, -ENOENT},
        {"topics=a", NULL, -ENOENT},
        {"xtopic=a", NULL, -ENOENT},
        {"a=topic=b", NULL, -ENOENT},
        {"a;topic=b", NULL, -ENOENT},
        {"=topic", NULL, -ENOENT},
        {"topic%3Da", NULL, -ENOENT},
        {"topic%00=a", NULL, -ENOENT},
        {"%00topic=a", NULL, -ENOENT},
        {"topic+=a", NULL, -ENOENT},
        {"top%ic=a", NULL, -ENOENT},
        {"topic%=a", NULL, -ENOENT},
        {"topi%6=a", NULL, -ENOENT},

        /* The name is decoded. */
        {"%74opi%63=a", "a", 0},
        {"%74%6f%70%69%63=a", "a", 0},
        {"%54opic=a", NULL, -ENOENT},

        /* Only the requested value must be valid. */
        {"a=%zz&topic=news&b=%00", "news", 0},
        {"%zz=1&topic=news", "news", 0},
    };

    (void)state;
    expect_rows("topic", rows, COUNT(rows));
}

static void broken_values_are_errors(void **state)
{
    static const struct row rows[] = {
        {"t=%", NULL, -EILSEQ},         {"t=%4", NULL, -EILSEQ},
        {"t=%4&x=1", NULL, -EILSEQ},    {"t=%&41", NULL, -EILSEQ},
        {"t=%4g", NULL, -EILSEQ},       {"t=%g4", NULL, -EILSEQ},
        {"t=%%34", NULL, -EILSEQ},      {"t=%+1", NULL, -EILSEQ},
        {"t=% 1", NULL, -EILSEQ},       {"t=%-1", NULL, -EILSEQ},
        {"t=%:0", NULL, -EILSEQ},       {"t=%/0", NULL, -EILSEQ},
        {"t=%@0", NULL, -EILSEQ},       {"t=%`0", NULL, -EILSEQ},
        {"t=100%", NULL, -EILSEQ},      {"t=%00", NULL, -EILSEQ},
        {"t=a%00", NULL, -EILSEQ},      {"t=%00a", NULL, -EILSEQ},
        {"t=ok%zz", NULL, -EILSEQ},     {"t=%zz&t=ok", NULL, -EILSEQ},
        {"t=%E2%80", NULL, -EILSEQ},    {"t=%E2%80%", NULL, -EILSEQ},
        {"t=%E2%80%A", NULL, -EILSEQ},  {"t=%E2%80a", NULL, -EILSEQ},
        {"t=%E2%00%A6", NULL, -EILSEQ}, {"t=\xe2\x80&t=\xa6", NULL, -EILSEQ},
    };

    (void)state;
    expect_rows("t", rows, COUNT(rows));
}

static void values_are_utf_8(void **state)
{
    static const struct row rows[] = {
        {"t=\xc2\x80", "\xc2\x80", 0},
        {"t=%C2%80", "\xc2\x80", 0},
        {"t=%df%bf", "\xdf\xbf", 0},
        {"t=%e0%a0%80", "\xe0\xa0\x80", 0},
        {"t=\xe2%80\xa6", "\xe2\x80\xa6", 0},
        {"t=a%ed%9f%bfb",
         "a\xed\x9f\xbf"
         "b",
         0},
        {"t=%ef%bf%bf", "\xef\xbf\xbf", 0},
        {"t=%f0%90%80%80", "\xf0\x90\x80\x80", 0},
        {"t=%f4%8f%bf%bf", "\xf4\x8f\xbf\xbf", 0},
        {"t=\xef\xbb\xbf", "\xef\xbb\xbf", 0},

        {"t=%80", NULL, -EILSEQ},
        {"t=%bf", NULL, -EILSEQ},
        {"t=%c0%80", NULL, -EILSEQ},
        {"t=%c1%bf", NULL, -EILSEQ},
        {"t=%c2", NULL, -EILSEQ},
        {"t=%c2a", NULL, -EILSEQ},
        {"t=%c2%c2%80", NULL, -EILSEQ},
        {"t=%e0%9f%bf", NULL, -EILSEQ},
        {"t=%ed%a0%80", NULL, -EILSEQ},
        {"t=%f0%8f%bf%bf", NULL, -EILSEQ},
        {"t=%f4%90%80%80", NULL, -EILSEQ},
        {"t=%f5%80%80%80", NULL, -EILSEQ},
        {"t=%f8%88%80%80%80", NULL, -EILSEQ},
        {"t=%fe", NULL, -EILSEQ},
        {"t=%ff%80%80%80", NULL, -EILSEQ},
        {"t=caf\xe9", NULL, -EILSEQ},
    };

    (void)state;
    expect_rows("t", rows, COUNT(rows));
}

/* Each byte, encoded in either case, and unencoded. */
static void each_byte_is_decoded_or_refused(void **state)
{
    static const char digits[2][17] = {"0123456789abcdef", "0123456789ABCDEF"};

    (void)state;
    for (unsigned int byte = 0; byte <= UCHAR_MAX; byte++) {
        char text[] = "<.>";

        text[1] = (char)byte;
        for (size_t style = 0; style < COUNT(digits); style++) {
            char query[] = "t=<%..>";
            struct sse_text input;

            query[4] = digits[style][byte >> 4];
            query[5] = digits[style][byte & 15];
            input = exact_copy(query, sizeof(query) - 1);
            if (byte > 0 && byte < 0x80)
                expect_parameter(input, "t", 0, sse_str(text));
            else
                expect_no_parameter(input, "t", 0, -EILSEQ);
            free_text(input);
        }
    }
}

static void each_plain_byte_is_read_or_refused(void **state)
{
    (void)state;
    for (unsigned int byte = 0; byte <= UCHAR_MAX; byte++) {
        char query[] = "t=<.>";
        struct sse_text input;

        query[3] = (char)byte;
        input = exact_copy(query, sizeof(query) - 1);
        if (byte == '&')
            expect_parameter(input, "t", 0, sse_str("<"));
        else if (byte == '+')
            expect_parameter(input, "t", 0, sse_str("< >"));
        else if (byte > 0 && byte < 0x80 && byte != '%')
            expect_parameter(input, "t", 0, sse_str(query + 2));
        else
            expect_no_parameter(input, "t", 0, -EILSEQ);
        free_text(input);
    }
}

static void repeated_values_are_counted(void **state)
{
    struct sse_text query = sse_str("t=one&a=b&%74=two&t&T=no&t=%zz&tt=no&t=five");

    (void)state;
    expect_parameter(query, "t", 0, sse_str("one"));
    expect_parameter(query, "t", 1, sse_str("two"));
    expect_parameter(query, "t", 2, sse_str(""));
    expect_no_parameter(query, "t", 3, -EILSEQ);
    expect_parameter(query, "t", 4, sse_str("five"));
    expect_no_parameter(query, "t", 5, -ENOENT);
    expect_no_parameter(query, "t", SIZE_MAX, -ENOENT);
    expect_parameter(query, "a", 0, sse_str("b"));
    expect_no_parameter(query, "a", 1, -ENOENT);
}

static void names_may_be_any_text(void **state)
{
    (void)state;
    expect_parameter(sse_str("a+b%26=1"), "a b&", 0, sse_str("1"));
    expect_parameter(sse_str("%c3%A9=1"), "\xc3\xa9", 0, sse_str("1"));
    expect_parameter(sse_str("\xc3\xa9=1"), "\xc3\xa9", 0, sse_str("1"));
    expect_parameter(sse_str("a&=1"), "", 0, sse_str("1"));
    expect_parameter(sse_str("="), "", 0, sse_str(""));
    expect_no_parameter(sse_str("a&&b"), "", 0, -ENOENT);
}

static void absent_query_has_no_parameter(void **state)
{
    (void)state;
    expect_no_parameter(sse_str(NULL), "t", 0, -ENOENT);
    expect_no_parameter(sse_str(NULL), "", 0, -ENOENT);
    expect_no_parameter(sse_str(""), "", 0, -ENOENT);
}

static void bad_arguments_are_refused(void **state)
{
    struct sse_text broken = {.ptr = NULL, .len = 1};
    char buffer[8];

    (void)state;
    expect_no_parameter(sse_str("t=1"), NULL, 0, -EINVAL);
    expect_no_parameter(broken, "t", 0, -EINVAL);
    assert_int_equal(sse_http_parameter(sse_str("t=1"), "t", 0, NULL, 1), -EINVAL);
    assert_int_equal(sse_http_parameter(sse_str("t=1"), "t", 0, NULL, SIZE_MAX), -EINVAL);
    assert_int_equal(sse_http_parameter(sse_str("t=1"), "t", 0, buffer, 0), 1);
}

/* With quadratic time this test would not finish. */
static void huge_query_is_read(void **state)
{
    static const struct {
        const char *pattern;
        const char *name;
        ssize_t result;
    } rows[] = {
        {"&", "t", -ENOENT},           {"=", "t", -ENOENT},
        {"%", "t", -ENOENT},           {"%&", "t", -ENOENT},
        {"+", "t", -ENOENT},           {"t", "t", -ENOENT},
        {"topi&", "topic", -ENOENT},   {"%74%6f%70&", "topic", -ENOENT},
        {"a=t&", "t", -ENOENT},        {"=", "", MEBIBYTE - 1},
        {"t=%e2%80%a6", "t", -ENOENT}, {"t=&", "t", -ENOENT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_text query = repeated_text(rows[i].pattern, MEBIBYTE);
        /* Buffers larger than the last value; the longest one is the whole query. */
        size_t index = rows[i].result < 0 ? MEBIBYTE : 0;

        assert_int_equal(sse_http_parameter(query, rows[i].name, index, NULL, 0), rows[i].result);
        free_text(query);
    }
}

static void huge_value_is_decoded(void **state)
{
    static const char character[] = "%e2%80%a6";
    const size_t count = MEBIBYTE / (sizeof(character) - 1);
    struct sse_text value = repeated_text(character, count * (sizeof(character) - 1));
    char *query = malloc(value.len + 2);
    unsigned char *buffer = malloc(3 * count);

    (void)state;
    assert_non_null(query);
    assert_non_null(buffer);
    memcpy(query, "t=", 2);
    memcpy(query + 2, value.ptr, value.len);
    assert_int_equal(
        sse_http_parameter((struct sse_text){.ptr = query, .len = value.len + 2}, "t", 0, buffer, 3 * count),
        3 * count);
    for (size_t i = 0; i < count; i++)
        assert_memory_equal(buffer + 3 * i, "\xe2\x80\xa6", 3);
    free(buffer);
    free(query);
    free_text(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_and_decoded),
        cmocka_unit_test(broken_values_are_errors),
        cmocka_unit_test(values_are_utf_8),
        cmocka_unit_test(each_byte_is_decoded_or_refused),
        cmocka_unit_test(each_plain_byte_is_read_or_refused),
        cmocka_unit_test(repeated_values_are_counted),
        cmocka_unit_test(names_may_be_any_text),
        cmocka_unit_test(absent_query_has_no_parameter),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(huge_query_is_read),
        cmocka_unit_test(huge_value_is_decoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
