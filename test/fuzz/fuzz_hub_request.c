/* SPDX-License-Identifier: MIT */
/* Compares the hub's reader of heads and bodies with a model that has all bytes at once, by RFC 9112. Bytes in
 * pieces must have the same meaning as in one piece. */

#include "body.h"
#include "input.h"
#include "request.h"

#include <stdlib.h>
#include <strings.h>

#define REFUSED (-1)
#define LIMIT_MAX 4096

/** The result of the bytes. */
struct outcome {
    int head; /* 0: more is needed; 1: complete; otherwise a status */
    size_t used;
    struct request request;
    int body; /* as head; 0 without a body */
    struct body bytes;
};

static struct sse_text text_of(const char *at, const char *end)
{
    return (struct sse_text){.ptr = at, .len = (size_t)(end - at)};
}

/* Feeds pieces of this size. */
static struct outcome *feed(struct sse_text input, size_t piece, size_t limit)
{
    struct outcome *outcome = calloc(1, sizeof(*outcome));
    size_t at = 0, used;

    if (!outcome)
        abort();
    while (!outcome->head && at < input.len) {
        size_t size = piece < input.len - at ? piece : input.len - at;

        outcome->head = request_feed(&outcome->request, input.ptr + at, size, &used);
        fuzz_expect(used <= size && (outcome->head || used == size), "a head uses %zu of %zu", used, size);
        at += used;
    }
    outcome->used = at;
    if (outcome->head != 1 || outcome->request.framing == REQUEST_FRAMING_NONE)
        return outcome;
    outcome->body = body_begin(&outcome->bytes, &outcome->request, limit);
    while (!outcome->body && at < input.len) {
        size_t size = piece < input.len - at ? piece : input.len - at;

        outcome->body = body_feed(&outcome->bytes, input.ptr + at, size);
        at += size;
    }
    return outcome;
}

static void release(struct outcome *outcome)
{
    body_release(&outcome->bytes);
    free(outcome);
}

static bool is_token(struct sse_text text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.len; i++) {
        char lower = (char)(text.ptr[i] | 32);

        if (!(lower >= 'a' && lower <= 'z') && !(text.ptr[i] >= '0' && text.ptr[i] <= '9') &&
            !(text.ptr[i] && strchr(others, text.ptr[i])))
            return false;
    }
    return text.len > 0;
}

/* Returns where the head ends, with its empty line. 0: not yet. REFUSED: an invalid byte comes before. */
static long find_end(struct sse_text input, size_t *start)
{
    size_t line = 0;

    *start = input.len >= 2 && !memcmp(input.ptr, "\r\n", 2) ? 2 : 0;
    for (size_t i = line = *start; i < input.len; i++) {
        unsigned char byte = (unsigned char)input.ptr[i];
        bool after_cr = i > *start && input.ptr[i - 1] == '\r';

        if ((byte == '\n') != after_cr || i - *start == REQUEST_HEAD_MAX)
            return REFUSED;
        if (!byte)
            return REFUSED;
        if (byte != '\n')
            continue;
        if (i - line == 1)
            return line == *start ? REFUSED : (long)i + 1;
        line = i + 1;
    }
    return *start == input.len - 1 && input.ptr[*start] == '\n' ? REFUSED : 0;
}

/** The head as the model reads it. */
struct model {
    struct sse_text method, target, names[REQUEST_HEADERS_MAX], values[REQUEST_HEADERS_MAX];
    size_t count;
    bool minor_is_zero;
};

static bool read_first_line(struct model *model, struct sse_text line)
{
    const char *end = line.ptr + line.len;
    const char *space = memchr(line.ptr, ' ', line.len), *second;

    if (!space)
        return false;
    second = memchr(space + 1, ' ', (size_t)(end - space - 1));
    if (!second || end - second != 9 || memcmp(second, " HTTP/1.", 8) || end[-1] < '0' || end[-1] > '9')
        return false;
    model->method = text_of(line.ptr, space);
    model->target = text_of(space + 1, second);
    model->minor_is_zero = end[-1] == '0';
    return is_token(model->method);
}

static bool read_field(struct model *model, struct sse_text line)
{
    const char *colon = memchr(line.ptr, ':', line.len), *end = line.ptr + line.len;
    struct sse_text name, value;

    if (!colon || model->count == REQUEST_HEADERS_MAX)
        return false;
    name = text_of(line.ptr, colon);
    value = text_of(colon + 1, end);
    while (value.len && strchr(" \t", value.ptr[0]))
        value = text_of(value.ptr + 1, end);
    while (value.len && strchr(" \t", value.ptr[value.len - 1]))
        value.len--;
    model->names[model->count] = name;
    model->values[model->count++] = value;
    return is_token(name);
}

static bool read_head(struct model *model, struct sse_text head)
{
    const char *at = head.ptr, *end = head.ptr + head.len - 2;
    bool first = true;

    while (at < end) {
        const char *stop = memchr(at, '\r', (size_t)(end - at));

        if (!(first ? read_first_line : read_field)(model, text_of(at, stop)))
            return false;
        first = false;
        at = stop + 2;
    }
    return true;
}

/* Counts the fields with this name. *value is that of the first one. */
static size_t count_fields(const struct model *model, const char *name, struct sse_text *value)
{
    size_t count = 0;

    for (size_t i = 0; i < model->count; i++) {
        if (model->names[i].len != strlen(name) ||
            strncasecmp(model->names[i].ptr, name, model->names[i].len))
            continue;
        if (!count++)
            *value = model->values[i];
    }
    return count;
}

/* Once the fields are read, the result is certain. This also checks the length of the body. */
static void check_fields(const struct model *model, const struct request *request)
{
    static const char *const single[] = {"Host", "Authorization", "Origin", "Sec-Fetch-Site",
                                         "Transfer-Encoding"};
    struct sse_text value;

    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
        fuzz_expect(count_fields(model, single[i], &value) <= 1, "a field is there twice");
    fuzz_expect(model->minor_is_zero || count_fields(model, "Host", &value), "no Host");
    fuzz_expect(fuzz_same(request->method, model->method), "another method");
    fuzz_expect(request->header_count == model->count, "%zu fields, not %zu", request->header_count,
                model->count);
    for (size_t i = 0; i < model->count; i++)
        fuzz_expect(fuzz_same(request->headers[i].name, model->names[i]) &&
                        fuzz_same(request->headers[i].value, model->values[i]),
                    "another field");
    fuzz_expect((request->version == SSE_HTTP_1_0) == model->minor_is_zero, "another version");
    fuzz_expect(
        !(count_fields(model, "Content-Length", &value) && count_fields(model, "Transfer-Encoding", &value)),
        "two lengths of a body");
    fuzz_expect(request->path.len && (request->path.ptr[0] == '/' || request->path.ptr[0] == '*'), "no path");
    fuzz_expect(!memchr(request->path.ptr, '?', request->path.len), "a query in the path");
}

static void check_head(struct sse_text input, const struct outcome *outcome)
{
    static struct model model;
    size_t start;
    long end = find_end(input, &start);
    bool complete = false;

    model.count = 0;
    if (end > 0)
        complete = read_head(&model, text_of(input.ptr + start, input.ptr + end));
    if (outcome->head == 1) {
        fuzz_expect(complete && outcome->used == (size_t)end, "a head is accepted that is none");
        check_fields(&model, &outcome->request);
    } else if (!outcome->head) {
        fuzz_expect(!end, "a head is not complete, and it ends at %ld", end);
    } else {
        fuzz_expect(end && outcome->head >= 400 && outcome->head < 600 && outcome->request.error,
                    "a head is refused with %d", outcome->head);
    }
}

/* The decoded body of chunks, or the state in which it stops: RFC 9112 section 7.1. */
static int decode(struct sse_text input, char *decoded, size_t *length)
{
    size_t at = 0;

    *length = 0;
    for (;;) {
        char *end;
        const char *line = memchr(input.ptr + at, '\n', input.len - at);
        unsigned long size;

        if (!line)
            return 0;
        size = strtoul(input.ptr + at, &end, 16);
        at = (size_t)(line + 1 - input.ptr);
        if (!size)
            break;
        if (size > input.len - at || input.len - at - size < 2)
            return 0;
        memcpy(decoded + *length, input.ptr + at, size);
        *length += size;
        at += size + 2;
    }
    for (;;) {
        const char *line = memchr(input.ptr + at, '\n', input.len - at);

        if (!line)
            return 0;
        if (line - (input.ptr + at) == 1)
            return 1;
        at = (size_t)(line + 1 - input.ptr);
    }
}

static void check_body(struct sse_text input, const struct outcome *outcome, size_t limit)
{
    const struct buffer *bytes = &outcome->bytes.bytes;
    struct sse_text rest = text_of(input.ptr + outcome->used, input.ptr + input.len);
    struct sse_text given = {.ptr = bytes->bytes, .len = bytes->length}, expected = rest;
    char *decoded = malloc(rest.len + 1);

    fuzz_expect(bytes->length <= limit, "a body of %zu bytes, over %zu", bytes->length, limit);
    if (outcome->body == 1 && outcome->request.framing == REQUEST_FRAMING_LENGTH)
        expected.len = (size_t)outcome->request.content_length;
    if (outcome->body == 1 && outcome->request.framing == REQUEST_FRAMING_CHUNKED) {
        expected.ptr = decoded;
        fuzz_expect(decode(rest, decoded, &expected.len) == 1, "a body is accepted that is none");
    }
    fuzz_expect(outcome->body != 1 || fuzz_same(given, expected), "another body");
    fuzz_expect(outcome->body <= 1 || outcome->body == 400 || outcome->body == 413,
                "a body is refused with %d", outcome->body);
    free(decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {.at = data, .end = data + size};
    struct fuzz_texts texts = {.blocks = NULL};
    size_t piece = 1 + fuzz_byte(&input), limit = 16 * (size_t)fuzz_byte(&input);
    struct sse_text bytes = fuzz_rest(&input, &texts);
    struct outcome *whole = feed(bytes, SIZE_MAX, limit), *pieces = feed(bytes, piece, limit);

    fuzz_expect(whole->head == pieces->head && whole->used == pieces->used && whole->body == pieces->body,
                "in pieces a request is another");
    fuzz_expect(whole->body != 1 || (whole->bytes.bytes.length == pieces->bytes.bytes.length),
                "and its body");
    check_head(bytes, whole);
    if (whole->head == 1 && whole->request.framing != REQUEST_FRAMING_NONE)
        check_body(bytes, whole, limit);
    release(whole);
    release(pieces);
    fuzz_texts_free(&texts);
    return 0;
}
