/* SPDX-License-Identifier: MIT */
#include "vectors.h"

#include "event_source_parser.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A typing error in a row must not exhaust the memory. */
#define REPEAT_SIZE_MAX ((size_t)64 << 20)

/* Each reader returns NULL, or a static text that describes the error. */

struct cursor {
    const char *at;
    const char *end;
};

static void *resize(void *memory, size_t count, size_t size)
{
    if (count > SIZE_MAX / size) {
        abort();
    }
    void *resized = realloc(memory, count * size);
    if (!resized) {
        abort();
    }
    return resized;
}

static char *copy(struct cursor span)
{
    size_t length = (size_t)(span.end - span.at);
    char *string = resize(NULL, length + 1, 1);

    memcpy(string, span.at, length);
    string[length] = '\0';
    return string;
}

static bool starts_with(struct cursor cursor, const char *prefix)
{
    size_t length = strlen(prefix);

    return (size_t)(cursor.end - cursor.at) >= length && memcmp(cursor.at, prefix, length) == 0;
}

static bool consume(struct cursor *cursor, const char *expected)
{
    if (!starts_with(*cursor, expected)) {
        return false;
    }
    cursor->at += strlen(expected);
    return true;
}

static bool equals(struct cursor span, const char *string)
{
    return starts_with(span, string) && span.at + strlen(string) == span.end;
}

static bool at_digit(const struct cursor *cursor, char highest)
{
    return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= highest;
}

static void skip_spaces(struct cursor *cursor)
{
    while (consume(cursor, " ")) {
    }
}

static const char *read_octal(struct cursor *cursor, struct event_source_text *text)
{
    unsigned int value = 0;

    for (int digits = 0; digits < 3 && at_digit(cursor, '7'); digits++) {
        value = value * 8 + (unsigned int)(*cursor->at++ - '0');
    }
    if (value > 255) {
        return "octal escape above 377";
    }
    unsigned char byte = (unsigned char)value;
    event_source_text_append(text, &byte, 1);
    return NULL;
}

/* The cursor is at the backslash. */
static const char *read_escape(struct cursor *cursor, struct event_source_text *text)
{
    static const char letters[] = "abfnrtv\\\"'?";
    static const char meanings[] = "\a\b\f\n\r\t\v\\\"'?";

    cursor->at++;
    if (at_digit(cursor, '7')) {
        return read_octal(cursor, text);
    }
    const char *letter = cursor->at < cursor->end ? memchr(letters, *cursor->at, sizeof letters - 1) : NULL;
    if (!letter) {
        return "unknown escape";
    }
    event_source_text_append(text, &meanings[letter - letters], 1);
    cursor->at++;
    return NULL;
}

static const char *read_quoted(struct cursor *cursor, struct event_source_text *text)
{
    const char *problem = NULL;

    if (!consume(cursor, "\"")) {
        return "quote expected";
    }
    while (!problem && cursor->at < cursor->end && *cursor->at != '"') {
        if (*cursor->at == '\\') {
            problem = read_escape(cursor, text);
        } else {
            event_source_text_append(text, cursor->at++, 1);
        }
    }
    if (!problem && !consume(cursor, "\"")) {
        return "quote not closed";
    }
    return problem;
}

/* A number beyond the range of the type becomes the nearest value in it. */
static const char *read_integer(struct cursor *cursor, int64_t *value)
{
    bool negative = consume(cursor, "-");
    int64_t result = 0;

    if (!at_digit(cursor, '9')) {
        return "number expected";
    }
    while (at_digit(cursor, '9')) {
        int digit = *cursor->at++ - '0';
        if (negative) {
            result = result < (INT64_MIN + digit) / 10 ? INT64_MIN : result * 10 - digit;
        } else {
            result = result > (INT64_MAX - digit) / 10 ? INT64_MAX : result * 10 + digit;
        }
    }
    *value = result;
    return NULL;
}

static const char *read_repeat_arguments(struct cursor *cursor, struct event_source_text *unit, size_t *count)
{
    int64_t value = 0;

    const char *problem = read_quoted(cursor, unit);
    if (problem) {
        return problem;
    }
    if (!consume(cursor, ",")) {
        return "comma expected in REPEAT";
    }
    skip_spaces(cursor);
    problem = read_integer(cursor, &value);
    if (problem) {
        return problem;
    }
    if (!consume(cursor, ")")) {
        return "closing bracket expected in REPEAT";
    }
    if (value < 0 || (uint64_t)value > REPEAT_SIZE_MAX / (unit->length + 1)) {
        return "count of REPEAT out of range";
    }
    *count = (size_t)value;
    return NULL;
}

/* Searches for the raw quote, because in text the same letters are escaped. */
static bool at_repeat(const struct cursor *cursor)
{
    return starts_with(*cursor, "REPEAT(\"");
}

static const char *read_repeat(struct cursor *cursor, struct event_source_text *text)
{
    struct event_source_text unit = {0};
    size_t count = 0;

    consume(cursor, "REPEAT(");
    const char *problem = read_repeat_arguments(cursor, &unit, &count);
    for (size_t done = 0; !problem && done < count; done++) {
        event_source_text_append(text, unit.bytes, unit.length);
    }
    event_source_text_free(&unit);
    return problem;
}

static bool at_value(const struct cursor *cursor)
{
    return starts_with(*cursor, "\"") || at_repeat(cursor);
}

/* Several pieces may follow one another: "a"REPEAT("x",3)"b". */
static const char *read_value(struct cursor *cursor, struct event_source_text *text)
{
    const char *problem = at_value(cursor) ? NULL : "quoted text or REPEAT expected";

    while (!problem && at_value(cursor)) {
        problem = at_repeat(cursor) ? read_repeat(cursor, text) : read_quoted(cursor, text);
    }
    return problem;
}

/* Moves the memory of `text`. */
static struct vector_text take_text(struct event_source_text *text)
{
    event_source_text_append(text, NULL, 0);
    return (struct vector_text){.bytes = text->bytes, .length = text->length, .present = true};
}

static const char *read_text_field(struct cursor *cursor, struct vector_text *field)
{
    struct event_source_text text = {0};

    if (field->present) {
        return "field given twice";
    }
    const char *problem = read_value(cursor, &text);
    *field = take_text(&text);
    return problem;
}

static const char *read_retry(struct cursor *cursor, struct vector_event *event)
{
    if (event->has_retry) {
        return "field given twice";
    }
    event->has_retry = true;
    return read_integer(cursor, &event->retry);
}

static const char *read_field(struct cursor *cursor, struct vector_event *event)
{
    const char *problem;

    if (consume(cursor, "event=")) {
        problem = read_text_field(cursor, &event->type);
    } else if (consume(cursor, "data=")) {
        problem = read_text_field(cursor, &event->data);
    } else if (consume(cursor, "id=")) {
        problem = read_text_field(cursor, &event->id);
    } else if (consume(cursor, "comment=")) {
        problem = read_text_field(cursor, &event->comment);
    } else if (consume(cursor, "retry=")) {
        problem = read_retry(cursor, event);
    } else {
        return "unknown field";
    }
    if (!problem && cursor->at < cursor->end && *cursor->at != ' ' && *cursor->at != ';') {
        return "space or semicolon expected after a field";
    }
    return problem;
}

static const char *read_event(struct cursor *cursor, struct vector_event *event)
{
    const char *problem = NULL;

    skip_spaces(cursor);
    while (!problem && cursor->at < cursor->end && *cursor->at != ';') {
        problem = read_field(cursor, event);
        skip_spaces(cursor);
    }
    return problem;
}

static const char *read_events(struct cursor column, struct vector *vector)
{
    const char *problem;

    do {
        vector->events = resize(vector->events, vector->event_count + 1, sizeof *vector->events);
        struct vector_event *event = &vector->events[vector->event_count++];
        memset(event, 0, sizeof *event);
        problem = read_event(&column, event);
    } while (!problem && consume(&column, ";"));
    return problem;
}

static void add_boundary(struct vector *vector, size_t offset)
{
    vector->boundaries = resize(vector->boundaries, vector->boundary_count + 1, sizeof offset);
    vector->boundaries[vector->boundary_count++] = offset;
}

static const char *read_wire(struct cursor column, struct vector *vector)
{
    struct event_source_text wire = {0};
    const char *problem = NULL;

    while (!problem && column.at < column.end) {
        if (consume(&column, "<|>")) {
            add_boundary(vector, wire.length);
        } else if (at_repeat(&column)) {
            problem = read_repeat(&column, &wire);
        } else if (*column.at == '\\') {
            problem = read_escape(&column, &wire);
        } else {
            event_source_text_append(&wire, column.at++, 1);
        }
    }
    vector->wire = take_text(&wire);
    return problem;
}

/* Reads every quoted text and writes it again, so that two spellings of one byte compare equal. */
static const char *read_dispatch(struct cursor column, struct vector *vector)
{
    struct event_source_text dispatch = {0};
    struct event_source_text value = {0};
    const char *problem = NULL;

    event_source_text_append(&dispatch, NULL, 0);
    while (!problem && column.at < column.end) {
        if (at_value(&column)) {
            event_source_text_clear(&value);
            problem = read_value(&column, &value);
            event_source_text_append_quoted(&dispatch, value.bytes, value.length);
        } else {
            event_source_text_append(&dispatch, column.at++, 1);
        }
    }
    event_source_text_free(&value);
    free(vector->dispatch);
    vector->dispatch = dispatch.bytes;
    return problem;
}

static const char *read_error(struct cursor column, struct vector *vector)
{
    static const struct {
        const char *name;
        int value;
    } errors[] = {
        {"EINVAL", EINVAL},       {"EILSEQ", EILSEQ}, {"ERANGE", ERANGE},   {"EMSGSIZE", EMSGSIZE},
        {"EOVERFLOW", EOVERFLOW}, {"ENOMEM", ENOMEM}, {"ENOBUFS", ENOBUFS}, {"E2BIG", E2BIG},
    };

    consume(&column, "ERR:");
    struct cursor name = {column.at, column.at};
    while (name.end < column.end && *name.end != ';' && *name.end != ' ') {
        name.end++;
    }
    for (size_t index = 0; index < sizeof errors / sizeof errors[0]; index++) {
        if (equals(name, errors[index].name)) {
            vector->expected_error = errors[index].value;
            return NULL;
        }
    }
    return "unknown error name";
}

static bool looks_like_events(struct cursor column)
{
    skip_spaces(&column);
    return starts_with(column, "event=") || starts_with(column, "data=") || starts_with(column, "id=") ||
           starts_with(column, "comment=") || starts_with(column, "retry=");
}

static enum vector_kind row_kind(struct cursor name, struct cursor input, struct cursor dispatch)
{
    if (starts_with(dispatch, "ERR:")) {
        return VECTOR_REJECT;
    }
    if (equals(input, "(raw stream)") || starts_with(name, "raw/") || starts_with(name, "chunk/")) {
        return VECTOR_STREAM;
    }
    if (starts_with(name, "enc/") || starts_with(name, "rej/") || looks_like_events(input)) {
        return VECTOR_ENCODE;
    }
    return VECTOR_OTHER;
}

static const char *read_columns(struct vector *vector, struct cursor input, struct cursor wire,
                                struct cursor dispatch)
{
    const char *problem = read_wire(wire, vector);

    if (!problem && (vector->kind == VECTOR_ENCODE || vector->kind == VECTOR_REJECT)) {
        problem = read_events(input, vector);
    }
    if (!problem && (vector->kind == VECTOR_ENCODE || vector->kind == VECTOR_STREAM)) {
        problem = read_dispatch(dispatch, vector);
    }
    if (!problem && vector->kind == VECTOR_REJECT) {
        problem = read_error(dispatch, vector);
    }
    return problem;
}

/* Returns whether there was another column. */
static bool next_column(struct cursor *line, struct cursor *column)
{
    column->at = line->at;
    column->end = line->at;
    if (!line->at) {
        return false;
    }
    const char *tab = memchr(line->at, '\t', (size_t)(line->end - line->at));
    column->end = tab ? tab : line->end;
    line->at = tab ? tab + 1 : NULL;
    return true;
}

static void read_row(struct cursor line, struct vector *vector)
{
    struct cursor name, input, wire, dispatch, source;

    next_column(&line, &name);
    next_column(&line, &input);
    next_column(&line, &wire);
    bool complete = next_column(&line, &dispatch);
    if (!next_column(&line, &source)) {
        source = (struct cursor){name.end, name.end};
    }
    vector->name = copy(name);
    vector->source = copy(source);
    if (!complete) {
        vector->kind = VECTOR_UNREADABLE;
        vector->problem = "fewer than four columns";
        return;
    }
    vector->input = copy(input);
    vector->dispatch = copy(dispatch);
    vector->kind = row_kind(name, input, dispatch);
    vector->problem = read_columns(vector, input, wire, dispatch);
    if (vector->problem) {
        vector->kind = VECTOR_UNREADABLE;
    }
}

static bool is_row(struct cursor line)
{
    return line.at < line.end && *line.at != '#' && !starts_with(line, "name\t");
}

void vectors_parse(const char *text, size_t length, struct vector **vectors, size_t *count)
{
    struct cursor file = {text, text + length};

    *vectors = NULL;
    *count = 0;
    for (size_t number = 1; file.at < file.end; number++) {
        const char *newline = memchr(file.at, '\n', (size_t)(file.end - file.at));
        struct cursor line = {file.at, newline ? newline : file.end};
        file.at = newline ? newline + 1 : file.end;
        if (line.end > line.at && line.end[-1] == '\r') {
            line.end--;
        }
        if (is_row(line)) {
            *vectors = resize(*vectors, *count + 1, sizeof **vectors);
            struct vector *vector = &(*vectors)[(*count)++];
            *vector = (struct vector){.line = number};
            read_row(line, vector);
        }
    }
}

static int read_file(const char *path, struct event_source_text *text)
{
    char block[4096];
    size_t length;

    FILE *file = fopen(path, "rb");
    if (!file) {
        return -errno;
    }
    event_source_text_append(text, NULL, 0);
    while ((length = fread(block, 1, sizeof block, file)) > 0) {
        event_source_text_append(text, block, length);
    }
    int error = ferror(file) ? -EIO : 0;
    fclose(file);
    return error;
}

int vectors_load(const char *path, struct vector **vectors, size_t *count)
{
    struct event_source_text text = {0};

    int error = read_file(path, &text);
    if (!error) {
        vectors_parse(text.bytes, text.length, vectors, count);
    }
    event_source_text_free(&text);
    return error;
}

static void free_text(struct vector_text *text)
{
    free((void *)text->bytes);
}

void vectors_free(struct vector *vectors, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        struct vector *vector = &vectors[index];
        for (size_t event = 0; event < vector->event_count; event++) {
            free_text(&vector->events[event].type);
            free_text(&vector->events[event].data);
            free_text(&vector->events[event].id);
            free_text(&vector->events[event].comment);
        }
        free(vector->events);
        free_text(&vector->wire);
        free(vector->boundaries);
        free(vector->name);
        free(vector->input);
        free(vector->source);
        free(vector->dispatch);
    }
    free(vectors);
}
