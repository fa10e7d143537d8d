/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_calls.h"
#include "wire/id.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MEBIBYTE ((size_t)1 << 20)

static const struct sse_text absent = {0};

static struct sse_text absent_or_copy(const char *text)
{
    return text ? exact_copy(text, strlen(text)) : absent;
}

/* Reads into a buffer of exactly `size` bytes, and compares. */
static void expect_id(struct sse_text header, struct sse_text query, size_t size, struct sse_text expected)
{
    unsigned char *buffer = malloc(size + 3);
    ssize_t length;

    assert_non_null(buffer);
    memset(buffer, CANARY, size + 3);
    length = sse_http_last_event_id(header, query, buffer, size);
    if (length < 0 || (size_t)length != expected.len)
        fail_msg("header %.*s, query %.*s: %zd instead of %zu", (int)header.len, header.ptr, (int)query.len,
                 query.ptr, length, expected.len);
    assert_memory_equal(buffer, expected.ptr, expected.len);
    assert_true(is_untouched(buffer + expected.len, size + 3 - expected.len));
    free(buffer);
}

struct id_row {
    const char *input;
    const char *id;
};

static void expect_rows(const struct id_row *rows, size_t count, bool as_header)
{
    for (size_t i = 0; i < count; i++) {
        struct sse_text input = exact_copy(rows[i].input, strlen(rows[i].input));

        expect_id(as_header ? input : absent, as_header ? absent : input, 64, sse_str(rows[i].id));
        free_text(input);
    }
}

static void header_gives_the_id(void **state)
{
    static const struct id_row rows[] = {
        {"42", "42"},
        {"", ""},
        {"  \t ", ""},
        {"  42\t", "42"},
        {"a b", "a b"},
        {"a%20b+c", "a%20b+c"},
        {"\xe2\x80\xa6", "\xe2\x80\xa6"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"\"():<>?@[\\]{}", "\"():<>?@[\\]{}"},
    };

    (void)state;
    expect_rows(rows, COUNT(rows), true);
}

/* An id that no event can have is an unknown id. It causes a gap and is not an error. */
static void header_may_hold_any_byte(void **state)
{
    (void)state;
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        char text[] = "a?b";
        struct sse_text header;

        text[1] = (char)byte;
        header = exact_copy(text, 3);
        expect_id(header, absent, 3, header);
        free_text(header);

        header = exact_copy(text + 1, 1);
        expect_id(header, absent, 1, byte == ' ' || byte == '\t' ? sse_str("") : header);
        free_text(header);
    }
}

static void query_gives_the_id(void **state)
{
    static const struct id_row rows[] = {
        {"", ""},
        {"lastEventId=42", "42"},
        {"Last-Event-ID=42", "42"},
        {"LASTEVENTID=42", "42"},
        {"last-event-id=42", "42"},
        {"lasteventid=42", "42"},
        {"a=b&lastEventId=42", "42"},
        {"lastEventId=42&a=b", "42"},
        {"&&lastEventId=42&&", "42"},
        {"a&lastEventId=42", "42"},
        {"=x&lastEventId=42", "42"},

        /* The last parameter counts, with either name, even if it is empty. */
        {"lastEventId=1&lastEventId=2", "2"},
        {"lastEventId=1&Last-Event-ID=2", "2"},
        {"Last-Event-ID=2&lastEventId=1", "1"},
        {"lastEventId=1&a=b&lastEventId=2&lastEventIds=3", "2"},
        {"lastEventId=1&lastEventId=", ""},
        {"lastEventId=1&lastEventId", ""},
        {"lastEventId=1&lastEventId=%zz", "%zz"},
        {"lastEventId=%zz&lastEventId=2", "2"},

        /* Other names. */
        {"lastEventI=42", ""},
        {"lastEventIds=42", ""},
        {"xlastEventId=42", ""},
        {"last_event_id=42", ""},
        {"last+event+id=42", ""},
        {"Last-Event-IDs=42", ""},
        {"Last-Event-ID%20=42", ""},
        {"Last-Event-I=42", ""},
        {"last%00EventId=42", ""},
        {"lastEventId%00=42", ""},
        {"lastEventId%=42", ""},
        {"a=lastEventId=42", ""},
        {"a;lastEventId=42", ""},
        {"lastEventId%3d42", ""},

        /* Encoding, of names too. */
        {"l%61stEv%65ntId=42", "42"},
        {"%4c%61%73%74%2D%45vent%2dID=42", "42"},
        {"lastEventId=%34%32", "42"},
        {"lastEventId=a%20b", "a b"},
        {"lastEventId=a+b", "a b"},
        {"lastEventId=a%2Bb%2bc", "a+b+c"},
        {"lastEventId=a%26b%3Dc", "a&b=c"},
        {"lastEventId=a=b==", "a=b=="},
        {"lastEventId=%2500", "%00"},
        {"lastEventId=%E2%80%a6", "\xe2\x80\xa6"},
        {"lastEventId=\xe2\x80\xa6", "\xe2\x80\xa6"},
        {"lastEventId=\xe2%80\xa6", "\xe2\x80\xa6"},

        /* An invalid percent escape stays as it is. */
        {"lastEventId=%", "%"},
        {"lastEventId=%4", "%4"},
        {"lastEventId=%4&x=1", "%4"},
        {"lastEventId=%&x=1", "%"},
        {"lastEventId=%4g", "%4g"},
        {"lastEventId=%g4", "%g4"},
        {"lastEventId=%%34", "%4"},
        {"lastEventId=%+1", "% 1"},
        {"lastEventId=%:0", "%:0"},
        {"lastEventId=%/0", "%/0"},
        {"lastEventId=%@0", "%@0"},
        {"lastEventId=%`0", "%`0"},
        {"lastEventId=100%", "100%"},
        {"a=%zz&lastEventId=42", "42"},
        {"%zz=1&lastEventId=42", "42"},
        {"%&%4&lastEventId=42", "42"},
        {"lastEventI%=1&lastEventId=42", "42"},

        /* An id with a byte that no id may contain is an unknown id. */
        {"lastEventId=%0d%0aSet-Cookie:a", "\r\nSet-Cookie:a"},
        {"lastEventId=+a+", " a "},
        {"lastEventId=%20", " "},
        {"lastEventId=%ff", "\xff"},
        {"lastEventId=%e2%80", "\xe2\x80"},
        {"lastEventId=%ed%a0%80", "\xed\xa0\x80"},
    };

    (void)state;
    expect_rows(rows, COUNT(rows), false);
}

static void header_goes_before_the_query(void **state)
{
    static const struct {
        const char *header;
        const char *query;
        const char *id;
    } rows[] = {
        {NULL, NULL, ""},
        {NULL, "lastEventId=2", "2"},
        {"1", NULL, "1"},
        {"1", "lastEventId=2", "1"},
        {"1", "lastEventId=%zz", "1"},
        {"", "lastEventId=2", ""},
        {" ", "lastEventId=2", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_text header = absent_or_copy(rows[i].header);
        struct sse_text query = absent_or_copy(rows[i].query);

        expect_id(header, query, 64, sse_str(rows[i].id));
        free_text(header);
        free_text(query);
    }
}

/* No id contains a NUL, so a truncated id never equals another one. */
static void longer_ids_are_cut(void **state)
{
    static const struct {
        const char *header;
        const char *query;
    } rows[] = {
        {"\xe2\x80\xa6 234", NULL},
        {"  \xe2\x80\xa6 234\t\t", NULL},
        {NULL, "a=bbbbbbbbbbbb&lastEventId=%e2%80%a6+%32%33%34&c=dddddddd"},
    };
    const char *id = "\xe2\x80\xa6 234";
    size_t length = strlen(id);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_text header = absent_or_copy(rows[i].header);
        struct sse_text query = absent_or_copy(rows[i].query);

        for (size_t size = 1; size < length; size++) {
            char cut[16] = {0};

            memcpy(cut, id, size - 1);
            expect_id(header, query, size, (struct sse_text){.ptr = cut, .len = size});
        }
        for (size_t size = length; size < length + 3; size++)
            expect_id(header, query, size, (struct sse_text){.ptr = id, .len = length});
        free_text(header);
        free_text(query);
    }
}

static void bad_arguments_are_refused(void **state)
{
    struct sse_text broken = {.ptr = NULL, .len = 1};
    char buffer[8];

    (void)state;
    assert_int_equal(sse_http_last_event_id(sse_str("1"), absent, NULL, 0), -EINVAL);
    assert_int_equal(sse_http_last_event_id(sse_str("1"), absent, NULL, 8), -EINVAL);
    assert_int_equal(sse_http_last_event_id(sse_str("1"), absent, buffer, 0), -EINVAL);
    assert_int_equal(sse_http_last_event_id(absent, absent, NULL, 0), -EINVAL);
    assert_int_equal(sse_http_last_event_id(broken, absent, buffer, sizeof(buffer)), -EINVAL);
    assert_int_equal(sse_http_last_event_id(absent, broken, buffer, sizeof(buffer)), -EINVAL);
    assert_int_equal(sse_http_last_event_id(sse_str("1"), broken, buffer, sizeof(buffer)), -EINVAL);
}

/* The result cannot be more than SSIZE_MAX. */
static void a_buffer_may_have_any_size(void **state)
{
    volatile size_t size = SIZE_MAX;
    char buffer[8];

    (void)state;
    assert_int_equal(sse_http_last_event_id(sse_str("12"), absent, buffer, size), 2);
    assert_memory_equal(buffer, "12", 2);
    assert_int_equal(sse_http_last_event_id(absent, sse_str("lastEventId=34"), buffer, size), 2);
    assert_memory_equal(buffer, "34", 2);
}

/* With quadratic time this test would not finish. */
static void huge_header_is_read(void **state)
{
    struct sse_text header = repeated_text("0123456789abcdef", MEBIBYTE);
    struct sse_text spaces = repeated_text(" ", MEBIBYTE);

    (void)state;
    expect_id(header, absent, 16, (struct sse_text){.ptr = "0123456789abcde", .len = 16});
    expect_id(header, absent, MEBIBYTE, header);
    expect_id(spaces, absent, 1, sse_str(""));
    free_text(spaces);
    free_text(header);
}

static void huge_query_is_read(void **state)
{
    static const struct id_row rows[] = {
        {"&", ""},
        {"=", ""},
        {"%", ""},
        {"%&", ""},
        {"+", ""},
        {"lastEventI", ""},
        {"lastEventI&", ""},
        {"%6c%61%73%74&", ""},
        {"a=lastEventId&", ""},
        {"\xe2\x80\xa6", ""},
        {"lastEventId=x&", "x"},
    };
    static const struct id_row cut_rows[] = {
        {"lastEventId=", "lastEve"},
        {"lastEventId=%zz", "%zzlast"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t period = strlen(rows[i].input);
        struct sse_text query = repeated_text(rows[i].input, MEBIBYTE / period * period);

        expect_id(absent, query, 8, sse_str(rows[i].id));
        free_text(query);
    }
    for (size_t i = 0; i < COUNT(cut_rows); i++) {
        size_t period = strlen(cut_rows[i].input);
        struct sse_text query = repeated_text(cut_rows[i].input, MEBIBYTE / period * period);

        expect_id(absent, query, 8, (struct sse_text){.ptr = cut_rows[i].id, .len = 8});
        free_text(query);
    }
}

/* Every byte is decoded correctly, with hexadecimal digits in either case. */
static void each_encoded_byte_is_decoded(void **state)
{
    static const char digits[2][17] = {"0123456789abcdef", "0123456789ABCDEF"};

    (void)state;
    for (unsigned int byte = 0; byte <= UCHAR_MAX; byte++) {
        for (size_t style = 0; style < COUNT(digits); style++) {
            char query[] = "lastEventId=<%..>";
            char expected[] = "<.>";
            struct sse_text input;

            query[14] = digits[style][byte >> 4];
            query[15] = digits[style][byte & 15];
            expected[1] = (char)byte;
            input = exact_copy(query, strlen(query));
            expect_id(absent, input, 3, (struct sse_text){.ptr = expected, .len = 3});
            free_text(input);
        }
    }
}

/* Some servers pass on bytes without encoding. */
static void each_plain_byte_is_read(void **state)
{
    (void)state;
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        char query[] = "lastEventId=<?>";
        char expected[] = "<?>";
        struct sse_text input;

        query[13] = (char)byte;
        expected[1] = byte == '+' ? ' ' : (char)byte;
        input = exact_copy(query, sizeof(query) - 1);
        if (byte == '&')
            expect_id(absent, input, 3, sse_str("<"));
        else
            expect_id(absent, input, 3, (struct sse_text){.ptr = expected, .len = 3});
        free_text(input);
    }
}

static void ids_that_would_not_come_back_are_invalid(void **state)
{
    (void)state;
    assert_true(sse_id_is_valid(NULL, 0));
    assert_true(sse_id_is_valid((const unsigned char *)"", 0));
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        bool control = byte < 0x20 || byte == 0x7f;

        for (size_t place = 0; place < 3; place++) {
            char text[3] = {'a', 'b', 'c'};
            struct sse_text id;

            text[place] = (char)byte;
            id = exact_copy(text, sizeof(text));
            assert_int_equal(sse_id_is_valid((const unsigned char *)id.ptr, id.len),
                             !control && (byte != ' ' || place == 1));
            free_text(id);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_gives_the_id),
        cmocka_unit_test(header_may_hold_any_byte),
        cmocka_unit_test(query_gives_the_id),
        cmocka_unit_test(header_goes_before_the_query),
        cmocka_unit_test(longer_ids_are_cut),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(a_buffer_may_have_any_size),
        cmocka_unit_test(huge_header_is_read),
        cmocka_unit_test(huge_query_is_read),
        cmocka_unit_test(each_encoded_byte_is_decoded),
        cmocka_unit_test(each_plain_byte_is_read),
        cmocka_unit_test(ids_that_would_not_come_back_are_invalid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
