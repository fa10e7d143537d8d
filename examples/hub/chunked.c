/* SPDX-License-Identifier: MIT */
#include "chunked.h"

#include "ascii.h"

#define BODY_COMPLETE 1
#define DIGITS_MAX 16
#define PASSED_OVER_MAX 8192

static int take_size_digit(struct chunked *chunked, char byte, size_t limit)
{
    int value = ascii_hex_value(byte);

    if (value < 0 || ++chunked->digits > DIGITS_MAX)
        return 400;
    if (chunked->left > (SIZE_MAX - (size_t)value) / 16)
        return 413;
    chunked->left = chunked->left * 16 + (size_t)value;
    return chunked->left > limit ? 413 : 0;
}

static int take_size_byte(struct chunked *chunked, char byte, size_t limit)
{
    if (chunked->digits > 0 && byte == '\r')
        chunked->state = CHUNKED_SIZE_LF;
    else if (chunked->digits > 0 && byte == ';')
        chunked->state = CHUNKED_EXTENSION;
    else
        return take_size_digit(chunked, byte, limit);
    return 0;
}

/** Reads a byte of an extension or a trailer. CR ends it and leads to the state `after`. */
static int pass_over(struct chunked *chunked, char byte, enum chunked_state after)
{
    unsigned char code = (unsigned char)byte;

    if (byte == '\r') {
        chunked->state = after;
        return 0;
    }
    if ((code < 0x20 && byte != '\t') || code == 0x7f)
        return 400;
    return ++chunked->passed_over > PASSED_OVER_MAX ? 413 : 0;
}

static int expect(struct chunked *chunked, char byte, char expected, enum chunked_state after)
{
    chunked->state = after;
    return byte == expected ? 0 : 400;
}

static int take_byte(struct chunked *chunked, char byte, size_t limit)
{
    switch (chunked->state) {
    case CHUNKED_SIZE:
        return take_size_byte(chunked, byte, limit);
    case CHUNKED_EXTENSION:
        return pass_over(chunked, byte, CHUNKED_SIZE_LF);
    case CHUNKED_SIZE_LF:
        chunked->digits = 0;
        return expect(chunked, byte, '\n', chunked->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER_START);
    case CHUNKED_DATA_CR:
        return expect(chunked, byte, '\r', CHUNKED_DATA_LF);
    case CHUNKED_DATA_LF:
        return expect(chunked, byte, '\n', CHUNKED_SIZE);
    case CHUNKED_TRAILER_START:
        chunked->state = CHUNKED_TRAILER;
        return pass_over(chunked, byte, CHUNKED_END_LF);
    case CHUNKED_TRAILER:
        return pass_over(chunked, byte, CHUNKED_TRAILER_LF);
    case CHUNKED_TRAILER_LF:
        return expect(chunked, byte, '\n', CHUNKED_TRAILER_START);
    default:
        return byte == '\n' ? BODY_COMPLETE : 400;
    }
}

int chunked_feed(struct chunked *chunked, const char *bytes, size_t size, struct buffer *body, size_t limit)
{
    for (size_t used = 0; used < size;) {
        size_t room = size - used < chunked->left ? size - used : chunked->left;
        int status;

        if (chunked->state != CHUNKED_DATA) {
            status = take_byte(chunked, bytes[used++], limit);
            if (status != 0)
                return status;
            continue;
        }
        if (room > limit - body->length)
            return 413;
        buffer_append(body, bytes + used, room);
        used += room;
        chunked->left -= room;
        if (chunked->left == 0)
            chunked->state = CHUNKED_DATA_CR;
    }
    return 0;
}
