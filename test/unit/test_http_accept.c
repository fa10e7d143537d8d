/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_calls.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MEBIBYTE ((size_t)1 << 20)

static bool accepts(const char *text, size_t length)
{
    struct sse_text accept = exact_copy(text, length);
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
        /* No preference. */
        {"", true},
        {" \t ", true},
        {",", true},
        {" , ,\t, ", true},

        /* Headers of real clients. */
        {"text/event-stream", true},
        {"*/*", true},
        {"application/json, text/event-stream", true},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", true},
        {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", true},
        {"application/json", false},
        {"text/html, application/xml;q=0.9", false},
        {"text/plain", false},
        {"application/*", false},

        /* Names match in any case, and only as a whole. */
        {"TEXT/Event-STREAM", true},
        {"Text/*", true},
        {"text/event-strea", false},
        {"text/event-streams", false},
        {"tex/event-stream", false},
        {"application/event-stream", false},
        {"text/event-stream+json", false},

        /* Lists. */
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

        /* Parameters: the stream is UTF-8, and has no other parameter. */
        {"text/event-stream;charset=utf-8", true},
        {"text/event-stream; charset=\"UTF-8\"", true},
        {"text/event-stream; Charset=\"u\\tf-\\8\"", true},
        {"text/event-stream;charset=utf-8;q=0", false},
        {"text/event-stream;charset=utf-8 ;q=0", false},
        {"text/event-stream;charset=utf-8\t; q=0 ", false},
        {"text/event-stream;charset=utf-8 \t ; q=0.5, */*;q=0", true},
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

        /* Parts that cannot be parsed are ignored. */
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
        {"text/event-stream;q=0.5-, a/b", false},
        {"text/event-stream;q=0.5.5, a/b", false},
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
    assert_true(sse_http_accepts(sse_str(NULL)));
    assert_true(sse_http_accepts((struct sse_text){.ptr = NULL, .len = 5}));
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

        /* Only a byte that ends the media range does not change the name. */
        accept[length - 1] = (char)byte;
        assert_int_equal(accepts(accept, length), byte == ' ' || byte == '\t' || byte == ',' || byte == ';');
    }
}

/* With quadratic time this test would not finish. */
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
        struct sse_text body = repeated_text(rows[i].pattern, MEBIBYTE / period * period);
        char *text = malloc(start + body.len);
        bool admits;

        assert_non_null(text);
        memcpy(text, rows[i].start, start);
        memcpy(text + start, body.ptr, body.len);
        admits = sse_http_accepts((struct sse_text){.ptr = text, .len = start + body.len});
        free(text);
        free_text(body);
        if (admits != rows[i].admits) {
            fail_msg("Accept: %s, then repeated: %s", rows[i].start, rows[i].pattern);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
