/* SPDX-License-Identifier: MIT */
#ifndef HUB_UTF8_REPAIR_H
#define HUB_UTF8_REPAIR_H

/**
 * Makes UTF-8 of any bytes, one at a time: what is malformed becomes U+FFFD, just as browsers do
 * it (WHATWG Encoding section 8.1.1). All members zero is the beginning of a text.
 */

#include <stddef.h>

/** The most bytes that one call writes: two replacement characters, one for a character that is
 *  cut off, one for the byte that did so. */
#define UTF8_REPAIR_MAX 6

struct utf8_repair {
    unsigned char bytes[4]; /**< of the character that has begun */
    size_t have;
    size_t need;
    unsigned char lowest; /**< bounds of the byte that comes next */
    unsigned char highest;
};

/** Takes a byte; writes the characters that are now whole, and returns their size. */
size_t utf8_repair_byte(struct utf8_repair *repair, unsigned char byte, char *output);

/** The text ends here: writes what stands for a character that is cut off, and returns its size. */
size_t utf8_repair_end(struct utf8_repair *repair, char *output);

#endif
