/* SPDX-License-Identifier: MIT */
#include <sse/http.h>

#include "wire/query.h"
#include "wire/text.h"
#include "wire/utf8.h"

#include <errno.h>

#define CHARACTER_SIZE_MAX 4

static bool name_is(struct sse_text encoded, const char *name)
{
    while (encoded.len > 0 && *name)
        if (sse_query_take_byte(&encoded) != (unsigned char)*name++)
            return false;
    return encoded.len == 0 && !*name;
}

/* The size that the first byte announces. Whether the character is valid is checked later. */
static size_t character_size(int first)
{
    if (first < 0xc0)
        return 1;
    if (first < 0xe0)
        return 2;
    return first < 0xf0 ? 3 : 4;
}

/* Reads one character and decodes it. Returns its size, or -EILSEQ if it is not valid or NUL. */
static int take_character(struct sse_text *rest, unsigned char character[CHARACTER_SIZE_MAX])
{
    size_t size = 1;

    for (size_t i = 0; i < size; i++) {
        int byte = rest->len > 0 ? sse_query_take_byte(rest) : 0;
        if (byte <= 0)
            return -EILSEQ;
        if (i == 0)
            size = character_size(byte);
        character[i] = (unsigned char)byte;
    }
    return sse_utf8_is_valid(character, size) ? (int)size : -EILSEQ;
}

static int decode(struct sse_text encoded, struct text_writer *writer)
{
    while (encoded.len > 0) {
        unsigned char character[CHARACTER_SIZE_MAX];
        int size = take_character(&encoded, character);
        if (size < 0)
            return size;
        sse_text_write(writer, (struct sse_text){.ptr = (const char *)character, .len = (size_t)size});
    }
    return 0;
}

static ssize_t copy_decoded(struct sse_text encoded, void *buffer, size_t size)
{
    struct text_writer counter = {0};
    struct text_writer writer = {.buffer = buffer};
    int error = decode(encoded, &counter);

    if (!error && counter.length <= size)
        error = decode(encoded, &writer);
    return error ? error : (ssize_t)counter.length;
}

ssize_t sse_http_parameter(struct sse_text query, const char *name, size_t index, void *buffer, size_t size)
{
    struct query_parameter parameter;

    if (!name || (!buffer && size > 0) || sse_text_is_broken(query))
        return -EINVAL;
    while (sse_query_next(&query, &parameter))
        if (name_is(parameter.name, name) && index-- == 0)
            return copy_decoded(parameter.value, buffer, size);
    return -ENOENT;
}
