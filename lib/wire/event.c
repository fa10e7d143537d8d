/* SPDX-License-Identifier: MIT */
#include "wire/event.h"
#include "wire/id.h"
#include "wire/lines.h"
#include "wire/text.h"
#include "wire/utf8.h"
#include "wire/words.h"

#include <errno.h>

/* The most bytes that one byte of data becomes: a line end turns into LF and "data: ". */
#define EXPANSION_MAX 7
/* More than all field names and separators of an event together. */
#define FIELDS_SIZE_MAX 128
/* If the texts are larger, the size could overflow. */
#define TEXTS_SIZE_MAX ((SIZE_MAX / 2 - FIELDS_SIZE_MAX) / EXPANSION_MAX)

/* Above CR, LF and NUL. Texts with other bytes below it are valid too, but are checked in the slow way. */
#define LOWEST_PLAIN 0x0e

/* Most texts are ASCII in one line. They need no check and no splitting. */
static bool is_plain(struct sse_text text)
{
    return sse_words_within(text, LOWEST_PLAIN, 0x7f);
}

static bool is_dispatched(const struct sse_event *event)
{
    return event->data.ptr || event->id.ptr;
}

static int add_length(struct sse_text text, size_t *total)
{
    if (sse_text_is_broken(text))
        return -EINVAL;
    if (text.len > TEXTS_SIZE_MAX - *total)
        return -EOVERFLOW;
    *total += text.len;
    return 0;
}

/* Adds up the lengths before any text is read, because a length may be wrong. */
static int check_lengths(const struct sse_event *event)
{
    size_t total = 0;
    int error = add_length(event->id, &total);

    if (!error)
        error = add_length(event->type, &total);
    if (!error)
        error = add_length(event->data, &total);
    if (!error)
        error = add_length(event->comment, &total);
    if (error)
        return error;
    if (sse_text_is_broken(event->key))
        return -EINVAL;
    if (event->id.len > SSE_ID_SIZE_MAX || event->key.len > SSE_KEY_SIZE_MAX)
        return -EMSGSIZE;
    return total > SSE_EVENT_SIZE_MAX ? -EMSGSIZE : 0;
}

static int check_fields(const struct sse_event *event)
{
    if (!is_dispatched(event) && !event->type.ptr && !event->comment.ptr && !event->retry_ms)
        return -EINVAL;
    if (event->retry_ms < 0 || event->retry_ms > SSE_RETRY_MAX)
        return -ERANGE;
    return event->type.ptr && !event->data.ptr ? -EINVAL : 0;
}

static bool type_is_valid(struct sse_text type)
{
    return is_plain(type) || (!memchr(type.ptr, '\r', type.len) && !memchr(type.ptr, '\n', type.len) &&
                              !memchr(type.ptr, '\0', type.len));
}

static bool is_utf8(struct sse_text text)
{
    return !text.len || sse_utf8_is_valid((const unsigned char *)text.ptr, text.len);
}

static bool id_is_valid(struct sse_text id)
{
    return sse_id_is_valid((const unsigned char *)id.ptr, id.len);
}

/* Checks the texts that are not plain. */
static int check_texts(const struct sse_event *event)
{
    if (!type_is_valid(event->type) || !id_is_valid(event->id))
        return -EINVAL;
    if (event->trusted_utf8)
        return 0;
    return is_utf8(event->id) && is_utf8(event->type) && is_utf8(event->data) && is_utf8(event->comment)
               ? 0
               : -EILSEQ;
}

/* The size of a field with its line end. */
#define FIELD_SIZE(name, value_size) (sizeof(name) - 1 + (value_size) + sizeof("\n") - 1)

static size_t data_size(struct sse_text data, bool *is_line)
{
    struct line_count count = sse_lines_count(data);

    *is_line = count.lines == 1;
    return count.size + count.lines * FIELD_SIZE("data: ", 0);
}

static size_t comment_line_size(struct sse_text line)
{
    return line.len ? FIELD_SIZE(": ", line.len) : FIELD_SIZE(":", 0);
}

static size_t comment_size(struct sse_text comment)
{
    struct line_reader reader = sse_lines_read(comment);
    struct sse_text line;
    size_t size = 0;

    while (sse_lines_next(&reader, &line))
        size += comment_line_size(line);
    return size;
}

static size_t retry_size(int64_t retry_ms)
{
    char digits[TEXT_DECIMAL_SIZE];

    return FIELD_SIZE("retry: ", sse_text_decimal((uint64_t)retry_ms, digits).len);
}

static int lay_out(const struct sse_event *event, bool data_is_plain, struct event_layout *layout)
{
    size_t size = 0;

    layout->data_is_line = true;
    if (event->comment.ptr)
        size += comment_size(event->comment);
    if (event->type.ptr)
        size += FIELD_SIZE("event: ", event->type.len);
    if (data_is_plain && event->data.ptr)
        size += FIELD_SIZE("data: ", event->data.len);
    else if (event->data.ptr)
        size += data_size(event->data, &layout->data_is_line);
    layout->id_line = size;
    if (event->id.ptr)
        size += FIELD_SIZE("id: ", event->id.len);
    if (event->retry_ms)
        size += retry_size(event->retry_ms);
    layout->size = size + is_dispatched(event);
    return layout->size > SSE_EVENT_SIZE_MAX ? -EMSGSIZE : 0;
}

int sse_event_measure(const struct sse_event *event, struct event_layout *layout)
{
    bool data_is_plain;
    int error = check_lengths(event);

    if (!error)
        error = check_fields(event);
    if (error)
        return error;
    data_is_plain = is_plain(event->data);
    if (!data_is_plain || !is_plain(event->type) || !is_plain(event->comment) || !sse_id_is_plain(event->id))
        error = check_texts(event);
    return error ? error : lay_out(event, data_is_plain, layout);
}

static char *put_text(char *at, struct sse_text text)
{
    if (text.len)
        memcpy(at, text.ptr, text.len);
    return at + text.len;
}

static char *put_field(char *at, struct sse_text name, struct sse_text value)
{
    at = put_text(at, name);
    at = put_text(at, value);
    *at = '\n';
    return at + 1;
}

static char *put_data(char *at, struct sse_text data)
{
    struct line_reader reader = sse_lines_read(data);
    struct sse_text line;

    while (sse_lines_next(&reader, &line))
        at = put_field(at, sse_str("data: "), line);
    return at;
}

static char *put_comment(char *at, struct sse_text comment)
{
    struct line_reader reader = sse_lines_read(comment);
    struct sse_text line;

    while (sse_lines_next(&reader, &line))
        at = line.len ? put_field(at, sse_str(": "), line) : put_field(at, sse_str(":"), line);
    return at;
}

void sse_event_write(const struct sse_event *event, const struct event_layout *layout, void *buffer)
{
    char digits[TEXT_DECIMAL_SIZE];
    char *at = buffer;

    if (event->comment.ptr)
        at = put_comment(at, event->comment);
    if (event->type.ptr)
        at = put_field(at, sse_str("event: "), event->type);
    if (event->data.ptr && layout->data_is_line)
        at = put_field(at, sse_str("data: "), event->data);
    else if (event->data.ptr)
        at = put_data(at, event->data);
    if (event->id.ptr)
        at = put_field(at, sse_str("id: "), event->id);
    if (event->retry_ms)
        at = put_field(at, sse_str("retry: "), sse_text_decimal((uint64_t)event->retry_ms, digits));
    if (is_dispatched(event))
        *at = '\n';
}

ssize_t sse_event_encode(const struct sse_event *event, void *buffer, size_t size)
{
    struct event_layout layout;
    int error;

    if (!event || (!buffer && size))
        return -EINVAL;
    error = sse_event_measure(event, &layout);
    if (error)
        return error;
    if (layout.size <= size)
        sse_event_write(event, &layout, buffer);
    return (ssize_t)layout.size;
}
