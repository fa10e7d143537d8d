/* SPDX-License-Identifier: MIT */
#ifndef WIRE_WORDS_H
#define WIRE_WORDS_H

/*
 * Checks text in words of eight bytes, and in blocks of words, which compilers turn into vectors. Most text is
 * ASCII without control bytes, and finding that out is most of the cost of an event.
 */

#include <sse/base.h>
#include <stdbool.h>

#define WORD_SIZE ((ptrdiff_t)sizeof(uint64_t))
#define WORD_BLOCK_SIZE (4 * WORD_SIZE)
#define WORD_OF(byte) (UINT64_C(0x0101010101010101) * (byte))
#define WORD_TOP_BITS WORD_OF(0x80)

static inline uint64_t sse_word_at(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

/* A word with all bytes of a text of 1 to 7 bytes, some of them twice, and the digit 0 in the rest. */
static inline uint64_t sse_word_of_short(struct sse_text text)
{
    uint64_t word = WORD_OF('0');
    size_t half = sizeof(word) / 2;

    if (text.len >= half) {
        memcpy(&word, text.ptr, half);
        memcpy((char *)&word + half, text.ptr + text.len - half, half);
    } else {
        memcpy(&word, text.ptr, 1);
        memcpy((char *)&word + 1, text.ptr + text.len / 2, 1);
        memcpy((char *)&word + 2, text.ptr + text.len - 1, 1);
    }
    return word;
}

/*
 * The result has a top bit set if any byte is below `lowest` or above `highest`, which must not be above 0x7f. It
 * does not say which byte, because a subtraction borrows from the next byte.
 */
static inline uint64_t sse_word_outside(uint64_t word, unsigned lowest, unsigned highest)
{
    return (word - WORD_OF(lowest)) | (word + WORD_OF(0x7f - highest)) | word;
}

static inline uint64_t sse_word_block_outside(const char *at, unsigned lowest, unsigned highest)
{
    uint64_t outside = 0;

    for (size_t i = 0; i < WORD_BLOCK_SIZE; i += sizeof(uint64_t))
        outside |= sse_word_outside(sse_word_at(at + i), lowest, highest);
    return outside & WORD_TOP_BITS;
}

/* Written out, because gcc 12 does not turn a loop into vectors, which would be three times slower. */
static inline bool sse_word_block_is_ascii(const char *at)
{
    uint64_t words = sse_word_at(at) | sse_word_at(at + WORD_SIZE) | sse_word_at(at + 2 * WORD_SIZE) |
                     sse_word_at(at + 3 * WORD_SIZE);

    return !(words & WORD_TOP_BITS);
}

/* Whether all bytes are from `lowest` to `highest`, which must not be above 0x7f. */
static inline bool sse_words_within(struct sse_text text, unsigned lowest, unsigned highest)
{
    const char *at = text.ptr, *end;
    uint64_t outside = 0;

    if (text.len < sizeof(uint64_t))
        return !text.len || !(sse_word_outside(sse_word_of_short(text), lowest, highest) & WORD_TOP_BITS);
    end = at + text.len;
    for (; end - at >= WORD_BLOCK_SIZE; at += WORD_BLOCK_SIZE)
        if (sse_word_block_outside(at, lowest, highest))
            return false;
    for (; end - at > WORD_SIZE; at += WORD_SIZE)
        outside |= sse_word_outside(sse_word_at(at), lowest, highest);
    outside |= sse_word_outside(sse_word_at(end - WORD_SIZE), lowest, highest);
    return !(outside & WORD_TOP_BITS);
}

#endif
