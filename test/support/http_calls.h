/* SPDX-License-Identifier: MIT */
#ifndef TEST_HTTP_CALLS_H
#define TEST_HTTP_CALLS_H

/*
 * Calls the functions of <sse/http.h> that write a response in every way: with each size of buffer, and each
 * function for a wrong option.
 */

#include <sse/http.h>

#define STREAM_FIELDS                                                                                        \
    "Content-Type: text/event-stream\r\n"                                                                    \
    "Cache-Control: no-cache, no-transform\r\n"                                                              \
    "Content-Encoding: identity\r\n"                                                                         \
    "X-Accel-Buffering: no\r\n"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The content of memory that no function may write to. */
#define CANARY 0xa5

typedef ssize_t (*http_write)(void *buffer, size_t size, const struct sse_http_options *options);

/* Refuses with a reconnection time of 2 seconds. */
ssize_t http_refuse_for_now(void *buffer, size_t size, const struct sse_http_options *options);

struct sse_http_options http_options(void);

/* Copies a text to memory that ends where the text ends, so that sanitizers notice a read past the end. */
struct sse_text exact_copy(const char *text, size_t length);
/* Repeats a pattern up to a length. */
struct sse_text repeated_text(const char *pattern, size_t length);

void free_text(struct sse_text text);

bool is_untouched(const void *bytes, size_t length);

void expect_output(http_write write, const struct sse_http_options *options, const char *expected);
void expect_error(http_write write, const struct sse_http_options *options, int error);

/* Every function that takes options must return the same error. */
void expect_error_everywhere(const struct sse_http_options *options, int error);
void expect_success_everywhere(const struct sse_http_options *options);

#endif
