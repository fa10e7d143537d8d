/* SPDX-License-Identifier: MIT */
#include "wire/utf8.h"

#include "wire/words.h"

static const unsigned char *skip_ascii(const unsigned char *at, const unsigned char *end)
{
    while (end - at >= WORD_BLOCK_SIZE && sse_word_block_is_ascii((const char *)at))
        at += WORD_BLOCK_SIZE;
    while (end - at >= WORD_SIZE && !(sse_word_at((const char *)at) & WORD_TOP_BITS))
        at += WORD_SIZE;
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

    while (at < end) {
        size_t step;

        if (*at < 0x80) {
            at = skip_ascii(at, end);
            continue;
        }
        step = sequence_length(at, (size_t)(end - at));
        if (!step)
            return false;
        at += step;
    }
    return true;
}
