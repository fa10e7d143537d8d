/* SPDX-License-Identifier: MIT */
/* What it costs to read and to write text: always in proportion to its length. */
#include "scene.h"

#include <string.h>

#define TEXTS "event_encode; http_accepts, last_event_id, parameter"

/* Returns `size` bytes of a pattern, which the next call frees. */
static struct sse_text repeat(const char *pattern, size_t size)
{
    static char *bytes;

    free(bytes);
    bytes = malloc(size + 1);
    scene_check(bytes, "out of memory");
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern[i % strlen(pattern)];
    return (struct sse_text){.ptr = bytes, .len = size};
}

static uint64_t accepts(size_t n, const char *pattern)
{
    struct sse_text text = repeat(pattern, n);
    uint64_t before = steps_count();

    (void)sse_http_accepts(text);
    return steps_count() - before;
}

static uint64_t accept_ranges(size_t n)
{
    return accepts(n, "text/event-stream;q=0.1;charset=utf-8,");
}

static uint64_t accept_quotes(size_t n)
{
    return accepts(n, "\"");
}

static uint64_t accept_backslashes(size_t n)
{
    return accepts(n, "a/b;c=\"\\");
}

/* A quoted string that never ends, with quotes everywhere in it. */
static uint64_t accept_a_quote_without_end(size_t n)
{
    return accepts(n, "\"\\");
}

static uint64_t accept_semicolons(size_t n)
{
    return accepts(n, "a/b; ; ;;");
}

static uint64_t accept_spaces(size_t n)
{
    return accepts(n, " ");
}

static uint64_t last_id(size_t n, const char *pattern)
{
    struct sse_text query = repeat(pattern, n);
    char buffer[100];
    uint64_t before = steps_count();

    (void)sse_http_last_event_id(absent, query, buffer, sizeof(buffer));
    return steps_count() - before;
}

static uint64_t last_id_of_parameters(size_t n)
{
    return last_id(n, "lastEventId=%30&");
}

static uint64_t last_id_of_percents(size_t n)
{
    return last_id(n, "%");
}

static uint64_t last_id_of_separators(size_t n)
{
    return last_id(n, "&=&");
}

static uint64_t parameter(size_t n, const char *pattern, size_t index)
{
    struct sse_text query = repeat(pattern, n);
    char *buffer = malloc(n);
    uint64_t before = steps_count();

    (void)sse_http_parameter(query, "topic", index, buffer, n);
    before = steps_count() - before;
    free(buffer);
    return before;
}

static uint64_t parameter_repeated(size_t n)
{
    return parameter(n, "topic=x&", SIZE_MAX);
}

static uint64_t parameter_of_percents(size_t n)
{
    return parameter(n, "%", 0);
}

static uint64_t parameter_with_a_long_value(size_t n)
{
    struct sse_text query = repeat("%C3%A4", n / 6 * 6);
    char *buffer = malloc(n);
    uint64_t before;

    memcpy((char *)(uintptr_t)query.ptr, "topic=", 6);
    before = steps_count();
    scene_check(sse_http_parameter(query, "topic", 0, buffer, n) > 0, "no value");
    before = steps_count() - before;
    free(buffer);
    return before;
}

static uint64_t heads(size_t n)
{
    struct sse_http_header *fields = calloc(n, sizeof(*fields)), *table = calloc(n + 20, sizeof(*fields));
    const struct sse_http_options options = {.size = sizeof(options), .headers = fields, .header_count = n};
    char *buffer = malloc(100 * n + 1000);
    uint64_t before;

    scene_check(fields && table && buffer, "out of memory");
    for (size_t i = 0; i < n; i++)
        fields[i] = (struct sse_http_header){.name = sse_str("x-name"), .value = sse_str("value")};
    before = steps_count();
    scene_check(sse_http_head(buffer, 100 * n + 1000, &options) > 0 &&
                    sse_http_headers(table, n + 20, &options) > 0 &&
                    sse_http_no_content(buffer, 100 * n + 1000, &options) > 0 &&
                    sse_http_refuse(buffer, 100 * n + 1000, -EAGAIN, &options, 1) > 0,
                "no head");
    before = steps_count() - before;
    free(fields);
    free(table);
    free(buffer);
    return before;
}

static uint64_t encode(size_t n, const char *data, const char *comment)
{
    struct sse_text text = repeat(data ? data : comment, n);
    struct sse_event event = {.data = data ? text : absent, .comment = comment ? text : absent};
    char *buffer = malloc(10 * n);
    uint64_t before = steps_count();

    scene_check(buffer && sse_event_encode(&event, buffer, 10 * n) > 0, "not encoded");
    before = steps_count() - before;
    free(buffer);
    return before;
}

static uint64_t encode_line_ends(size_t n)
{
    return encode(n, "\r\r\n\n", NULL);
}

static uint64_t encode_letters(size_t n)
{
    return encode(n, "x\xe2\x82\xac", NULL);
}

static uint64_t encode_a_comment(size_t n)
{
    return encode(n, NULL, "\n\r");
}

static uint64_t message(size_t n)
{
    struct sse_event *events = calloc(n, sizeof(*events));
    struct sse_message *made;
    uint64_t before;

    scene_check(events, "out of memory");
    for (size_t i = 0; i < n; i++)
        events[i] = (struct sse_event){.data = sse_str("an event"), .id = sse_str("id")};
    before = steps_count();
    scene_check(!sse_message_new(&made, events, n, &steps_platform), "no message");
    before = steps_count() - before;
    sse_message_unref(made);
    free(events);
    return before;
}

/* When a batch breaks off, its complete events are counted. */
static ssize_t take_half(void *user, const struct iovec *iov, int count)
{
    size_t *left = user;
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    size = size < *left ? size : *left;
    *left -= size;
    return size ? (ssize_t)size : -EPIPE;
}

static uint64_t abort_within_a_batch(size_t n)
{
    struct sse_event *events = calloc(n, sizeof(*events));
    size_t left = 5 * n;
    struct sse_emitter_options options = {.size = sizeof(options),
                                          .platform = &steps_platform,
                                          .output = SSE_OUTPUT_CALLBACK,
                                          .write = take_half,
                                          .user = &left};
    struct sse_emitter *emitter;
    struct sse_message *made;
    uint64_t before;

    scene_check(events, "out of memory");
    for (size_t i = 0; i < n; i++)
        events[i] = (struct sse_event){.data = sse_str("x")};
    scene_check(!sse_message_new(&made, events, n, &steps_platform), "no message");
    scene_check(!sse_emitter_new(&emitter, &options, NULL), "no emitter");
    before = steps_count();
    (void)sse_emitter_send_message(emitter, made);
    before = steps_count() - before;
    sse_emitter_close(emitter);
    sse_message_unref(made);
    free(events);
    return before;
}

const struct cost costs_of_texts[] = {
    COST(TEXTS, "bytes given", LINEAR, 1000, accept_ranges),
    COST(TEXTS, "bytes given", LINEAR, 1000, accept_quotes),
    COST(TEXTS, "bytes given", LINEAR, 1000, accept_backslashes),
    COST(TEXTS, "bytes given", LINEAR, 1000, accept_a_quote_without_end),
    COST(TEXTS, "bytes given", LINEAR, 1000, accept_semicolons),
    COST(TEXTS, "bytes given", LINEAR, 1000, accept_spaces),
    COST(TEXTS, "bytes given", LINEAR, 1000, last_id_of_parameters),
    COST(TEXTS, "bytes given", LINEAR, 10000, last_id_of_percents),
    COST(TEXTS, "bytes given", LINEAR, 1000, last_id_of_separators),
    COST(TEXTS, "bytes given", LINEAR, 1000, parameter_repeated),
    COST(TEXTS, "bytes given", LINEAR, 10000, parameter_of_percents),
    COST(TEXTS, "bytes given", LINEAR, 1000, parameter_with_a_long_value),
    COST("http_head, headers, no_content, refuse", "header fields", LINEAR, 1000, heads),
    COST(TEXTS, "bytes given", LINEAR, 1000, encode_line_ends),
    COST(TEXTS, "bytes given", LINEAR, 1000, encode_letters),
    COST(TEXTS, "bytes given", LINEAR, 1000, encode_a_comment),
    COST("message_new; emitter_send_message", "events, bytes", LINEAR, 1000, message),
    COST("message_new; emitter_send_message", "events, bytes", LINEAR, 1000, abort_within_a_batch),
    {.name = NULL},
};
