/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "ascii.h"

#include <inttypes.h>
#include <stdio.h>

#define MARK_DIGITS 8

bool place_parse_mark(struct sse_text text, uint32_t *mark)
{
    uint32_t parsed = 0;

    if (text.len != MARK_DIGITS)
        return false;
    for (size_t i = 0; i < MARK_DIGITS; i++) {
        int digit = ascii_hex_value(text.ptr[i]);

        if (digit < 0)
            return false;
        parsed = parsed << 4 | (uint32_t)digit;
    }
    *mark = parsed;
    return parsed != 0;
}

bool place_parse(struct sse_text text, struct place *place)
{
    const char *end = text.len ? text.ptr + text.len : NULL;
    struct place parsed = {.mark = 0};
    struct sse_text part;

    if (!ascii_next_part(&text, '-', &part) || !ascii_to_number(part, UINT64_MAX, &parsed.milliseconds))
        return false;
    if (!ascii_next_part(&text, '-', &part) || !ascii_to_number(part, UINT64_MAX, &parsed.sequence))
        return false;
    if (part.ptr + part.len < end && !place_parse_mark(text, &parsed.mark))
        return false;
    *place = parsed;
    return true;
}

const char *place_format_for_redis(struct place place, char *text)
{
    snprintf(text, PLACE_SIZE, "%" PRIu64 "-%" PRIu64, place.milliseconds, place.sequence);
    return text;
}

const char *place_format(struct place place, char *text)
{
    size_t length;

    place_format_for_redis(place, text);
    length = strlen(text);
    if (place.mark)
        snprintf(text + length, PLACE_SIZE - length, "-%08" PRIx32, place.mark);
    return text;
}

int place_compare(struct place left, struct place right)
{
    if (left.milliseconds != right.milliseconds)
        return left.milliseconds < right.milliseconds ? -1 : 1;
    return (left.sequence > right.sequence) - (left.sequence < right.sequence);
}

bool place_is_same(struct place left, struct place right)
{
    return !place_compare(left, right) && left.mark == right.mark;
}

struct place place_before(struct place place)
{
    if (place.sequence)
        return (struct place){.milliseconds = place.milliseconds, .sequence = place.sequence - 1};
    return (struct place){.milliseconds = place.milliseconds - 1, .sequence = UINT64_MAX};
}
