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

static void cors_that_browsers_refuse_is_refused(void **state)
{
    static const char *const bad_origins[] = {"",     "https://a.example, https://b.example",
                                              "a b",  "https://a.example\r\nSet-Cookie: a=b",
                                              "a\tb", "https://a.example ",
                                              "\x7f", "https://\xc3\xa4.example",
                                              "a\nb", "a\rb",
                                              "**",   "https://*.example"};
    struct sse_http_options options = http_options();

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

static void origins_are_visible_bytes(void **state)
{
    struct sse_http_options options = http_options();

    (void)state;
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        for (size_t place = 0; place < 3; place++) {
            char origin[3] = {'a', 'b', 'c'};

            origin[place] = (char)byte;
            options.cors_origin = exact_copy(origin, sizeof(origin));
            if (byte > 0x20 && byte < 0x7f && byte != ',' && byte != '*')
                expect_success_everywhere(&options);
            else
                expect_error_everywhere(&options, -EINVAL);
            free_text(options.cors_origin);
        }
    }
}

static void header_names_are_tokens(void **state)
{
    static const char token_bytes[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    struct sse_http_header header = {.value = sse_str("v")};
    struct sse_http_options options = http_options();

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        for (size_t place = 0; place < 3; place++) {
            char name[3] = {'a', 'b', 'c'};

            name[place] = (char)byte;
            header.name = exact_copy(name, sizeof(name));
            if (memchr(token_bytes, byte, sizeof(token_bytes) - 1))
                assert_true(sse_http_head(NULL, 0, &options) > 0);
            else
                expect_error_everywhere(&options, -EINVAL);
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
    struct sse_http_options options = http_options();

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    for (int byte = 0; byte <= UCHAR_MAX; byte++) {
        for (size_t place = 0; place < 3; place++) {
            char value[3] = {'a', 'b', 'c'};

            value[place] = (char)byte;
            header.value = exact_copy(value, sizeof(value));
            if ((byte >= 0x20 && byte != 0x7f) || byte == '\t')
                expect_success_everywhere(&options);
            else
                expect_error_everywhere(&options, -EINVAL);
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
    struct sse_http_options options = http_options();

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
    expect_success_everywhere(&options);
}

static void headers_of_the_library_are_refused(void **state)
{
    static const char *const names[] = {"Content-Length",    "content-length",    "CONTENT-LENGTH",
                                        "Content-Encoding",  "content-encoding",  "cONTENT-eNCODING",
                                        "Content-Type",      "content-type",      "cONTENT-tYPE",
                                        "Transfer-Encoding", "transfer-encoding", "tRANSFER-eNCODING"};
    static const char *const similar[] = {"content-lengt",     "content-lengths",   "xtransfer-encoding",
                                          "content-encodings", "content-encodin",   "content",
                                          "content-language",  "transfer-encodings"};
    struct sse_http_header header = {.value = sse_str("0")};
    struct sse_http_options options = http_options();

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
        expect_success_everywhere(&options);
        free_text(header.name);
    }
}

static void cors_headers_are_not_doubled(void **state)
{
    static const char *const names[] = {"access-control-allow-origin", "access-control-allow-credentials"};
    struct sse_http_header header = {.value = sse_str("https://a.example")};
    struct sse_http_options options = http_options();

    (void)state;
    options.headers = &header;
    options.header_count = 1;
    for (size_t i = 0; i < COUNT(names); i++) {
        header.name = sse_str(names[i]);
        options.cors_origin = sse_str(NULL);
        expect_success_everywhere(&options);
        options.cors_origin = sse_str("https://a.example");
        expect_error_everywhere(&options, -EINVAL);
    }
    header.name = sse_str("Access-Control-Allow-Origin");
    expect_error_everywhere(&options, -EINVAL);
}

static void cgi_has_one_status(void **state)
{
    static const http_write functions[] = {sse_http_head, sse_http_no_content, http_refuse_for_now};
    struct sse_http_header headers[] = {{sse_str("A"), sse_str("b")}, {sse_str("sTatus"), sse_str("404")}};
    struct sse_http_options options = http_options();

    (void)state;
    options.headers = headers;
    options.header_count = COUNT(headers);
    for (size_t i = 0; i < COUNT(functions); i++) {
        options.version = SSE_HTTP_CGI;
        expect_error(functions[i], &options, -EINVAL);
        options.version = SSE_HTTP_1_1;
        assert_true(functions[i](NULL, 0, &options) > 0);
    }
}

static void versions_are_known(void **state)
{
    static const http_write functions[] = {sse_http_head, sse_http_no_content, http_refuse_for_now};
    struct sse_http_options options = http_options();

    (void)state;
    for (int version = -2; version <= 5; version++) {
        options.version = (enum sse_http_version)version;
        for (size_t i = 0; i < COUNT(functions); i++)
            if (version >= SSE_HTTP_1_1 && version <= SSE_HTTP_CGI)
                assert_true(functions[i](NULL, 0, &options) > 0);
            else
                expect_error(functions[i], &options, -EINVAL);
    }
}

static void bad_arguments_are_refused(void **state)
{
    struct sse_http_header header = {sse_str("a"), sse_str("b")};
    struct sse_http_options options = http_options();

    (void)state;
    options.header_count = 1;
    expect_error_everywhere(&options, -EINVAL);

    options.headers = &header;
    header.name.ptr = NULL;
    expect_error_everywhere(&options, -EINVAL);
    header.name.ptr = "a";
    header.value.ptr = NULL;
    expect_error_everywhere(&options, -EINVAL);

    options = http_options();
    options.cors_origin.len = 1;
    expect_error_everywhere(&options, -EINVAL);
}

static void sizes_without_memory_are_refused(void **state)
{
    (void)state;
    assert_int_equal(sse_http_head(NULL, 1, NULL), -EINVAL);
    assert_int_equal(sse_http_no_content(NULL, 1, NULL), -EINVAL);
    assert_int_equal(sse_http_refuse(NULL, 1, -EAGAIN, NULL, 0), -EINVAL);
    assert_int_equal(sse_http_headers(NULL, 1, NULL), -EINVAL);
}

/* The lengths are wrong: the test would crash if a text were read. */
static void lengths_that_overflow_are_found_unread(void **state)
{
    struct sse_http_header headers[2] = {{sse_str("a"), sse_str("b")}, {sse_str("c"), sse_str("d")}};
    struct sse_http_options options = http_options();

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
    options.cors_origin = (struct sse_text){.ptr = "*", .len = (size_t)SSIZE_MAX - 3};
    expect_error_everywhere(&options, -EOVERFLOW);

    options.cors_origin = sse_str(NULL);
    options.header_count = SIZE_MAX;
    expect_error_everywhere(&options, -EOVERFLOW);
    options.header_count = PTRDIFF_MAX / sizeof(headers[0]) + 1;
    expect_error_everywhere(&options, -EOVERFLOW);
}

/* The options are in a block of exactly their size, so that sanitizers notice a read past it. */
static struct sse_http_options *options_of_size(size_t size)
{
    const struct sse_http_options known = http_options();
    unsigned char *block = calloc(1, size);

    assert_non_null(block);
    memcpy(block, &known, size < sizeof(known) ? size : sizeof(known));
    memcpy(block, &size, sizeof(size));
    return (struct sse_http_options *)(void *)block;
}

static void options_of_later_versions_are_accepted(void **state)
{
    (void)state;
    for (size_t more = 1; more <= 64; more++) {
        size_t size = sizeof(struct sse_http_options) + more;
        struct sse_http_options *options = options_of_size(size);

        expect_success_everywhere(options);
        expect_output(sse_http_head, options, "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "\r\n");
        for (size_t place = sizeof(*options); place < size; place++) {
            unsigned char *byte = (unsigned char *)options + place;

            *byte = place % 2 ? 1 : 0x80;
            expect_error_everywhere(options, -EINVAL);
            *byte = 0;
        }
        free(options);
    }
}

static void options_older_than_0_2_are_refused(void **state)
{
    (void)state;
    for (size_t size = sizeof(size_t); size < sizeof(struct sse_http_options); size++) {
        struct sse_http_options *options = options_of_size(size);

        expect_error_everywhere(options, -EINVAL);
        free(options);
    }
}

static void sizes_that_were_never_set_are_refused(void **state)
{
    static const size_t sizes[] = {0, 1, 4097, SIZE_MAX / 2, SIZE_MAX};
    struct sse_http_options options = http_options();

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        options.size = sizes[i];
        expect_error_everywhere(&options, -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cors_that_browsers_refuse_is_refused),
        cmocka_unit_test(origins_are_visible_bytes),
        cmocka_unit_test(header_names_are_tokens),
        cmocka_unit_test(header_values_hold_no_control_byte),
        cmocka_unit_test(injection_is_refused_in_any_header),
        cmocka_unit_test(headers_of_the_library_are_refused),
        cmocka_unit_test(cors_headers_are_not_doubled),
        cmocka_unit_test(cgi_has_one_status),
        cmocka_unit_test(versions_are_known),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(sizes_without_memory_are_refused),
        cmocka_unit_test(lengths_that_overflow_are_found_unread),
        cmocka_unit_test(options_of_later_versions_are_accepted),
        cmocka_unit_test(options_older_than_0_2_are_refused),
        cmocka_unit_test(sizes_that_were_never_set_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
