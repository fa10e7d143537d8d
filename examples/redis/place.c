/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "ascii.h"

#include <inttypes.h>
#include <stdio.h>

bool place_parse(struct sse_text text, struct place *place)
{
    const char *dash = text.len ? memchr(text.ptr, '-', text.len) : NULL;
    struct sse_text milliseconds, sequence;
    struct place parsed;

    if (!dash)
        return false;
    milliseconds = (struct sse_text){text.ptr, (size_t)(dash - text.ptr)};
    sequence = (struct sse_text){dash + 1, text.len - milliseconds.len - 1};
    if (!ascii_to_number(milliseconds, UINT64_MAX, &parsed.milliseconds) ||
        !ascii_to_number(sequence, UINT64_MAX, &parsed.sequence))
        return false;
    *place = parsed;
    return true;
}

const char *place_format(struct place place, char *text)
{
    snprintf(text, PLACE_SIZE, "%" PRIu64 "-%" PRIu64, place.milliseconds, place.sequence);
    return text;
}

int place_compare(struct place left, struct place right)
{
    if (left.milliseconds != right.milliseconds)
        return left.milliseconds < right.milliseconds ? -1 : 1;
    return (left.sequence > right.sequence) - (left.sequence < right.sequence);
}

struct place place_before(struct place place)
{
    if (place.sequence)
        return (struct place){place.milliseconds, place.sequence - 1};
    return (struct place){place.milliseconds - 1, UINT64_MAX};
}
