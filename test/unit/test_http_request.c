/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/http.h>

#include "wire/id.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define MEBIBYTE ((size_t)1 << 20)

static const struct sse_str absent = {0};

/* A copy with nothing readable after it, so that sanitizers see a read past the end. */
static struct sse_str exact_copy(const char *text, size_t length)
{
    char *copy = malloc(length ? length : 1);

    assert_non_null(copy);
    memcpy(copy, text, length);
    return (struct sse_str){.ptr = copy, .len = length};
}

static void free_text(struct sse_str text)
{
    free((char *)(uintptr_t)text.ptr);
}

/* A text that repeats a pattern up to a length. */
static struct sse_str repeated(const char *pattern, size_t length)
{
    size_t period = strlen(pattern);
    char *text = malloc(length ? length : 1);

    assert_non_null(text);
    for (size_t i = 0; i < length; i++) {
        text[i] = pattern[i % period];
    }
    return (struct sse_str){.ptr = text, .len = length};
}

static struct sse_str absent_or_copy(const char *text)
{
    return text ? exact_copy(text, strlen(text)) : absent;
}

static bool accepts(const char *text, size_t length)
{
    struct sse_str accept = exact_copy(text, length);
    bool answer = sse_http_accepts(accept);

    free_text(accept);
    return answer;
}

static void accept_is_matched(void **state)
{
    static const struct {
        const char *accept;
        bool admits;
    } rows[] = {
        /* Nothing asked for. */
        {"", true},
        {" \t ", true},
        {",", true},
        {" , ,\t, ", true},

        /* What clients send. */
        {"text/event-stream", true},
        {"*/*", true},
        {"application/json, text/event-stream", true},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", true},
        {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", true},
        {"application/json", false},
        {"text/html, application/xml;q=0.9", false},
        {"text/plain", false},
        {"application/*", false},

        /* Names in any case, and no more and no less than the name. */
        {"TEXT/Event-STREAM", true},
        {"Text/*", true},
        {"text/event-strea", false},
        {"text/event-streams", false},
        {"tex/event-stream", false},
        {"application/event-stream", false},
        {"text/event-stream+json", false},

        /* The list. */
        {",,text/event-stream,,", true},
        {" \ttext/event-stream\t ", true},
        {"a/b,\ttext/event-stream", true},
        {"a/b;c=\",\",text/event-stream", true},
        {"a/b;c=\",text/event-stream\"", false},
        {"a/b;c=\"\\\",text/event-stream\"", false},
        {"a/b;c=\"\\\\\",text/event-stream", true},

        /* Weights. */
        {"text/event-stream;q=0", false},
        {"text/event-stream;q=0.", false},
        {"text/event-stream;q=0.0", false},
        {"text/event-stream;q=0.000", false},
        {"text/event-stream;q=0.0000", false},
        {"text/event-stream;Q=0", false},
        {"text/event-stream ; q=0", false},
        {"text/event-stream\t;\tq=0", false},
        {"text/event-stream;;q=0", false},
        {"text/event-stream; ;q=0;", false},
        {"text/event-stream;q=0.001", true},
        {"text/event-stream;q=0.100", true},
        {"text/event-stream;q=.5", true},
        {"text/event-stream;q=0.9, a/b", true},
        {"text/event-stream;q=1", true},
        {"text/event-stream;q=1.", true},
        {"text/event-stream;q=1.000", true},
        {"text/event-stream;q=0.5;", true},
        {"*/*;q=0", false},
        {"text/*;q=0", false},

        /* The most specific range decides, in any order. */
        {"text/event-stream, */*;q=0", true},
        {"*/*;q=0, text/event-stream", true},
        {"text/*;q=0, text/event-stream;q=0.1", true},
        {"text/event-stream;q=0.1, text/*;q=0", true},
        {"text/event-stream;q=0, */*", false},
        {"*/*, text/event-stream;q=0", false},
        {"text/*, text/event-stream;q=0, */*", false},
        {"text/*;q=0, */*", false},
        {"*/*, text/*;q=0", false},
        {"*/*;q=0, text/*", true},
        {"text/*, */*;q=0", true},
        {"text/html, text/event-stream;q=0, text/plain", false},
        {"text/event-stream, text/html;q=0", true},
        {"text/event-stream;q=0, text/event-stream", true},
        {"text/event-stream, text/event-stream;q=0", true},

        /* Parameters: the stream is UTF-8, and has no other. */
        {"text/event-stream;charset=utf-8", true},
        {"text/event-stream; charset=\"UTF-8\"", true},
        {"text/event-stream; Charset=\"u\\tf-\\8\"", true},
        {"text/event-stream;charset=utf-8;q=0", false},
        {"text/event-stream;q=0;charset=utf-8", false},
        {"text/*;charset=utf-8", true},
        {"*/*;charset=utf-8", true},
        {"text/event-stream;charset=utf-16", false},
        {"text/event-stream;charset=utf-88", false},
        {"text/event-stream;charset=utf-8888888888888888", false},
        {"text/event-stream;charset=utf-", false},
        {"text/event-stream;charset=\"\"", false},
        {"text/event-stream;level=1", false},
        {"text/event-stream;charset=utf-8;level=1", false},
        {"*/*;level=1", false},
        {"text/event-stream;level=1;q=0, text/event-stream", true},
        {"text/event-stream;level=\"a;q=0\", */*", true},

        /* What cannot be read is passed over. */
        {"garbage", true},
        {"text", true},
        {"/", true},
        {"text/", true},
        {"/event-stream", true},
        {"*", true},
        {"text /html", true},
        {"text/ html", true},
        {"text/html text/event-stream", true},
        {"text/html;q", true},
        {"text/html;=1", true},
        {"text/html;a=", true},
        {"text/html;a =1", true},
        {"text/html;a= 1", true},
        {"text/html;a=\"", true},
        {"text/html;a=\"\\", true},
        {"text/html;a=\"b\\\"", true},
        {"text/html;a=\"b\"c", true},
        {"te\"xt/html, text/event-stream", true},
        {"\xff/\xfe", true},
        {"text/event-stream;q=0, garbage", false},
        {"garbage, application/json", false},
        {"application/json, garbage", false},
        {"garbage, text/event-stream", true},
        {"*/event-stream", false},
        {"*/event-stream, text/event-stream", true},
        {"text/event-stream;q=x, a/b", false},
        {"text/event-stream;q=2, a/b", false},
        {"text/event-stream;q=1.001, a/b", false},
        {"text/event-stream;q=-1, a/b", false},
        {"text/event-stream;q=., a/b", false},
        {"text/event-stream;q=0.5x, a/b", false},
        {"text/event-stream;q=00, a/b", false},
        {"text/event-stream;q=\"1\", a/b", false},
        {"text/event-stream;q=, a/b", false},
        {"text/event-stream;q=x, */*", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (accepts(rows[i].accept, strlen(rows[i].accept)) != rows[i].admits) {
            fail_msg("Accept: %s", rows[i].accept);
        }
    }
}

static void absent_accept_admits_all(void **state)
{
    (void)state;
    assert_true(sse_http_accepts(absent));
    assert_true(sse_http_accepts((struct sse_str){.ptr = NULL, .len = 5}));
}

static void accept_may_hold_any_byte(void **state)
{
    (void)state;
    assert_true(accepts("\0", 1));
    assert_true(accepts("a/b\0, text/event-stream", 23));
    assert_false(accepts("text/event-stream\0, a/b", 23));
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        char accept[] = "a/b,text/event-stream?";
        size_t length = strlen(accept);

        /* Only a byte that ends the media range leaves the name what it is. */
        accept[length - 1] = (char)byte;
        assert_int_equal(accepts(accept, length), byte == ' ' || byte == '\t' || byte == ',' || byte == ';');
    }
}

/* Quadratic time would show here as a test that does not end. */
static void huge_accept_is_read(void **state)
{
    static const struct {
        const char *start;
        const char *pattern;
        bool admits;
    } rows[] = {
        {"", ",", true},
        {"", " ", true},
        {"", ";", true},
        {"", "\"", true},
        {"", "\\", true},
        {"", "\"\\", true},
        {"", "a", true},
        {"", "a/b;", true},
        {"", "a/b,", false},
        {"", "a/b;c=d,", false},
        {"", "a/b;c=\",\",", false},
        {"a/b", ";", false},
        {"a/b", " ; \t", false},
        {"a/b", ";c=d", false},
        {"a/b", ";q=0.5", false},
        {"a/b;c=", "\"", true},
        {"a/b;c=\"", "\\\"", true},
        {"a/b;c=\"", ",", true},
        {"a/b;q=0.", "0", false},
        {"*/*;q=0.", "0", false},
        {"*/*;q=0.1", "0", true},
        {"", "*/*;q=0.0000000000,", false},
        {"", "*/*,", true},
        {"", "text/event-stream;q=0,", false},
        {"", "text/event-stream;charset=\"\\u\\t\\f\\-\\8\",", true},
        {"a/b,", "\"te", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t start = strlen(rows[i].start);
        size_t period = strlen(rows[i].pattern);
        struct sse_str body = repeated(rows[i].pattern, MEBIBYTE / period * period);
        char *text = malloc(start + body.len);
        bool admits;

        assert_non_null(text);
        memcpy(text, rows[i].start, start);
        memcpy(text + start, body.ptr, body.len);
        admits = sse_http_accepts((struct sse_str){.ptr = text, .len = start + body.len});
        free(text);
        free_text(body);
        if (admits != rows[i].admits) {
            fail_msg("Accept: %s, then repeated: %s", rows[i].start, rows[i].pattern);
        }
    }
}

/* The answer for exact-size input and output; the output is as large as `size` says. */
static ssize_t last_event_id(struct sse_str header, struct sse_str query, size_t size, const char *expected)
{
    unsigned char *buffer = malloc(size ? size : 1);
    ssize_t length;

    assert_non_null(buffer);
    length = sse_http_last_event_id(header, query, buffer, size);
    if (length >= 0 && expected) {
        assert_int_equal(length, strlen(expected));
        assert_memory_equal(buffer, expected, (size_t)length);
    }
    free(buffer);
    return length;
}

struct id_row {
    const char *input;
    ssize_t result; /* an error, or 0: then `id` is the result */
    const char *id;
};

static void expect_rows(const struct id_row *rows, size_t count, bool as_header)
{
    for (size_t i = 0; i < count; i++) {
        struct sse_str input = exact_copy(rows[i].input, strlen(rows[i].input));
        struct sse_str header = as_header ? input : absent;
        struct sse_str query = as_header ? absent : input;
        ssize_t expected = rows[i].result ? rows[i].result : (ssize_t)strlen(rows[i].id);
        ssize_t result = last_event_id(header, query, 64, rows[i].id);

        if (result != expected) {
            fail_msg("%s: %zd instead of %zd", rows[i].input, result, expected);
        }
        free_text(input);
    }
}

static void header_gives_the_id(void **state)
{
    static const struct id_row rows[] = {
        {"42", 0, "42"},
        {"", 0, ""},
        {"  \t ", 0, ""},
        {"  42\t", 0, "42"},
        {"a b", 0, "a b"},
        {"a%20b+c", 0, "a%20b+c"},
        {"\xe2\x80\xa6", 0, "\xe2\x80\xa6"},
        {"\xf0\x9f\x98\x80", 0, "\xf0\x9f\x98\x80"},
        {"\"():<>?@[\\]{}", 0, "\"():<>?@[\\]{}"},
        {"a\tb", -EINVAL, NULL},
        {"a\rb", -EINVAL, NULL},
        {"a\nb", -EINVAL, NULL},
        {"\n", -EINVAL, NULL},
        {"\x01", -EINVAL, NULL},
        {"\x1f", -EINVAL, NULL},
        {"\x7f", -EINVAL, NULL},
        {"\xe2\x80", -EILSEQ, NULL},
        {"\x80", -EILSEQ, NULL},
        {"\xc0\xaf", -EILSEQ, NULL},
        {"\xed\xa0\x80", -EILSEQ, NULL},
        {"\xf4\x90\x80\x80", -EILSEQ, NULL},
        {"\xff", -EILSEQ, NULL},
        {"caf\xe9", -EILSEQ, NULL},
    };
    struct sse_str with_nul = exact_copy("a\0b", 3);

    (void)state;
    expect_rows(rows, COUNT(rows), true);
    assert_int_equal(last_event_id(with_nul, absent, 64, NULL), -EINVAL);
    free_text(with_nul);
}

static void query_gives_the_id(void **state)
{
    static const struct id_row rows[] = {
        {"", 0, ""},
        {"lastEventId=42", 0, "42"},
        {"Last-Event-ID=42", 0, "42"},
        {"LASTEVENTID=42", 0, "42"},
        {"last-event-id=42", 0, "42"},
        {"lasteventid=42", 0, "42"},
        {"a=b&lastEventId=42", 0, "42"},
        {"lastEventId=42&a=b", 0, "42"},
        {"&&lastEventId=42&&", 0, "42"},
        {"a&lastEventId=42", 0, "42"},
        {"=x&lastEventId=42", 0, "42"},

        /* The first one counts, whichever name it has, and if it is empty. */
        {"lastEventId=1&lastEventId=2", 0, "1"},
        {"lastEventId=1&Last-Event-ID=2", 0, "1"},
        {"Last-Event-ID=2&lastEventId=1", 0, "2"},
        {"lastEventId=&lastEventId=2", 0, ""},
        {"lastEventId&lastEventId=2", 0, ""},
        {"lastEventId=%zz&lastEventId=2", -EINVAL, NULL},

        /* Other names. */
        {"lastEventI=42", 0, ""},
        {"lastEventIds=42", 0, ""},
        {"xlastEventId=42", 0, ""},
        {"last_event_id=42", 0, ""},
        {"last+event+id=42", 0, ""},
        {"last%00EventId=42", 0, ""},
        {"lastEventId%00=42", 0, ""},
        {"a=lastEventId=42", 0, ""},
        {"a;lastEventId=42", 0, ""},
        {"lastEventId%3d42", 0, ""},

        /* Encoding, of names too. */
        {"l%61stEv%65ntId=42", 0, "42"},
        {"%4c%61%73%74%2D%45vent%2dID=42", 0, "42"},
        {"lastEventId=%34%32", 0, "42"},
        {"lastEventId=a%20b", 0, "a b"},
        {"lastEventId=a+b", 0, "a b"},
        {"lastEventId=a%2Bb%2bc", 0, "a+b+c"},
        {"lastEventId=a%26b%3Dc", 0, "a&b=c"},
        {"lastEventId=a=b==", 0, "a=b=="},
        {"lastEventId=%2500", 0, "%00"},
        {"lastEventId=%E2%80%a6", 0, "\xe2\x80\xa6"},
        {"lastEventId=\xe2\x80\xa6", 0, "\xe2\x80\xa6"},
        {"lastEventId=\xe2%80\xa6", 0, "\xe2\x80\xa6"},

        /* Broken encoding counts only where it is the id's. */
        {"lastEventId=%", -EINVAL, NULL},
        {"lastEventId=%4", -EINVAL, NULL},
        {"lastEventId=%4&x=1", -EINVAL, NULL},
        {"lastEventId=%&x=1", -EINVAL, NULL},
        {"lastEventId=%4g", -EINVAL, NULL},
        {"lastEventId=%g4", -EINVAL, NULL},
        {"lastEventId=%%34", -EINVAL, NULL},
        {"lastEventId=%+1", -EINVAL, NULL},
        {"lastEventId=% 1", -EINVAL, NULL},
        {"lastEventId=%-1", -EINVAL, NULL},
        {"lastEventId=%:0", -EINVAL, NULL},
        {"lastEventId=%/0", -EINVAL, NULL},
        {"lastEventId=%@0", -EINVAL, NULL},
        {"lastEventId=%`0", -EINVAL, NULL},
        {"lastEventId=42%", -EINVAL, NULL},
        {"a=%zz&lastEventId=42", 0, "42"},
        {"%zz=1&lastEventId=42", 0, "42"},
        {"%&%4&lastEventId=42", 0, "42"},
        {"lastEventI%=1&lastEventId=42", 0, "42"},

        /* What no id may hold. */
        {"lastEventId=%00", -EINVAL, NULL},
        {"lastEventId=a%00b", -EINVAL, NULL},
        {"lastEventId=%0d%0aSet-Cookie:a", -EINVAL, NULL},
        {"lastEventId=a%0Ab", -EINVAL, NULL},
        {"lastEventId=a%09b", -EINVAL, NULL},
        {"lastEventId=%7f", -EINVAL, NULL},
        {"lastEventId=%1F", -EINVAL, NULL},
        {"lastEventId=+a", -EINVAL, NULL},
        {"lastEventId=a+", -EINVAL, NULL},
        {"lastEventId=%20", -EINVAL, NULL},
        {"lastEventId=%ff", -EILSEQ, NULL},
        {"lastEventId=%c0%80", -EILSEQ, NULL},
        {"lastEventId=%e2%80", -EILSEQ, NULL},
        {"lastEventId=%ed%a0%80", -EILSEQ, NULL},
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
        struct sse_str header = absent_or_copy(rows[i].header);
        struct sse_str query = absent_or_copy(rows[i].query);

        assert_int_equal(last_event_id(header, query, 64, rows[i].id), strlen(rows[i].id));
        free_text(header);
        free_text(query);
    }
}

static void buffer_is_the_limit(void **state)
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
        struct sse_str header = absent_or_copy(rows[i].header);
        struct sse_str query = absent_or_copy(rows[i].query);

        for (size_t size = 0; size < length; size++) {
            assert_int_equal(last_event_id(header, query, size, NULL), -EMSGSIZE);
        }
        for (size_t size = length; size < length + 3; size++) {
            assert_int_equal(last_event_id(header, query, size, id), length);
        }
        free_text(header);
        free_text(query);
    }
    assert_int_equal(last_event_id(absent, absent, 0, ""), 0);
    assert_int_equal(last_event_id(sse_str(" "), absent, 0, ""), 0);
    assert_int_equal(last_event_id(absent, sse_str("lastEventId="), 0, ""), 0);
}

static void bad_arguments_are_refused(void **state)
{
    struct sse_str broken = {.ptr = NULL, .len = 1};
    char buffer[8];

    (void)state;
    assert_int_equal(sse_http_last_event_id(sse_str("1"), absent, NULL, 0), -EINVAL);
    assert_int_equal(sse_http_last_event_id(sse_str("1"), absent, NULL, 8), -EINVAL);
    assert_int_equal(sse_http_last_event_id(absent, absent, NULL, 0), -EINVAL);
    assert_int_equal(sse_http_last_event_id(broken, absent, buffer, sizeof(buffer)), -EINVAL);
    assert_int_equal(sse_http_last_event_id(absent, broken, buffer, sizeof(buffer)), -EINVAL);
    assert_int_equal(sse_http_last_event_id(sse_str("1"), broken, buffer, sizeof(buffer)), -EINVAL);
}

static void huge_id_is_refused_or_whole(void **state)
{
    struct sse_str header = repeated("0123456789abcdef", MEBIBYTE);
    struct sse_str spaces = repeated(" ", MEBIBYTE);
    char *buffer = malloc(MEBIBYTE);

    (void)state;
    assert_non_null(buffer);
    assert_int_equal(last_event_id(header, absent, 256, NULL), -EMSGSIZE);
    assert_int_equal(last_event_id(header, absent, MEBIBYTE - 1, NULL), -EMSGSIZE);
    assert_int_equal(sse_http_last_event_id(header, absent, buffer, MEBIBYTE), MEBIBYTE);
    assert_memory_equal(buffer, header.ptr, MEBIBYTE);
    assert_int_equal(last_event_id(spaces, absent, 1, ""), 0);
    free(buffer);
    free_text(spaces);
    free_text(header);
}

/* Quadratic time would show here as a test that does not end. */
static void huge_query_is_read(void **state)
{
    static const struct {
        const char *pattern;
        ssize_t result;
    } rows[] = {
        {"&", 0},
        {"=", 0},
        {"%", 0},
        {"%&", 0},
        {"+", 0},
        {"lastEventI", 0},
        {"lastEventI&", 0},
        {"%6c%61%73%74&", 0},
        {"a=lastEventId&", 0},
        {"\xe2\x80\xa6", 0},
        {"lastEventId=x&", 1},
        {"lastEventId=", -EMSGSIZE},
        {"lastEventId=%zz", -EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_str query = repeated(rows[i].pattern, MEBIBYTE);
        ssize_t result = last_event_id(absent, query, 256, NULL);

        if (result != rows[i].result) {
            fail_msg("repeated: %s: %zd", rows[i].pattern, result);
        }
        free_text(query);
    }
}

/* Every byte, encoded in either case, comes back as itself or is refused. */
static void each_encoded_byte_is_decoded(void **state)
{
    static const char digits[2][17] = {"0123456789abcdef", "0123456789ABCDEF"};

    (void)state;
    for (unsigned int byte = 0; byte <= UCHAR_MAX; byte++) {
        for (size_t style = 0; style < COUNT(digits); style++) {
            char query[] = "lastEventId=<%..>";
            char expected[] = "<.>";
            struct sse_str input;
            ssize_t result;

            query[14] = digits[style][byte >> 4];
            query[15] = digits[style][byte & 15];
            expected[1] = (char)byte;
            input = exact_copy(query, strlen(query));
            result = last_event_id(absent, input, 3, byte >= 0x20 && byte < 0x7f ? expected : NULL);
            if (byte < 0x20 || byte == 0x7f) {
                assert_int_equal(result, -EINVAL);
            } else {
                assert_int_equal(result, byte < 0x80 ? 3 : -EILSEQ);
            }
            free_text(input);
        }
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
            struct sse_str id;

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
        cmocka_unit_test(accept_is_matched),
        cmocka_unit_test(absent_accept_admits_all),
        cmocka_unit_test(accept_may_hold_any_byte),
        cmocka_unit_test(huge_accept_is_read),
        cmocka_unit_test(header_gives_the_id),
        cmocka_unit_test(query_gives_the_id),
        cmocka_unit_test(header_goes_before_the_query),
        cmocka_unit_test(buffer_is_the_limit),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(huge_id_is_refused_or_whole),
        cmocka_unit_test(huge_query_is_read),
        cmocka_unit_test(each_encoded_byte_is_decoded),
        cmocka_unit_test(ids_that_would_not_come_back_are_invalid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
