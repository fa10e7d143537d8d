/* SPDX-License-Identifier: MIT */
#include "input.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define REPEATED_FROM 240
#define PATTERN_SIZE 16

void fuzz_expect(bool holds, const char *format, ...)
{
    va_list arguments;

    if (holds)
        return;
    fprintf(stderr, "fuzz: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    abort();
}

uint8_t fuzz_byte(struct fuzz_input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

unsigned fuzz_below(struct fuzz_input *input, unsigned bound)
{
    return fuzz_byte(input) % bound;
}

bool fuzz_one_in(struct fuzz_input *input, unsigned times)
{
    return input->at < input->end && fuzz_below(input, times) == times - 1;
}

uint64_t fuzz_number(struct fuzz_input *input, unsigned bytes)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)fuzz_byte(input) << 8 * i;
    return number;
}

void *fuzz_room(struct fuzz_texts *texts, size_t size)
{
    void *block = calloc(1, size ? size : 1);

    if (texts->count == texts->capacity) {
        texts->capacity = texts->capacity ? 2 * texts->capacity : 16;
        texts->blocks = realloc(texts->blocks, texts->capacity * sizeof(*texts->blocks));
    }
    if (!block || !texts->blocks)
        abort();
    texts->blocks[texts->count++] = block;
    return block;
}

struct sse_text fuzz_copy(struct fuzz_texts *texts, const void *bytes, size_t size)
{
    char *copy = fuzz_room(texts, size);

    if (size)
        memcpy(copy, bytes, size);
    return (struct sse_text){.ptr = copy, .len = size};
}

static struct sse_text take(struct fuzz_input *input, struct fuzz_texts *texts, size_t size)
{
    size_t left = (size_t)(input->end - input->at);
    struct sse_text text = fuzz_copy(texts, input->at, size < left ? size : left);

    input->at += text.len;
    return text;
}

static struct sse_text repeat(struct fuzz_texts *texts, struct sse_text pattern, size_t size)
{
    char *bytes = fuzz_room(texts, size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern.len ? pattern.ptr[i % pattern.len] : 'x';
    return (struct sse_text){.ptr = bytes, .len = size};
}

struct sse_text fuzz_text(struct fuzz_input *input, struct fuzz_texts *texts)
{
    size_t size = fuzz_byte(input);

    if (size < REPEATED_FROM)
        return take(input, texts, size);
    return repeat(texts, take(input, texts, PATTERN_SIZE), (size - REPEATED_FROM + 1) * 256 + size % 7);
}

struct sse_text fuzz_rest(struct fuzz_input *input, struct fuzz_texts *texts)
{
    return take(input, texts, SIZE_MAX);
}

void fuzz_texts_free(struct fuzz_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->blocks[i]);
    free(texts->blocks);
    *texts = (struct fuzz_texts){.blocks = NULL};
}

bool fuzz_same(struct sse_text left, struct sse_text right)
{
    return left.len == right.len && (!left.len || !memcmp(left.ptr, right.ptr, left.len));
}
