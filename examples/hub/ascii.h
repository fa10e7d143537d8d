/* SPDX-License-Identifier: MIT */
#ifndef HUB_ASCII_H
#define HUB_ASCII_H

/** Functions for text in bytes and ASCII. */

#include <sse/base.h>
#include <stdbool.h>
#include <stdint.h>

bool ascii_equals(struct sse_text text, const char *expected);
bool ascii_equals_ignoring_case(struct sse_text text, const char *expected);

/** Removes space and tab at both ends. */
struct sse_text ascii_trim(struct sse_text text);

/** Whether every byte is one of `0` to `9`, and there is at least one. */
bool ascii_is_digits(struct sse_text text);

/** Reads decimal digits and nothing else. Returns false if the text is not such a number, or the number is over
 *  `maximum`. */
bool ascii_to_number(struct sse_text text, uint64_t maximum, uint64_t *number);

/** Whether a byte may stand in an HTTP token: RFC 9110 section 5.6.2. */
bool ascii_is_token_byte(char byte);

/** The value of a hexadecimal digit, or -1. */
int ascii_hex_value(char digit);

/** Splits `rest` at the next `separator`, or takes all of it if there is none. Returns false if `rest` is empty. */
bool ascii_next_part(struct sse_text *rest, char separator, struct sse_text *part);

#endif
