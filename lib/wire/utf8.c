/* SPDX-License-Identifier: MIT */
#include "wire/utf8.h"

#include <stdint.h>
#include <string.h>

/* Most text is ASCII: four words at a time, which compilers turn into vectors, then one. */
static const unsigned char *skip_ascii(const unsigned char *at, const unsigned char *end)
{
    uint64_t words[4];
    uint64_t word;

    while (end - at >= (ptrdiff_t)sizeof(words)) {
        memcpy(words, at, sizeof(words));
        if ((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080))
            break;
        at += sizeof(words);
    }
    while (end - at >= (ptrdiff_t)sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        if (word & UINT64_C(0x8080808080808080))
            break;
        at += sizeof(word);
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The length of the sequence that begins here with a byte over 0x7f, or 0 if it is not valid. */
static size_t sequence_length(const unsigned char *at, size_t left)
{
    unsigned char lead = at[0];

    if (lead < 0xc2 || left < 2 || !is_continuation(at[1]))
        return 0;
    if (lead < 0xe0)
        return 2;
    if (left < 3 || !is_continuation(at[2]))
        return 0;
    if (lead < 0xf0) {
        bool overlong = lead == 0xe0 && at[1] < 0xa0;
        bool surrogate = lead == 0xed && at[1] > 0x9f;

        return overlong || surrogate ? 0 : 3;
    }
    if (lead > 0xf4 || left < 4 || !is_continuation(at[3]))
        return 0;
    if ((lead == 0xf0 && at[1] < 0x90) || (lead == 0xf4 && at[1] > 0x8f))
        return 0;
    return 4;
}

bool sse_utf8_is_valid(const unsigned char *bytes, size_t length)
{
    const unsigned char *at = bytes;
    const unsigned char *end = bytes + length;

    for (;;) {
        size_t step;

        at = skip_ascii(at, end);
        if (at == end)
            return true;
        step = sequence_length(at, (size_t)(end - at));
        if (!step)
            return false;
        at += step;
    }
}
