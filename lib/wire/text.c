/* SPDX-License-Identifier: MIT */
#include "wire/text.h"

#include <limits.h>

void sse_text_write(struct text_writer *writer, struct sse_text text)
{
    if (writer->overflow || text.len > (size_t)SSIZE_MAX - writer->length) {
        writer->overflow = true;
        return;
    }
    if (writer->buffer && text.len > 0)
        memcpy(writer->buffer + writer->length, text.ptr, text.len);
    writer->length += text.len;
}

struct sse_text sse_text_decimal(uint64_t number, char digits[TEXT_DECIMAL_SIZE])
{
    size_t start = TEXT_DECIMAL_SIZE;

    do {
        digits[--start] = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number > 0);
    return (struct sse_text){.ptr = digits + start, .len = TEXT_DECIMAL_SIZE - start};
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct sse_text sse_text_trim(struct sse_text text)
{
    if (!text.ptr)
        return sse_str("");
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    while (text.len > 0 && is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    return text;
}

unsigned char sse_text_lower_case(unsigned char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return (unsigned char)(byte - 'A' + 'a');
    return byte;
}

bool sse_text_equals_ignoring_case(struct sse_text text, const char *lower_case)
{
    if (text.len != strlen(lower_case))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (sse_text_lower_case((unsigned char)text.ptr[i]) != (unsigned char)lower_case[i])
            return false;
    return true;
}

static bool is_token_byte(unsigned char byte)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    unsigned char lower = sse_text_lower_case(byte);

    if ((lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9'))
        return true;
    return memchr(marks, byte, sizeof(marks) - 1) != NULL;
}

size_t sse_text_token_length(struct sse_text text)
{
    size_t length = 0;

    while (length < text.len && is_token_byte((unsigned char)text.ptr[length]))
        length++;
    return length;
}

struct sse_text sse_text_take(struct sse_text *rest, size_t length)
{
    struct sse_text taken = {.ptr = rest->ptr, .len = length};

    rest->ptr += length;
    rest->len -= length;
    return taken;
}

bool sse_text_take_byte(struct sse_text *rest, char byte)
{
    if (rest->len == 0 || rest->ptr[0] != byte)
        return false;
    sse_text_take(rest, 1);
    return true;
}

struct sse_text sse_text_take_until(struct sse_text *rest, char separator)
{
    const char *found = memchr(rest->ptr, separator, rest->len);
    struct sse_text taken = sse_text_take(rest, found ? (size_t)(found - rest->ptr) : rest->len);

    sse_text_take_byte(rest, separator);
    return taken;
}
