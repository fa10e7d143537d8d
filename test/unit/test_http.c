/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_calls.h"
#include "wire/http_response.h"
#include "wire/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void default_head_is_exact(void **state)
{
    struct sse_http_options options = http_options();

    (void)state;
    expect_output(sse_http_head, NULL, "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "\r\n");
    expect_output(sse_http_head, &options, "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "\r\n");
}

static void head_follows_version_and_framing(void **state)
{
    struct sse_http_options options = http_options();

    (void)state;
    options.version = SSE_HTTP_1_0;
    expect_output(sse_http_head, &options, "HTTP/1.0 200 OK\r\n" STREAM_FIELDS "\r\n");
    options.version = SSE_HTTP_CGI;
    expect_output(sse_http_head, &options, "Status: 200 OK\r\n" STREAM_FIELDS "\r\n");
    options.version = SSE_HTTP_1_1;
    options.chunked = true;
    expect_output(sse_http_head, &options,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Transfer-Encoding: chunked\r\n\r\n");
}

static void chunks_need_http_1_1(void **state)
{
    struct sse_http_options options = http_options();

    (void)state;
    options.chunked = true;
    options.version = SSE_HTTP_1_0;
    expect_error(sse_http_head, &options, -EINVAL);
    options.version = SSE_HTTP_CGI;
    expect_error(sse_http_head, &options, -EINVAL);
}

static void cors_names_the_origin(void **state)
{
    struct sse_http_options options = http_options();

    (void)state;
    options.cors_origin = exact_copy("*", 1);
    expect_output(sse_http_head, &options,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Access-Control-Allow-Origin: *\r\n\r\n");
    free_text(options.cors_origin);

    options.cors_origin = exact_copy("a", 1);
    expect_output(sse_http_head, &options,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Access-Control-Allow-Origin: a\r\n"
                  "Vary: Origin\r\n\r\n");
    free_text(options.cors_origin);

    options.cors_origin = exact_copy("https://a.example", 17);
    expect_output(sse_http_head, &options,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Access-Control-Allow-Origin: https://a.example\r\n"
                  "Vary: Origin\r\n\r\n");

    options.cors_credentials = true;
    expect_output(sse_http_head, &options,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Access-Control-Allow-Origin: https://a.example\r\n"
                  "Vary: Origin\r\nAccess-Control-Allow-Credentials: true\r\n\r\n");
    free_text(options.cors_origin);
}

static void extra_headers_come_last_and_verbatim(void **state)
{
    const struct sse_http_header headers[] = {
        {sse_str("sEt-Cookie"), sse_str(" a=b\t; c ")},
        {sse_str("x-empty"), sse_str("")},
        {sse_str("x-absent"), sse_str(NULL)},
        {sse_str("!#$%&'*+-.^_`|~09azAZ"), sse_str("caf\xc3\xa9 \xff")},
    };
    struct sse_http_options options = http_options();

    (void)state;
    options.chunked = true;
    options.cors_origin = sse_str("*");
    options.headers = headers;
    options.header_count = COUNT(headers);
    expect_output(sse_http_head, &options,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Transfer-Encoding: chunked\r\n"
                  "Access-Control-Allow-Origin: *\r\n"
                  "sEt-Cookie:  a=b\t; c \r\n"
                  "x-empty: \r\n"
                  "x-absent: \r\n"
                  "!#$%&'*+-.^_`|~09azAZ: caf\xc3\xa9 \xff\r\n"
                  "\r\n");
}

static void expect_header(const struct sse_http_header *header, const char *name, const char *value)
{
    assert_int_equal(header->name.len, strlen(name));
    assert_memory_equal(header->name.ptr, name, header->name.len);
    assert_int_equal(header->value.len, strlen(value));
    assert_memory_equal(header->value.ptr, value, header->value.len);
}

/* A NUL follows each of the library's own texts. */
static void expect_own_header(const struct sse_http_header *header, const char *name, const char *value)
{
    expect_header(header, name, value);
    assert_int_equal(header->name.ptr[header->name.len], '\0');
    assert_int_equal(header->value.ptr[header->value.len], '\0');
}

static void expect_stream_headers(const struct sse_http_header *table)
{
    expect_own_header(&table[0], "content-type", "text/event-stream");
    expect_own_header(&table[1], "cache-control", "no-cache, no-transform");
    expect_own_header(&table[2], "content-encoding", "identity");
    expect_own_header(&table[3], "x-accel-buffering", "no");
}

static void table_has_the_same_fields(void **state)
{
    const struct sse_http_header extra[] = {
        {sse_str("x-a"), sse_str(" \tone two\t ")},
        {sse_str("x-b"), sse_str(NULL)},
        {sse_str("x-c"), sse_str("  ")},
    };
    struct sse_http_options options = http_options();
    const size_t total = 10;

    (void)state;
    options.cors_origin = sse_str("https://a.example");
    options.cors_credentials = true;
    options.headers = extra;
    options.header_count = COUNT(extra);

    assert_int_equal(sse_http_headers(NULL, 0, &options), total);
    for (size_t count = 0; count < total + 3; count++) {
        size_t bytes = count * sizeof(struct sse_http_header);
        size_t written = count < total ? 0 : total * sizeof(struct sse_http_header);
        struct sse_http_header *table = malloc(bytes ? bytes : 1);

        assert_non_null(table);
        memset(table, CANARY, bytes ? bytes : 1);
        assert_int_equal(sse_http_headers(table, count, &options), total);
        assert_true(is_untouched((unsigned char *)table + written, bytes - written));
        if (count >= total) {
            expect_stream_headers(table);
            expect_own_header(&table[4], "access-control-allow-origin", "https://a.example");
            expect_own_header(&table[5], "vary", "Origin");
            expect_own_header(&table[6], "access-control-allow-credentials", "true");
            expect_header(&table[7], "x-a", "one two");
            expect_header(&table[8], "x-b", "");
            expect_header(&table[9], "x-c", "");
            assert_non_null(table[8].value.ptr);
        }
        free(table);
    }
}

static void default_table_is_exact(void **state)
{
    struct sse_http_header table[4];

    (void)state;
    assert_int_equal(sse_http_headers(table, COUNT(table), NULL), COUNT(table));
    expect_stream_headers(table);
}

static void table_ignores_version_and_framing(void **state)
{
    struct sse_http_header header = {sse_str("status"), sse_str("a")};
    struct sse_http_options options = http_options();
    struct sse_http_header table[5];

    (void)state;
    options.chunked = true;
    options.headers = &header;
    options.header_count = 1;
    for (int version = -1; version <= 4; version++) {
        options.version = (enum sse_http_version)version;
        assert_int_equal(sse_http_headers(table, COUNT(table), &options), COUNT(table));
        expect_stream_headers(table);
        expect_header(&table[4], "status", "a");
    }
}

static void table_refuses_what_http_2_forbids(void **state)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "upgrade",    "X-Capital",  "x-capitaL",
                                        "Connection", "x-A",        "Z"};
    struct sse_http_header header = {.value = sse_str("v")};
    struct sse_http_options options = http_options();
    struct sse_http_header table[8];

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    for (size_t i = 0; i < COUNT(names); i++) {
        header.name = exact_copy(names[i], strlen(names[i]));
        memset(table, CANARY, sizeof(table));
        assert_int_equal(sse_http_headers(table, COUNT(table), &options), -EINVAL);
        assert_true(is_untouched(table, sizeof(table)));
        assert_true(sse_http_head(NULL, 0, &options) > 0);
        free_text(header.name);
    }
}

static void no_content_is_exact(void **state)
{
    struct sse_http_header header = {sse_str("Connection"), sse_str("close")};
    struct sse_http_options options = http_options();

    (void)state;
    expect_output(sse_http_no_content, NULL, "HTTP/1.1 204 No Content\r\n\r\n");

    options.cors_origin = sse_str("null");
    options.headers = &header;
    options.header_count = 1;
    options.version = SSE_HTTP_1_0;
    expect_output(sse_http_no_content, &options,
                  "HTTP/1.0 204 No Content\r\nAccess-Control-Allow-Origin: null\r\nVary: Origin\r\n"
                  "Connection: close\r\n\r\n");

    options = http_options();
    options.version = SSE_HTTP_CGI;
    expect_output(sse_http_no_content, &options, "Status: 204 No Content\r\n\r\n");
}

static void no_content_has_no_chunks(void **state)
{
    struct sse_http_options options = http_options();

    (void)state;
    options.chunked = true;
    for (int version = SSE_HTTP_1_1; version <= SSE_HTTP_CGI; version++) {
        options.version = (enum sse_http_version)version;
        expect_error(sse_http_no_content, &options, -EINVAL);
    }
}

static void decimals_are_exact(void **state)
{
    static const uint64_t numbers[] = {0, 9, 10, 99, 100, 2147483647, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        char digits[TEXT_DECIMAL_SIZE];
        char expected[32];
        struct sse_text text = sse_text_decimal(numbers[i], digits);
        int length = snprintf(expected, sizeof(expected), "%llu", (unsigned long long)numbers[i]);

        assert_int_equal(text.len, length);
        assert_memory_equal(text.ptr, expected, text.len);
    }
}

static void writer_stops_at_overflow(void **state)
{
    struct text_writer writer = {0};

    (void)state;
    sse_text_write(&writer, (struct sse_text){.ptr = "", .len = (size_t)SSIZE_MAX});
    assert_false(writer.overflow);
    assert_int_equal(writer.length, SSIZE_MAX);
    sse_text_write(&writer, sse_str("a"));
    assert_true(writer.overflow);
    sse_text_write(&writer, sse_str(""));
    assert_true(writer.overflow);
}

/* The length is wrong: the test would crash if the text were read. */
static void response_that_overflows_is_found_unread(void **state)
{
    struct http_response response = {.status = 200, .reason = "OK"};

    (void)state;
    response.body = (struct sse_text){.ptr = "", .len = (size_t)SSIZE_MAX};
    assert_int_equal(sse_http_response_write(&response, NULL, 0), -EOVERFLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_head_is_exact),
        cmocka_unit_test(head_follows_version_and_framing),
        cmocka_unit_test(chunks_need_http_1_1),
        cmocka_unit_test(cors_names_the_origin),
        cmocka_unit_test(extra_headers_come_last_and_verbatim),
        cmocka_unit_test(table_has_the_same_fields),
        cmocka_unit_test(default_table_is_exact),
        cmocka_unit_test(table_ignores_version_and_framing),
        cmocka_unit_test(table_refuses_what_http_2_forbids),
        cmocka_unit_test(no_content_is_exact),
        cmocka_unit_test(no_content_has_no_chunks),
        cmocka_unit_test(decimals_are_exact),
        cmocka_unit_test(writer_stops_at_overflow),
        cmocka_unit_test(response_that_overflows_is_found_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
