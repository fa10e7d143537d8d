/* SPDX-License-Identifier: MIT */
#include "ascii.h"

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

bool ascii_equals(struct sse_text text, const char *expected)
{
    return text.len == strlen(expected) && (text.len == 0 || memcmp(text.ptr, expected, text.len) == 0);
}

bool ascii_equals_ignoring_case(struct sse_text text, const char *expected)
{
    if (text.len != strlen(expected))
        return false;
    for (size_t i = 0; i < text.len; ++i) {
        if (lower(text.ptr[i]) != lower(expected[i]))
            return false;
    }
    return true;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct sse_text ascii_trim(struct sse_text text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        ++text.ptr;
        --text.len;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        --text.len;
    return text;
}

bool ascii_is_digits(struct sse_text text)
{
    for (size_t i = 0; i < text.len; ++i) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    }
    return text.len > 0;
}

bool ascii_to_number(struct sse_text text, uint64_t maximum, uint64_t *number)
{
    uint64_t value = 0;

    if (!ascii_is_digits(text))
        return false;
    for (size_t i = 0; i < text.len; ++i) {
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');

        if (digit > maximum || value > (maximum - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

bool ascii_is_token_byte(char byte)
{
    if ((byte >= '0' && byte <= '9') || (lower(byte) >= 'a' && lower(byte) <= 'z'))
        return true;
    return byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL;
}

int ascii_hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (lower(digit) >= 'a' && lower(digit) <= 'f')
        return lower(digit) - 'a' + 10;
    return -1;
}

bool ascii_next_part(struct sse_text *rest, char separator, struct sse_text *part)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    size_t used;

    if (rest->len == 0)
        return false;
    *part = *rest;
    if (end)
        part->len = (size_t)(end - rest->ptr);
    used = end ? part->len + 1 : part->len;
    rest->ptr += used;
    rest->len -= used;
    return true;
}
