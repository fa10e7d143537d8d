/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sse/event.h>
#include <sse/http.h>

#include "wire/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_FIELDS                                                                                        \
    "Content-Type: text/event-stream\r\n"                                                                    \
    "Cache-Control: no-cache, no-transform\r\n"                                                              \
    "X-Accel-Buffering: no\r\n"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef ssize_t (*write_function)(void *buffer, size_t size, const struct sse_http_options *options);

static const unsigned char canary = 0xa5;

static ssize_t shed_always_5000(void *buffer, size_t size, const struct sse_http_options *options)
{
    return sse_http_shed(buffer, size, options, 5000, 5000, 12345);
}

static const write_function write_functions[] = {sse_http_head, sse_http_no_content, shed_always_5000};

static struct sse_http_options options_of(void)
{
    return (struct sse_http_options){.size = sizeof(struct sse_http_options)};
}

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

static bool is_untouched(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != canary) {
            return false;
        }
    }
    return true;
}

/* Tries every size of buffer up to a little more than is needed. */
static void expect_output(write_function write, const struct sse_http_options *options, const char *expected)
{
    size_t length = strlen(expected);

    assert_int_equal(write(NULL, 0, options), length);
    for (size_t size = 0; size < length + 3; size++) {
        unsigned char *buffer = malloc(size ? size : 1);
        size_t written = size < length ? 0 : length;

        assert_non_null(buffer);
        memset(buffer, canary, size ? size : 1);
        assert_int_equal(write(buffer, size, options), length);
        assert_memory_equal(buffer, expected, written);
        assert_true(is_untouched(buffer + written, size - written));
        free(buffer);
    }
}

static void expect_error(write_function write, const struct sse_http_options *options, int error)
{
    unsigned char buffer[1024];

    memset(buffer, canary, sizeof(buffer));
    assert_int_equal(write(buffer, sizeof(buffer), options), error);
    assert_true(is_untouched(buffer, sizeof(buffer)));
    assert_int_equal(write(NULL, 0, options), error);
}

static void expect_error_everywhere(const struct sse_http_options *options, int error)
{
    struct sse_http_header table[16];

    for (size_t i = 0; i < COUNT(write_functions); i++) {
        expect_error(write_functions[i], options, error);
    }
    memset(table, canary, sizeof(table));
    assert_int_equal(sse_http_headers(table, COUNT(table), options), error);
    assert_true(is_untouched((const unsigned char *)table, sizeof(table)));
}

static void default_head_is_exact(void **state)
{
    struct sse_http_options options = options_of();

    (void)state;
    expect_output(sse_http_head, NULL, "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "\r\n");
    expect_output(sse_http_head, &options, "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "\r\n");
}

static void head_follows_version_and_framing(void **state)
{
    struct sse_http_options options = options_of();

    (void)state;
    options.chunked = true;
    expect_output(sse_http_head, &options,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Transfer-Encoding: chunked\r\n\r\n");

    options.version = SSE_HTTP_1_0;
    expect_error(sse_http_head, &options, -EINVAL);

    options.chunked = false;
    expect_output(sse_http_head, &options, "HTTP/1.0 200 OK\r\n" STREAM_FIELDS "\r\n");
}

static void cors_names_the_origin(void **state)
{
    struct sse_http_options options = options_of();

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

static void cors_that_browsers_refuse_is_refused(void **state)
{
    static const char *const bad_origins[] = {"",     "https://a.example, https://b.example",
                                              "a b",  "https://a.example\r\nSet-Cookie: a=b",
                                              "a\tb", "https://a.example ",
                                              "\x7f", "https://\xc3\xa4.example",
                                              "a\nb", "a\rb",
                                              "**",   "https://*.example"};
    struct sse_http_options options = options_of();

    (void)state;
    for (size_t i = 0; i < COUNT(bad_origins); i++) {
        options.cors_origin = exact_copy(bad_origins[i], strlen(bad_origins[i]));
        expect_error_everywhere(&options, -EINVAL);
        free_text(options.cors_origin);
    }
    options.cors_origin = exact_copy("a\0b", 3);
    expect_error_everywhere(&options, -EINVAL);
    free_text(options.cors_origin);

    options.cors_credentials = true;
    options.cors_origin = sse_str("*");
    expect_error_everywhere(&options, -EINVAL);
    options.cors_origin = sse_str(NULL);
    expect_error_everywhere(&options, -EINVAL);
}

static void extra_headers_come_last_and_verbatim(void **state)
{
    const struct sse_http_header headers[] = {
        {sse_str("sEt-Cookie"), sse_str(" a=b\t; c ")},
        {sse_str("x-empty"), sse_str("")},
        {sse_str("x-absent"), sse_str(NULL)},
        {sse_str("!#$%&'*+-.^_`|~09azAZ"), sse_str("caf\xc3\xa9 \xff")},
    };
    struct sse_http_options options = options_of();

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

static void header_names_are_tokens(void **state)
{
    static const char token_bytes[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    struct sse_http_header header = {.value = sse_str("v")};
    struct sse_http_options options = options_of();

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        for (size_t place = 0; place < 3; place++) {
            char name[3] = {'a', 'b', 'c'};

            name[place] = (char)byte;
            header.name = exact_copy(name, sizeof(name));
            if (memchr(token_bytes, byte, sizeof(token_bytes) - 1)) {
                assert_true(sse_http_head(NULL, 0, &options) > 0);
            } else {
                expect_error_everywhere(&options, -EINVAL);
            }
            free_text(header.name);
        }
    }
    header.name = sse_str("");
    expect_error_everywhere(&options, -EINVAL);
    header.name = sse_str(NULL);
    expect_error_everywhere(&options, -EINVAL);
}

static void header_values_hold_no_control_byte(void **state)
{
    struct sse_http_header header = {.name = sse_str("name")};
    struct sse_http_options options = options_of();

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        for (size_t place = 0; place < 3; place++) {
            char value[3] = {'a', 'b', 'c'};

            value[place] = (char)byte;
            header.value = exact_copy(value, sizeof(value));
            if ((byte >= 0x20 && byte != 0x7f) || byte == '\t') {
                assert_true(sse_http_head(NULL, 0, &options) > 0);
            } else {
                expect_error_everywhere(&options, -EINVAL);
            }
            free_text(header.value);
        }
    }
}

static void injection_is_refused_in_any_header(void **state)
{
    struct sse_http_header headers[] = {
        {sse_str("a"), sse_str("1")},
        {sse_str("b"), sse_str("2")},
        {sse_str("c"), sse_str("3")},
    };
    struct sse_http_options options = options_of();

    (void)state;
    options.headers = headers;
    options.header_count = COUNT(headers);
    for (size_t i = 0; i < COUNT(headers); i++) {
        struct sse_http_header good = headers[i];

        headers[i].value = sse_str("x\r\nSet-Cookie: admin=1");
        expect_error_everywhere(&options, -EINVAL);
        headers[i].value = sse_str("x\r\n\r\n<script>");
        expect_error_everywhere(&options, -EINVAL);
        headers[i] = good;
        headers[i].name = sse_str("x: y\r\nSet-Cookie");
        expect_error_everywhere(&options, -EINVAL);
        headers[i].name = sse_str("x ");
        expect_error_everywhere(&options, -EINVAL);
        headers[i] = good;
    }
    assert_true(sse_http_head(NULL, 0, &options) > 0);
}

static void framing_headers_are_refused(void **state)
{
    static const char *const names[] = {"Content-Length",    "content-length",    "CONTENT-LENGTH",
                                        "Transfer-Encoding", "transfer-encoding", "tRANSFER-eNCODING",
                                        "Content-Type",      "content-type"};
    static const char *const similar[] = {"Content-Lengt", "Content-Lengths", "XTransfer-Encoding",
                                          "Content"};
    struct sse_http_header header = {.value = sse_str("0")};
    struct sse_http_options options = options_of();

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    for (size_t i = 0; i < COUNT(names); i++) {
        header.name = exact_copy(names[i], strlen(names[i]));
        expect_error_everywhere(&options, -EINVAL);
        free_text(header.name);
    }
    for (size_t i = 0; i < COUNT(similar); i++) {
        header.name = exact_copy(similar[i], strlen(similar[i]));
        assert_true(sse_http_head(NULL, 0, &options) > 0);
        free_text(header.name);
    }
}

static void cors_headers_are_not_doubled(void **state)
{
    struct sse_http_header header = {sse_str("access-control-Allow-Origin"), sse_str("https://a.example")};
    struct sse_http_options options = options_of();

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    expect_output(sse_http_head, &options,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS
                  "access-control-Allow-Origin: https://a.example\r\n\r\n");
    options.cors_origin = sse_str("https://a.example");
    expect_error_everywhere(&options, -EINVAL);
    header.name = sse_str("Access-Control-Allow-Credentials");
    expect_error_everywhere(&options, -EINVAL);
}

static void bad_arguments_are_refused(void **state)
{
    struct sse_http_header header = {sse_str("a"), sse_str("b")};
    struct sse_http_options options = options_of();
    static const size_t sizes[] = {0, 1, sizeof(options) - 1, sizeof(options) + 1, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        options.size = sizes[i];
        expect_error_everywhere(&options, -EINVAL);
    }
    options = options_of();
    options.header_count = 1;
    expect_error_everywhere(&options, -EINVAL);

    options.headers = &header;
    header.name.ptr = NULL;
    expect_error_everywhere(&options, -EINVAL);
    header.name.ptr = "a";
    header.value.ptr = NULL;
    expect_error_everywhere(&options, -EINVAL);

    options = options_of();
    options.cors_origin.len = 1;
    expect_error_everywhere(&options, -EINVAL);

    options = options_of();
    options.version = (enum sse_http_version)2;
    for (size_t i = 0; i < COUNT(write_functions); i++) {
        expect_error(write_functions[i], &options, -EINVAL);
        assert_int_equal(write_functions[i](NULL, 1, NULL), -EINVAL);
    }
    assert_int_equal(sse_http_headers(NULL, 1, NULL), -EINVAL);
}

/* The lengths are lies: the test would crash if a text were read. */
static void lengths_that_overflow_are_found_unread(void **state)
{
    struct sse_http_header headers[2] = {{sse_str("a"), sse_str("b")}, {sse_str("c"), sse_str("d")}};
    struct sse_http_options options = options_of();

    (void)state;
    options.headers = headers;
    options.header_count = 2;
    headers[0].value.len = SIZE_MAX;
    expect_error_everywhere(&options, -EOVERFLOW);
    headers[0].value.len = (size_t)SSIZE_MAX;
    expect_error_everywhere(&options, -EOVERFLOW);
    headers[0].value.len = (size_t)SSIZE_MAX / 2 + 1;
    headers[1].name.len = (size_t)SSIZE_MAX / 2 + 1;
    expect_error_everywhere(&options, -EOVERFLOW);

    headers[0].value.len = 1;
    headers[1].name.len = 1;
    options.cors_origin = (struct sse_str){.ptr = "*", .len = (size_t)SSIZE_MAX - 6};
    expect_error_everywhere(&options, -EOVERFLOW);

    options.cors_origin = sse_str(NULL);
    options.header_count = SIZE_MAX;
    expect_error_everywhere(&options, -EOVERFLOW);
    options.header_count = PTRDIFF_MAX / sizeof(headers[0]) + 1;
    expect_error_everywhere(&options, -EOVERFLOW);
}

static void expect_header(const struct sse_http_header *header, const char *name, const char *value)
{
    assert_int_equal(header->name.len, strlen(name));
    assert_memory_equal(header->name.ptr, name, header->name.len);
    assert_int_equal(header->value.len, strlen(value));
    assert_memory_equal(header->value.ptr, value, header->value.len);
}

static void table_has_the_same_fields(void **state)
{
    const struct sse_http_header extra[] = {
        {sse_str("x-a"), sse_str(" \tone two\t ")},
        {sse_str("x-b"), sse_str(NULL)},
        {sse_str("x-c"), sse_str("  ")},
    };
    struct sse_http_options options = options_of();
    const size_t total = 9;

    (void)state;
    options.cors_origin = sse_str("https://a.example");
    options.cors_credentials = true;
    options.headers = extra;
    options.header_count = COUNT(extra);
    options.chunked = true;
    options.version = SSE_HTTP_1_0;

    assert_int_equal(sse_http_headers(NULL, 0, &options), total);
    for (size_t count = 0; count < total + 3; count++) {
        size_t bytes = count * sizeof(struct sse_http_header);
        size_t written = count < total ? 0 : total * sizeof(struct sse_http_header);
        struct sse_http_header *table = malloc(bytes ? bytes : 1);

        assert_non_null(table);
        memset(table, canary, bytes ? bytes : 1);
        assert_int_equal(sse_http_headers(table, count, &options), total);
        assert_true(is_untouched((unsigned char *)table + written, bytes - written));
        if (count >= total) {
            expect_header(&table[0], "content-type", "text/event-stream");
            expect_header(&table[1], "cache-control", "no-cache, no-transform");
            expect_header(&table[2], "x-accel-buffering", "no");
            expect_header(&table[3], "access-control-allow-origin", "https://a.example");
            expect_header(&table[4], "vary", "Origin");
            expect_header(&table[5], "access-control-allow-credentials", "true");
            expect_header(&table[6], "x-a", "one two");
            expect_header(&table[7], "x-b", "");
            expect_header(&table[8], "x-c", "");
            assert_non_null(table[7].value.ptr);
        }
        free(table);
    }
}

static void default_table_is_exact(void **state)
{
    struct sse_http_header table[3];

    (void)state;
    assert_int_equal(sse_http_headers(table, COUNT(table), NULL), COUNT(table));
    expect_header(&table[0], "content-type", "text/event-stream");
    expect_header(&table[1], "cache-control", "no-cache, no-transform");
    expect_header(&table[2], "x-accel-buffering", "no");
}

static void table_refuses_what_http_2_forbids(void **state)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "upgrade",    "X-Capital",  "x-capitaL",
                                        "Connection", "x-A",        "Z"};
    struct sse_http_header header = {.value = sse_str("v")};
    struct sse_http_options options = options_of();
    struct sse_http_header table[8];

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    for (size_t i = 0; i < COUNT(names); i++) {
        header.name = exact_copy(names[i], strlen(names[i]));
        memset(table, canary, sizeof(table));
        assert_int_equal(sse_http_headers(table, COUNT(table), &options), -EINVAL);
        assert_true(is_untouched((const unsigned char *)table, sizeof(table)));
        assert_true(sse_http_head(NULL, 0, &options) > 0);
        free_text(header.name);
    }
}

static void no_content_is_exact(void **state)
{
    struct sse_http_header header = {sse_str("Connection"), sse_str("close")};
    struct sse_http_options options = options_of();

    (void)state;
    expect_output(sse_http_no_content, NULL, "HTTP/1.1 204 No Content\r\n\r\n");

    options.cors_origin = sse_str("null");
    options.headers = &header;
    options.header_count = 1;
    options.version = SSE_HTTP_1_0;
    expect_output(sse_http_no_content, &options,
                  "HTTP/1.0 204 No Content\r\nAccess-Control-Allow-Origin: null\r\nVary: Origin\r\n"
                  "Connection: close\r\n\r\n");

    options.version = SSE_HTTP_1_1;
    options.chunked = true;
    expect_error(sse_http_no_content, &options, -EINVAL);
}

static void shed_is_a_whole_response(void **state)
{
    struct sse_http_header header = {sse_str("Connection"), sse_str("close")};
    struct sse_http_options options = options_of();

    (void)state;
    expect_output(shed_always_5000, NULL,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Content-Length: 13\r\n\r\nretry: 5000\n\n");

    options.cors_origin = sse_str("*");
    options.headers = &header;
    options.header_count = 1;
    options.version = SSE_HTTP_1_0;
    expect_output(shed_always_5000, &options,
                  "HTTP/1.0 200 OK\r\n" STREAM_FIELDS "Content-Length: 13\r\n"
                  "Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\nretry: 5000\n\n");

    options.version = SSE_HTTP_1_1;
    options.chunked = true;
    expect_error(shed_always_5000, &options, -EINVAL);
}

static void shed_spreads_the_retry(void **state)
{
    static const struct {
        int64_t min;
        int64_t max;
        uint64_t random;
        int64_t retry;
    } rows[] = {
        {1, 1, 0, 1},
        {1, 1, UINT64_MAX, 1},
        {1000, 2000, 0, 1000},
        {1000, 2000, 1, 1001},
        {1000, 2000, 1000, 2000},
        {1000, 2000, 1001, 1000},
        {9, 10, 1, 10},
        {1, SSE_RETRY_MAX, (uint64_t)SSE_RETRY_MAX - 1, SSE_RETRY_MAX},
        {1, SSE_RETRY_MAX, (uint64_t)SSE_RETRY_MAX, 1},
        {SSE_RETRY_MAX, SSE_RETRY_MAX, UINT64_MAX, SSE_RETRY_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char expected[512];
        char body[64];
        char buffer[512];
        int body_length = snprintf(body, sizeof(body), "retry: %lld\n\n", (long long)rows[i].retry);
        int length =
            snprintf(expected, sizeof(expected),
                     "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Content-Length: %d\r\n\r\n%s", body_length, body);

        assert_int_equal(
            sse_http_shed(buffer, sizeof(buffer), NULL, rows[i].min, rows[i].max, rows[i].random), length);
        assert_memory_equal(buffer, expected, (size_t)length);
    }
}

static void shed_refuses_a_bad_range(void **state)
{
    static const struct {
        int64_t min;
        int64_t max;
    } rows[] = {
        {0, 1},
        {0, 0},
        {-1, 5},
        {2, 1},
        {1, SSE_RETRY_MAX + 1},
        {1, INT64_MAX},
        {INT64_MAX, 1},
        {1, INT64_MIN},
        {INT64_MIN, INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        unsigned char buffer[512];

        memset(buffer, canary, sizeof(buffer));
        assert_int_equal(sse_http_shed(buffer, sizeof(buffer), NULL, rows[i].min, rows[i].max, 7), -ERANGE);
        assert_true(is_untouched(buffer, sizeof(buffer)));
    }
}

static void decimals_are_exact(void **state)
{
    static const uint64_t numbers[] = {0, 9, 10, 99, 100, 2147483647, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        char digits[TEXT_DECIMAL_SIZE];
        char expected[32];
        struct sse_str text = sse_text_decimal(numbers[i], digits);
        int length = snprintf(expected, sizeof(expected), "%llu", (unsigned long long)numbers[i]);

        assert_int_equal(text.len, length);
        assert_memory_equal(text.ptr, expected, text.len);
    }
}

static void writer_stops_at_overflow(void **state)
{
    struct text_writer writer = {0};

    (void)state;
    sse_text_write(&writer, (struct sse_str){.ptr = "", .len = (size_t)SSIZE_MAX});
    assert_false(writer.overflow);
    assert_int_equal(writer.length, SSIZE_MAX);
    sse_text_write(&writer, sse_str("a"));
    assert_true(writer.overflow);
    sse_text_write(&writer, sse_str(""));
    assert_true(writer.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_head_is_exact),
        cmocka_unit_test(head_follows_version_and_framing),
        cmocka_unit_test(cors_names_the_origin),
        cmocka_unit_test(cors_that_browsers_refuse_is_refused),
        cmocka_unit_test(extra_headers_come_last_and_verbatim),
        cmocka_unit_test(header_names_are_tokens),
        cmocka_unit_test(header_values_hold_no_control_byte),
        cmocka_unit_test(injection_is_refused_in_any_header),
        cmocka_unit_test(framing_headers_are_refused),
        cmocka_unit_test(cors_headers_are_not_doubled),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(lengths_that_overflow_are_found_unread),
        cmocka_unit_test(table_has_the_same_fields),
        cmocka_unit_test(default_table_is_exact),
        cmocka_unit_test(table_refuses_what_http_2_forbids),
        cmocka_unit_test(no_content_is_exact),
        cmocka_unit_test(shed_is_a_whole_response),
        cmocka_unit_test(shed_spreads_the_retry),
        cmocka_unit_test(shed_refuses_a_bad_range),
        cmocka_unit_test(decimals_are_exact),
        cmocka_unit_test(writer_stops_at_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
