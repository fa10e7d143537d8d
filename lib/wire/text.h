/* SPDX-License-Identifier: MIT */
#ifndef WIRE_TEXT_H
#define WIRE_TEXT_H

/* Functions on texts for the wire layer. Only ASCII letters are letters, whatever the locale of the program is. */

#include <sse/base.h>
#include <stdbool.h>

/*
 * A writer of text. The same code runs twice: first without a buffer, to find out the length, then with a buffer
 * that is known to be large enough.
 */
struct text_writer {
    char *buffer; /* NULL: only counts, and reads no text */
    size_t length;
    bool overflow; /* the length would be above SSIZE_MAX */
};

void sse_text_write(struct text_writer *writer, struct sse_text text);

/* The most digits that sse_text_decimal writes. */
#define TEXT_DECIMAL_SIZE 20

/* Writes a number in decimal, at the end of `digits`. */
struct sse_text sse_text_decimal(uint64_t number, char digits[TEXT_DECIMAL_SIZE]);

/* Whether a text has a length and no pointer. Every public function refuses it. */
static inline bool sse_text_is_broken(struct sse_text text)
{
    return !text.ptr && text.len > 0;
}

/* The text without the spaces and tabs at its ends; never with a null pointer. */
struct sse_text sse_text_trim(struct sse_text text);

unsigned char sse_text_lower_case(unsigned char byte);

/* Compares with a text that is in lower case already. */
bool sse_text_equals_ignoring_case(struct sse_text text, const char *lower_case);

/* How many bytes at the start belong to a token: RFC 9110 section 5.6.2. */
size_t sse_text_token_length(struct sse_text text);

/* The following functions remove what they have read from the front of `rest`. */

struct sse_text sse_text_take(struct sse_text *rest, size_t length);

/* Reads the byte if it is the next one. */
bool sse_text_take_byte(struct sse_text *rest, char byte);

/* Reads the text up to a separator, and the separator. Without a separator, reads all of it. */
struct sse_text sse_text_take_until(struct sse_text *rest, char separator);

#endif
