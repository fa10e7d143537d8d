/* SPDX-License-Identifier: MIT */
#include "wire/event.h"
#include "wire/id.h"
#include "wire/text.h"
#include "wire/utf8.h"

#include <errno.h>

/* What one byte of data can become: a line end turns into "data: " and LF. */
#define EXPANSION_MAX 7
/* More than all field names and separators of an event together. */
#define FIELDS_SIZE_MAX 128

static void put_text(struct text_writer *writer, const char *text)
{
    sse_text_write(writer, sse_str(text));
}

static void put_field(struct text_writer *writer, const char *name, struct sse_str value)
{
    put_text(writer, name);
    sse_text_write(writer, value);
    put_text(writer, "\n");
}

/* Lines end at CR LF, CR and LF and nowhere else. Text without a line end is one line, and what
 * follows the last line end is a line too, though it be empty. */
struct line_reader {
    const char *at; /* NULL after the last line */
    const char *end;
    const char *line_feed; /* the next one at or after `at`, or `end` */
    const char *carriage_return;
};

static const char *find(const char *at, const char *end, char byte)
{
    const char *found = at < end ? memchr(at, byte, (size_t)(end - at)) : NULL;

    return found ? found : end;
}

static struct line_reader read_lines(struct sse_str text)
{
    const char *end = text.ptr + text.len;

    return (struct line_reader){
        .at = text.ptr,
        .end = end,
        .line_feed = find(text.ptr, end, '\n'),
        .carriage_return = find(text.ptr, end, '\r'),
    };
}

static bool next_line(struct line_reader *reader, struct sse_str *line)
{
    const char *line_end;

    if (!reader->at)
        return false;
    line_end = reader->line_feed < reader->carriage_return ? reader->line_feed : reader->carriage_return;
    *line = (struct sse_str){.ptr = reader->at, .len = (size_t)(line_end - reader->at)};
    if (line_end == reader->end) {
        reader->at = NULL;
        return true;
    }
    reader->at = line_end + 1;
    if (*line_end == '\r' && reader->at < reader->end && *reader->at == '\n')
        reader->at++;
    if (reader->line_feed < reader->at)
        reader->line_feed = find(reader->at, reader->end, '\n');
    if (reader->carriage_return < reader->at)
        reader->carriage_return = find(reader->at, reader->end, '\r');
    return true;
}

static void put_data(struct text_writer *writer, struct sse_str data)
{
    struct line_reader reader = read_lines(data);
    struct sse_str line;

    while (next_line(&reader, &line))
        put_field(writer, "data: ", line);
}

static void put_comment(struct text_writer *writer, struct sse_str comment)
{
    struct line_reader reader = read_lines(comment);
    struct sse_str line;

    while (next_line(&reader, &line))
        put_field(writer, line.len ? ": " : ":", line);
}

static bool is_dispatched(const struct sse_event *event)
{
    return event->data.ptr || event->id.ptr;
}

static void put_event(struct text_writer *writer, const struct sse_event *event)
{
    char digits[TEXT_DECIMAL_SIZE];

    if (event->comment.ptr)
        put_comment(writer, event->comment);
    if (event->type.ptr)
        put_field(writer, "event: ", event->type);
    if (event->data.ptr)
        put_data(writer, event->data);
    if (event->id.ptr)
        put_field(writer, "id: ", event->id);
    if (event->retry_ms)
        put_field(writer, "retry: ", sse_text_decimal((uint64_t)event->retry_ms, digits));
    if (is_dispatched(event))
        put_text(writer, "\n");
}

size_t sse_event_id_offset(const struct sse_event *event, size_t encoded_size)
{
    char digits[TEXT_DECIMAL_SIZE];
    size_t tail = event->id.len + strlen("\n\n");

    if (event->retry_ms)
        tail += strlen("retry: \n") + sse_text_decimal((uint64_t)event->retry_ms, digits).len;
    return encoded_size - tail;
}

/* Adds up the lengths without reading a byte. */
static int check_lengths(const struct sse_event *event)
{
    const struct sse_str texts[] = {event->id, event->type, event->data, event->comment};
    size_t total = 0;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (sse_text_is_broken(texts[i]))
            return -EINVAL;
        if (texts[i].len > (SIZE_MAX / 2 - FIELDS_SIZE_MAX) / EXPANSION_MAX - total)
            return -EOVERFLOW;
        total += texts[i].len;
    }
    if (sse_text_is_broken(event->key))
        return -EINVAL;
    if (event->key.len > SSE_KEY_SIZE_MAX)
        return -EMSGSIZE;
    return total > SSE_EVENT_SIZE_MAX ? -EMSGSIZE : 0;
}

static bool type_is_valid(struct sse_str type)
{
    return find(type.ptr, type.ptr + type.len, '\r') == type.ptr + type.len &&
           find(type.ptr, type.ptr + type.len, '\n') == type.ptr + type.len &&
           find(type.ptr, type.ptr + type.len, '\0') == type.ptr + type.len;
}

static int check_fields(const struct sse_event *event)
{
    if (!is_dispatched(event) && !event->type.ptr && !event->comment.ptr && !event->retry_ms)
        return -EINVAL;
    if (event->retry_ms < 0 || event->retry_ms > SSE_RETRY_MAX)
        return -ERANGE;
    if (event->type.ptr && (!event->data.ptr || !type_is_valid(event->type)))
        return -EINVAL;
    if (event->id.ptr && !sse_id_is_valid((const unsigned char *)event->id.ptr, event->id.len))
        return -EINVAL;
    return 0;
}

static bool text_is_utf8(struct sse_str text)
{
    return !text.len || sse_utf8_is_valid((const unsigned char *)text.ptr, text.len);
}

static int check_encoding(const struct sse_event *event)
{
    if (event->trusted_utf8)
        return 0;
    return text_is_utf8(event->id) && text_is_utf8(event->type) && text_is_utf8(event->data) &&
                   text_is_utf8(event->comment)
               ? 0
               : -EILSEQ;
}

static int check(const struct sse_event *event)
{
    int error = check_lengths(event);

    if (!error)
        error = check_fields(event);
    return error ? error : check_encoding(event);
}

ssize_t sse_event_encode(const struct sse_event *event, void *buffer, size_t size)
{
    struct text_writer writer = {.buffer = NULL};
    int error;

    if (!event || (!buffer && size))
        return -EINVAL;
    error = check(event);
    if (error)
        return error;
    put_event(&writer, event);
    if (writer.length > SSE_EVENT_SIZE_MAX)
        return -EMSGSIZE;
    if (writer.length <= size) {
        writer = (struct text_writer){.buffer = buffer};
        put_event(&writer, event);
    }
    return (ssize_t)writer.length;
}
