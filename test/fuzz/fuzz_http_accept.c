/* SPDX-License-Identifier: MIT */
/* Compares sse_http_accepts with a reader of Accept that follows RFC 9110, sections 5.6 and 12.5.1, in two steps:
 * first all ranges, then the one that decides. */

#include "input.h"

#include <sse/http.h>
#include <strings.h>

#define RANGES_MAX 4096

struct range {
    int closeness; /* 3: text/event-stream; 2: text/any; 1: any/any; 0: none of them */
    bool is_zero;
};

struct reader {
    const char *at, *end;
};

static bool take(struct reader *reader, char byte)
{
    if (reader->at == reader->end || *reader->at != byte)
        return false;
    reader->at++;
    return true;
}

static void skip_blanks(struct reader *reader)
{
    while (take(reader, ' ') || take(reader, '\t')) {
    }
}

static bool is_tchar(char byte)
{
    static const char all[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    return memchr(all, byte, sizeof(all) - 1) != NULL;
}

static struct sse_text take_token(struct reader *reader)
{
    struct sse_text token = {.ptr = reader->at};

    while (reader->at < reader->end && is_tchar(*reader->at))
        reader->at++;
    token.len = (size_t)(reader->at - token.ptr);
    return token;
}

static bool is_word(struct sse_text text, const char *word)
{
    return text.len == strlen(word) && !strncasecmp(text.ptr, word, text.len);
}

/* Starts after the opening quote. Copies the quoted text. Returns false if it has no end; then everything that
 * follows is in it. */
static bool take_quoted(struct reader *reader, char *content, size_t *length)
{
    for (*length = 0; reader->at < reader->end; reader->at++) {
        if (*reader->at == '"') {
            reader->at++;
            return true;
        }
        if (*reader->at == '\\' && ++reader->at == reader->end)
            return false;
        content[(*length)++] = *reader->at;
    }
    return false;
}

/* A number from 0 to 1, with any number of decimals, and none before the point. */
static bool read_weight(struct sse_text text, bool *is_zero)
{
    size_t at = text.len && (text.ptr[0] == '0' || text.ptr[0] == '1'), digits = at;
    bool whole = at && text.ptr[0] == '1', part = false;

    if (at < text.len && text.ptr[at] != '.')
        return false;
    for (at += at < text.len; at < text.len; at++, digits++) {
        if (text.ptr[at] < '0' || text.ptr[at] > '9')
            return false;
        part |= text.ptr[at] != '0';
    }
    *is_zero = !whole && !part;
    return digits && !(whole && part);
}

/* `room` holds any part of the header. */
static bool take_parameter(struct reader *reader, struct range *range, char *room)
{
    struct sse_text name = take_token(reader), value = {.ptr = room};
    bool quoted;

    if (!name.len || !take(reader, '='))
        return false;
    quoted = take(reader, '"');
    if (quoted && !take_quoted(reader, room, &value.len))
        return false;
    if (!quoted && !(value = take_token(reader)).len)
        return false;
    if (is_word(name, "q"))
        return !quoted && read_weight(value, &range->is_zero);
    if (!is_word(name, "charset") || !is_word(value, "utf-8"))
        range->closeness = 0;
    return true;
}

static int closeness_of(struct sse_text type, struct sse_text subtype)
{
    if (is_word(type, "text") && is_word(subtype, "event-stream"))
        return 3;
    if (is_word(type, "text") && is_word(subtype, "*"))
        return 2;
    return is_word(type, "*") && is_word(subtype, "*");
}

/* One element of the list, without blanks around it. */
static bool read_range(struct reader element, struct range *range, char *room)
{
    struct sse_text type = take_token(&element), subtype;

    if (!type.len || !take(&element, '/'))
        return false;
    subtype = take_token(&element);
    *range = (struct range){.closeness = closeness_of(type, subtype)};
    if (!subtype.len)
        return false;
    for (;;) {
        skip_blanks(&element);
        if (element.at == element.end)
            return true;
        if (!take(&element, ';'))
            return false;
        skip_blanks(&element);
        if (element.at < element.end && *element.at != ';' && !take_parameter(&element, range, room))
            return false;
    }
}

/* Commas in quotes do not separate elements. */
static struct reader take_element(struct reader *list, char *room)
{
    struct reader element = *list;
    size_t length;

    while (list->at < list->end && *list->at != ',')
        if (take(list, '"'))
            (void)take_quoted(list, room, &length);
        else
            list->at++;
    element.end = list->at;
    (void)take(list, ',');
    skip_blanks(&element);
    while (element.end > element.at && (element.end[-1] == ' ' || element.end[-1] == '\t'))
        element.end--;
    return element;
}

static bool model(struct sse_text accept, char *room)
{
    static struct range ranges[RANGES_MAX];
    struct reader list = {.at = accept.ptr, .end = accept.ptr + accept.len};
    int closest = 0;
    size_t count = 0;

    while (list.at < list.end && count < RANGES_MAX)
        count += read_range(take_element(&list, room), &ranges[count], room);
    for (size_t i = 0; i < count; i++)
        closest = ranges[i].closeness > closest ? ranges[i].closeness : closest;
    for (size_t i = 0; i < count && closest; i++)
        if (ranges[i].closeness == closest && !ranges[i].is_zero)
            return true;
    return !count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_texts texts = {.blocks = NULL};
    struct sse_text accept;

    if (size >= RANGES_MAX)
        return 0;
    accept = fuzz_copy(&texts, data, size);
    fuzz_expect(sse_http_accepts(accept) == model(accept, fuzz_room(&texts, size)),
                "the library and the model differ");
    fuzz_expect(sse_http_accepts((struct sse_text){.ptr = NULL}), "an absent header admits nothing");
    fuzz_texts_free(&texts);
    return 0;
}
