/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_calls.h"

#include <stdlib.h>
#include <string.h>

static const http_write write_functions[] = {sse_http_head, sse_http_no_content, http_refuse_for_now};

ssize_t http_refuse_for_now(void *buffer, size_t size, const struct sse_http_options *options)
{
    return sse_http_refuse(buffer, size, -EAGAIN, options, 0);
}

struct sse_http_options http_options(void)
{
    return (struct sse_http_options){.size = sizeof(struct sse_http_options)};
}

struct sse_text exact_copy(const char *text, size_t length)
{
    char *copy = malloc(length ? length : 1);

    assert_non_null(copy);
    memcpy(copy, text, length);
    return (struct sse_text){.ptr = copy, .len = length};
}

struct sse_text repeated_text(const char *pattern, size_t length)
{
    size_t period = strlen(pattern);
    char *text = malloc(length ? length : 1);

    assert_non_null(text);
    for (size_t i = 0; i < length; i++)
        text[i] = pattern[i % period];
    return (struct sse_text){.ptr = text, .len = length};
}

void free_text(struct sse_text text)
{
    free((char *)(uintptr_t)text.ptr);
}

bool is_untouched(const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((const unsigned char *)bytes)[i] != CANARY)
            return false;
    return true;
}

void expect_output(http_write write, const struct sse_http_options *options, const char *expected)
{
    size_t length = strlen(expected);

    assert_int_equal(write(NULL, 0, options), length);
    for (size_t size = 0; size < length + 3; size++) {
        unsigned char *buffer = malloc(size ? size : 1);
        size_t written = size < length ? 0 : length;

        assert_non_null(buffer);
        memset(buffer, CANARY, size ? size : 1);
        assert_int_equal(write(buffer, size, options), length);
        assert_memory_equal(buffer, expected, written);
        assert_true(is_untouched(buffer + written, size - written));
        free(buffer);
    }
}

void expect_error(http_write write, const struct sse_http_options *options, int error)
{
    unsigned char buffer[1024];

    memset(buffer, CANARY, sizeof(buffer));
    assert_int_equal(write(buffer, sizeof(buffer), options), error);
    assert_true(is_untouched(buffer, sizeof(buffer)));
    assert_int_equal(write(NULL, 0, options), error);
}

void expect_error_everywhere(const struct sse_http_options *options, int error)
{
    struct sse_http_header table[16];

    for (size_t i = 0; i < COUNT(write_functions); i++)
        expect_error(write_functions[i], options, error);
    memset(table, CANARY, sizeof(table));
    assert_int_equal(sse_http_headers(table, COUNT(table), options), error);
    assert_true(is_untouched(table, sizeof(table)));
}

void expect_success_everywhere(const struct sse_http_options *options)
{
    for (size_t i = 0; i < COUNT(write_functions); i++)
        assert_true(write_functions[i](NULL, 0, options) > 0);
    assert_true(sse_http_headers(NULL, 0, options) > 0);
}
