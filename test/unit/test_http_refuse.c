/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_calls.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Above every errno of every system. */
#define ERRNO_MAX 4095

static ssize_t refuse_request(void *buffer, size_t size, const struct sse_http_options *options)
{
    return sse_http_refuse(buffer, size, -EBADMSG, options, 0);
}

static ssize_t refuse_as_broken(void *buffer, size_t size, const struct sse_http_options *options)
{
    return sse_http_refuse(buffer, size, -EINVAL, options, 0);
}

static ssize_t refuse_without_error(void *buffer, size_t size, const struct sse_http_options *options)
{
    return sse_http_refuse(buffer, size, 0, options, 0);
}

static ssize_t refuse_with_a_count(void *buffer, size_t size, const struct sse_http_options *options)
{
    return sse_http_refuse(buffer, size, EAGAIN, options, 0);
}

static const http_write refusals[] = {http_refuse_for_now, refuse_request, refuse_as_broken};

/* The table of <sse/http.h>. */
static int expected_status(int error)
{
    static const int later[] = {EAGAIN, ECONNREFUSED, ENOMEM, ENOSPC};
    static const int client[] = {EBADMSG, EILSEQ};

    for (size_t i = 0; i < COUNT(later); i++)
        if (error == -later[i])
            return 200;
    for (size_t i = 0; i < COUNT(client); i++)
        if (error == -client[i])
            return 400;
    return 500;
}

static void expect_refusal(int error)
{
    int status = expected_status(error);
    const char *body = status == 200 ? "retry: 2000\n\n" : "";
    const char *reason = status == 200 ? "OK" : status == 400 ? "Bad Request" : "Internal Server Error";
    struct sse_http_refusal refusal;

    memset(&refusal, CANARY, sizeof(refusal));
    assert_int_equal(sse_http_get_refusal(&refusal, error, 0), 0);
    assert_int_equal(refusal.status, status);
    assert_int_equal(refusal.body_size, strlen(body));
    assert_memory_equal(refusal.body, body, strlen(body));
    assert_string_equal(refusal.reason, reason);
    assert_int_equal(refusal.event_stream, status == 200);
}

static void every_error_has_a_status(void **state)
{
    (void)state;
    for (int error = -1; error >= -ERRNO_MAX; error--)
        expect_refusal(error);
    expect_refusal(INT_MIN);
}

static void only_errors_make_a_refusal(void **state)
{
    static const int results[] = {0, 1, EAGAIN, INT_MAX};
    struct sse_http_refusal refusal;

    (void)state;
    memset(&refusal, CANARY, sizeof(refusal));
    for (size_t i = 0; i < COUNT(results); i++) {
        assert_int_equal(sse_http_get_refusal(&refusal, results[i], 0), -EINVAL);
        assert_true(is_untouched(&refusal, sizeof(refusal)));
    }
    assert_int_equal(sse_http_get_refusal(NULL, -EAGAIN, 0), -EINVAL);
    expect_error(refuse_without_error, NULL, -EINVAL);
    expect_error(refuse_with_a_count, NULL, -EINVAL);
}

static void retry_follows_the_random_bits(void **state)
{
    static const struct {
        uint64_t random;
        int retry_ms;
    } rows[] = {
        {0, 2000}, {1, 2001}, {8000, 10000}, {8001, 2000}, {8002, 2001}, {UINT64_MAX, 3779},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sse_http_refusal refusal;
        char expected[32];
        int size = snprintf(expected, sizeof(expected), "retry: %d\n\n", rows[i].retry_ms);

        assert_int_equal(sse_http_get_refusal(&refusal, -EAGAIN, rows[i].random), 0);
        assert_int_equal(refusal.body_size, size);
        assert_memory_equal(refusal.body, expected, (size_t)size);
    }
}

static void every_retry_from_2_to_10_seconds_occurs(void **state)
{
    bool seen[10001] = {false};

    (void)state;
    for (uint64_t random = 0; random <= 8000; random++) {
        struct sse_http_refusal refusal;
        char body[sizeof(refusal.body) + 1] = "";
        int retry_ms = 0;

        assert_int_equal(sse_http_get_refusal(&refusal, -EAGAIN, random), 0);
        memcpy(body, refusal.body, refusal.body_size);
        assert_int_equal(sscanf(body, "retry: %d\n\n", &retry_ms), 1);
        assert_in_range(retry_ms, 2000, 10000);
        assert_false(seen[retry_ms]);
        seen[retry_ms] = true;
    }
}

static void a_retry_is_a_whole_stream(void **state)
{
    struct sse_http_header header = {sse_str("Connection"), sse_str("close")};
    struct sse_http_options options = http_options();

    (void)state;
    expect_output(http_refuse_for_now, NULL,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Content-Length: 13\r\n\r\nretry: 2000\n\n");

    options.cors_origin = sse_str("*");
    options.headers = &header;
    options.header_count = 1;
    options.version = SSE_HTTP_1_0;
    expect_output(http_refuse_for_now, &options,
                  "HTTP/1.0 200 OK\r\n" STREAM_FIELDS "Content-Length: 13\r\n"
                  "Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\nretry: 2000\n\n");

    options = http_options();
    options.version = SSE_HTTP_CGI;
    expect_output(http_refuse_for_now, &options,
                  "Status: 200 OK\r\n" STREAM_FIELDS "Content-Length: 13\r\n\r\nretry: 2000\n\n");
}

static ssize_t refuse_for_ten_seconds(void *buffer, size_t size, const struct sse_http_options *options)
{
    return sse_http_refuse(buffer, size, -ENOMEM, options, 8000);
}

static void length_is_that_of_the_body(void **state)
{
    (void)state;
    expect_output(refuse_for_ten_seconds, NULL,
                  "HTTP/1.1 200 OK\r\n" STREAM_FIELDS "Content-Length: 14\r\n\r\nretry: 10000\n\n");
}

static void error_responses_are_empty(void **state)
{
    struct sse_http_header header = {sse_str("Connection"), sse_str("close")};
    struct sse_http_options options = http_options();

    (void)state;
    expect_output(refuse_request, NULL, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    expect_output(refuse_as_broken, NULL, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");

    options.version = SSE_HTTP_CGI;
    expect_output(refuse_request, &options, "Status: 400 Bad Request\r\nContent-Length: 0\r\n\r\n");

    options.version = SSE_HTTP_1_0;
    options.cors_origin = sse_str("https://a.example");
    options.cors_credentials = true;
    options.headers = &header;
    options.header_count = 1;
    expect_output(refuse_as_broken, &options,
                  "HTTP/1.0 500 Internal Server Error\r\nContent-Length: 0\r\n"
                  "Access-Control-Allow-Origin: https://a.example\r\nVary: Origin\r\n"
                  "Access-Control-Allow-Credentials: true\r\nConnection: close\r\n\r\n");
}

/* A server refuses with the options of its heads. If they are wrong about chunks, it must still get its 500. */
static void chunks_do_not_matter(void **state)
{
    (void)state;
    for (int version = SSE_HTTP_1_1; version <= SSE_HTTP_CGI; version++) {
        for (size_t i = 0; i < COUNT(refusals); i++) {
            struct sse_http_options options = http_options();
            char expected[512];
            ssize_t size;

            options.version = (enum sse_http_version)version;
            size = refusals[i](expected, sizeof(expected) - 1, &options);
            assert_true(size > 0 && (size_t)size < sizeof(expected));
            expected[size] = '\0';
            options.chunked = true;
            expect_output(refusals[i], &options, expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_status),
        cmocka_unit_test(only_errors_make_a_refusal),
        cmocka_unit_test(retry_follows_the_random_bits),
        cmocka_unit_test(every_retry_from_2_to_10_seconds_occurs),
        cmocka_unit_test(a_retry_is_a_whole_stream),
        cmocka_unit_test(length_is_that_of_the_body),
        cmocka_unit_test(error_responses_are_empty),
        cmocka_unit_test(chunks_do_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
