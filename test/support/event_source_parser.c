/* SPDX-License-Identifier: MIT */
#include "event_source_parser.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct event_source_parser {
    event_source_callback *callback;
    void *user_data;
    struct event_source_text raw_line; /* bytes of the current line, not decoded yet */
    struct event_source_text line;
    struct event_source_text data;
    struct event_source_text type;
    struct event_source_text id_buffer; /* becomes last_event_id at the blank line */
    struct event_source_text last_event_id;
    int64_t reconnection_time;
    bool first_line;
    bool after_carriage_return;
};

struct event_source_recorder {
    struct event_source_parser *parser;
    struct event_source_text events; /* type, data and id of each event, every one after its length */
    struct event_source_text text;
};

static void *allocate_zeroed(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory) {
        abort();
    }
    return memory;
}

static void reserve(struct event_source_text *text, size_t extra)
{
    if (extra > SIZE_MAX / 4 || text->length > SIZE_MAX / 4) {
        abort();
    }
    size_t needed = text->length + extra + 1;
    if (needed <= text->capacity) {
        return;
    }
    size_t capacity = needed < 64 ? 64 : needed * 2;
    char *bytes = realloc(text->bytes, capacity);
    if (!bytes) {
        abort();
    }
    text->bytes = bytes;
    text->capacity = capacity;
}

void event_source_text_append(struct event_source_text *text, const void *bytes, size_t length)
{
    reserve(text, length);
    if (length > 0) {
        memcpy(text->bytes + text->length, bytes, length);
    }
    text->length += length;
    text->bytes[text->length] = '\0';
}

static void append_string(struct event_source_text *text, const char *string)
{
    event_source_text_append(text, string, strlen(string));
}

static bool stands_for_itself(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void append_escaped(struct event_source_text *text, unsigned char byte)
{
    char octal[5];
    switch (byte) {
    case '\n':
        append_string(text, "\\n");
        break;
    case '\r':
        append_string(text, "\\r");
        break;
    case '\t':
        append_string(text, "\\t");
        break;
    case '"':
        append_string(text, "\\\"");
        break;
    case '\\':
        append_string(text, "\\\\");
        break;
    default:
        snprintf(octal, sizeof octal, "\\%03o", (unsigned int)byte);
        append_string(text, octal);
        break;
    }
}

void event_source_text_append_quoted(struct event_source_text *text, const void *bytes, size_t length)
{
    const unsigned char *source = bytes;
    size_t position = 0;

    append_string(text, "\"");
    while (position < length) {
        size_t start = position;
        while (position < length && stands_for_itself(source[position])) {
            position++;
        }
        event_source_text_append(text, source + start, position - start);
        if (position < length) {
            append_escaped(text, source[position]);
            position++;
        }
    }
    append_string(text, "\"");
}

void event_source_text_clear(struct event_source_text *text)
{
    event_source_text_append(text, NULL, 0);
    text->length = 0;
    text->bytes[0] = '\0';
}

void event_source_text_free(struct event_source_text *text)
{
    free(text->bytes);
    memset(text, 0, sizeof *text);
}

/*
 * Examines the sequence that begins with a byte above 0x7f, by the table of the WHATWG UTF-8 decoder. Returns its
 * size: all bytes of a valid sequence, or of a broken one the longest valid beginning, which becomes one U+FFFD.
 */
static size_t utf8_sequence(const unsigned char *bytes, size_t length, bool *valid)
{
    unsigned char lead = bytes[0];
    unsigned char lowest = 0x80;
    unsigned char highest = 0xbf;
    size_t size;
    size_t taken = 1;

    *valid = false;
    if (lead >= 0xc2 && lead <= 0xdf) {
        size = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        size = 3;
        lowest = lead == 0xe0 ? 0xa0 : 0x80;
        highest = lead == 0xed ? 0x9f : 0xbf;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        size = 4;
        lowest = lead == 0xf0 ? 0x90 : 0x80;
        highest = lead == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 1;
    }
    while (taken < size) {
        if (taken == length || bytes[taken] < lowest || bytes[taken] > highest) {
            return taken;
        }
        lowest = 0x80;
        highest = 0xbf;
        taken++;
    }
    *valid = true;
    return taken;
}

/* Compares whole words, because the tests pass long lines some ten thousand times. */
static size_t ascii_length(const unsigned char *bytes, size_t length)
{
    size_t position = 0;
    uint64_t word;

    while (length - position >= sizeof word) {
        memcpy(&word, bytes + position, sizeof word);
        if (word & UINT64_C(0x8080808080808080)) {
            break;
        }
        position += sizeof word;
    }
    while (position < length && bytes[position] < 0x80) {
        position++;
    }
    return position;
}

static void append_decoded(struct event_source_text *text, const unsigned char *bytes, size_t length)
{
    size_t position = 0;

    while (position < length) {
        size_t plain = ascii_length(bytes + position, length - position);
        event_source_text_append(text, bytes + position, plain);
        position += plain;
        if (position < length) {
            bool valid;
            size_t taken = utf8_sequence(bytes + position, length - position, &valid);
            event_source_text_append(text, valid ? (const char *)bytes + position : "\xef\xbf\xbd",
                                     valid ? taken : 3);
            position += taken;
        }
    }
}

static void dispatch(struct event_source_parser *parser)
{
    event_source_text_clear(&parser->last_event_id);
    event_source_text_append(&parser->last_event_id, parser->id_buffer.bytes, parser->id_buffer.length);
    if (parser->data.length > 0 && parser->callback) {
        bool typed = parser->type.length > 0;
        parser->data.bytes[--parser->data.length] = '\0';
        struct event_source_event event = {
            .type = typed ? parser->type.bytes : "message",
            .type_length = typed ? parser->type.length : strlen("message"),
            .data = parser->data.bytes,
            .data_length = parser->data.length,
            .last_event_id = parser->last_event_id.bytes,
            .last_event_id_length = parser->last_event_id.length,
        };
        parser->callback(&event, parser->user_data);
    }
    event_source_text_clear(&parser->data);
    event_source_text_clear(&parser->type);
}

static void set_reconnection_time(struct event_source_parser *parser, const char *value, size_t length)
{
    int64_t time = 0;

    if (length == 0) {
        return;
    }
    for (size_t position = 0; position < length; position++) {
        if (value[position] < '0' || value[position] > '9') {
            return;
        }
        int digit = value[position] - '0';
        time = time > (INT64_MAX - digit) / 10 ? INT64_MAX : time * 10 + digit;
    }
    parser->reconnection_time = time;
}

static bool is_name(const char *name, size_t length, const char *wanted)
{
    return length == strlen(wanted) && memcmp(name, wanted, length) == 0;
}

static void process_field(struct event_source_parser *parser, const char *name, size_t name_length,
                          const char *value, size_t length)
{
    if (is_name(name, name_length, "event")) {
        event_source_text_clear(&parser->type);
        event_source_text_append(&parser->type, value, length);
    } else if (is_name(name, name_length, "data")) {
        event_source_text_append(&parser->data, value, length);
        append_string(&parser->data, "\n");
    } else if (is_name(name, name_length, "id")) {
        if (!memchr(value, '\0', length)) {
            event_source_text_clear(&parser->id_buffer);
            event_source_text_append(&parser->id_buffer, value, length);
        }
    } else if (is_name(name, name_length, "retry")) {
        set_reconnection_time(parser, value, length);
    }
}

static void process_line(struct event_source_parser *parser, const char *line, size_t length)
{
    if (length == 0) {
        dispatch(parser);
        return;
    }
    const char *end = line + length;
    const char *colon = memchr(line, ':', length);
    if (colon == line) {
        return;
    }
    const char *value = colon ? colon + 1 : end;
    if (value < end && *value == ' ') {
        value++;
    }
    process_field(parser, line, (size_t)((colon ? colon : end) - line), value, (size_t)(end - value));
}

/*
 * The standard decodes first and splits lines afterwards. Decoding line by line gives the same result, because CR
 * and LF are never part of a longer UTF-8 sequence, not even of a broken one.
 */
static void end_line(struct event_source_parser *parser)
{
    const unsigned char *bytes = (const unsigned char *)parser->raw_line.bytes;
    size_t length = parser->raw_line.length;

    if (parser->first_line && length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        bytes += 3;
        length -= 3;
    }
    parser->first_line = false;
    event_source_text_clear(&parser->line);
    append_decoded(&parser->line, bytes, length);
    event_source_text_clear(&parser->raw_line);
    process_line(parser, parser->line.bytes, parser->line.length);
}

void event_source_parser_feed(struct event_source_parser *parser, const void *bytes, size_t length)
{
    const char *at = length > 0 ? bytes : "";
    const char *end = at + length;
    const char *line_feed = at; /* returns the first one from `at` on, or `end` */

    while (at < end) {
        bool second_half_of_crlf = parser->after_carriage_return && *at == '\n';
        parser->after_carriage_return = false;
        if (second_half_of_crlf) {
            at++;
            continue;
        }
        if (line_feed < end && (line_feed < at || *line_feed != '\n')) {
            line_feed = memchr(at, '\n', (size_t)(end - at));
            line_feed = line_feed ? line_feed : end;
        }
        const char *carriage_return = memchr(at, '\r', (size_t)(line_feed - at));
        const char *stop = carriage_return ? carriage_return : line_feed;
        event_source_text_append(&parser->raw_line, at, (size_t)(stop - at));
        at = stop;
        if (at < end) {
            parser->after_carriage_return = carriage_return != NULL;
            at++;
            end_line(parser);
        }
    }
}

void event_source_parser_reset(struct event_source_parser *parser)
{
    event_source_text_clear(&parser->raw_line);
    event_source_text_clear(&parser->line);
    event_source_text_clear(&parser->data);
    event_source_text_clear(&parser->type);
    event_source_text_clear(&parser->id_buffer);
    event_source_text_clear(&parser->last_event_id);
    parser->reconnection_time = -1;
    parser->first_line = true;
    parser->after_carriage_return = false;
}

struct event_source_parser *event_source_parser_new(event_source_callback *callback, void *user_data)
{
    struct event_source_parser *parser = allocate_zeroed(sizeof *parser);

    parser->callback = callback;
    parser->user_data = user_data;
    event_source_parser_reset(parser);
    return parser;
}

void event_source_parser_free(struct event_source_parser *parser)
{
    if (!parser) {
        return;
    }
    event_source_text_free(&parser->raw_line);
    event_source_text_free(&parser->line);
    event_source_text_free(&parser->data);
    event_source_text_free(&parser->type);
    event_source_text_free(&parser->id_buffer);
    event_source_text_free(&parser->last_event_id);
    free(parser);
}

const char *event_source_parser_last_event_id(const struct event_source_parser *parser, size_t *length)
{
    if (length) {
        *length = parser->last_event_id.length;
    }
    return parser->last_event_id.bytes;
}

int64_t event_source_parser_reconnection_time(const struct event_source_parser *parser)
{
    return parser->reconnection_time;
}

static void record_text(struct event_source_recorder *recorder, const char *bytes, size_t length)
{
    event_source_text_append(&recorder->events, &length, sizeof length);
    event_source_text_append(&recorder->events, bytes, length);
}

static void record_event(const struct event_source_event *event, void *user_data)
{
    record_text(user_data, event->type, event->type_length);
    record_text(user_data, event->data, event->data_length);
    record_text(user_data, event->last_event_id, event->last_event_id_length);
}

struct event_source_recorder *event_source_recorder_new(void)
{
    struct event_source_recorder *recorder = allocate_zeroed(sizeof *recorder);

    recorder->parser = event_source_parser_new(record_event, recorder);
    event_source_text_clear(&recorder->events);
    return recorder;
}

void event_source_recorder_reset(struct event_source_recorder *recorder)
{
    event_source_parser_reset(recorder->parser);
    event_source_text_clear(&recorder->events);
}

void event_source_recorder_free(struct event_source_recorder *recorder)
{
    if (!recorder) {
        return;
    }
    event_source_parser_free(recorder->parser);
    event_source_text_free(&recorder->events);
    event_source_text_free(&recorder->text);
    free(recorder);
}

void event_source_recorder_feed(struct event_source_recorder *recorder, const void *bytes, size_t length)
{
    event_source_parser_feed(recorder->parser, bytes, length);
}

bool event_source_recorder_equal(const struct event_source_recorder *one,
                                 const struct event_source_recorder *other)
{
    const struct event_source_text *one_id = &one->parser->last_event_id;
    const struct event_source_text *other_id = &other->parser->last_event_id;

    return one->parser->reconnection_time == other->parser->reconnection_time &&
           one_id->length == other_id->length &&
           memcmp(one_id->bytes, other_id->bytes, one_id->length) == 0 &&
           one->events.length == other->events.length &&
           memcmp(one->events.bytes, other->events.bytes, one->events.length) == 0;
}

/* Returns the position after the recorded text. */
static size_t append_recorded(struct event_source_recorder *recorder, const char *label, size_t position)
{
    const char *recorded = recorder->events.bytes + position;
    size_t length;

    memcpy(&length, recorded, sizeof length);
    append_string(&recorder->text, label);
    event_source_text_append_quoted(&recorder->text, recorded + sizeof length, length);
    return position + sizeof length + length;
}

const char *event_source_recorder_text(struct event_source_recorder *recorder)
{
    size_t id_length;
    const char *id = event_source_parser_last_event_id(recorder->parser, &id_length);
    int64_t time = event_source_parser_reconnection_time(recorder->parser);
    char retry[32];
    size_t position = 0;

    event_source_text_clear(&recorder->text);
    while (position < recorder->events.length) {
        position = append_recorded(recorder, "{type=", position);
        position = append_recorded(recorder, ",data=", position);
        position = append_recorded(recorder, ",id=", position);
        append_string(&recorder->text, "} ");
    }
    if (position == 0) {
        append_string(&recorder->text, "none ");
    }
    append_string(&recorder->text, "last=");
    event_source_text_append_quoted(&recorder->text, id, id_length);
    if (time >= 0) {
        snprintf(retry, sizeof retry, " retry=%" PRId64, time);
        append_string(&recorder->text, retry);
    }
    return recorder->text.bytes;
}
