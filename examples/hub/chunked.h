/* SPDX-License-Identifier: MIT */
#ifndef HUB_CHUNKED_H
#define HUB_CHUNKED_H

/** Decodes a chunked body strictly: RFC 9112 section 7.1. Extensions and trailers are skipped. */

#include "buffer.h"

#include <stdint.h>

enum chunked_state {
    CHUNKED_SIZE = 0,
    CHUNKED_EXTENSION,
    CHUNKED_SIZE_LF,
    CHUNKED_DATA,
    CHUNKED_DATA_CR,
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER_START,
    CHUNKED_TRAILER,
    CHUNKED_TRAILER_LF,
    CHUNKED_END_LF
};

/** The state at the beginning has all members zero. */
struct chunked {
    enum chunked_state state;
    size_t left;        /**< bytes of this chunk that are still missing */
    unsigned digits;    /**< digits of this chunk's size so far */
    size_t passed_over; /**< bytes of extensions and trailers */
};

/**
 * Appends the decoded bytes. Returns 0 if more are needed, 1 at the end of the body (later bytes are ignored),
 * otherwise an HTTP status: 400, or 413 if the body is larger than `limit`.
 */
int chunked_feed(struct chunked *chunked, const char *bytes, size_t size, struct buffer *body, size_t limit);

#endif
