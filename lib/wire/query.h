/* SPDX-License-Identifier: MIT */
#ifndef WIRE_QUERY_H
#define WIRE_QUERY_H

/*
 * The query of a target, as the WHATWG URL standard reads application/x-www-form-urlencoded. Readers take
 * what they have read off the front of `rest`.
 */

#include <sse/base.h>
#include <stdbool.h>

/* Both still encoded. */
struct query_parameter {
    struct sse_text name;
    struct sse_text value;
};

/* Takes the next parameter, or returns false after the last one. */
bool sse_query_next(struct sse_text *rest, struct query_parameter *parameter);

/*
 * Takes one byte of a text that is not empty, and returns it decoded. Returns -1 if a percent sign has no
 * two digits behind it; then it takes the percent sign alone.
 */
int sse_query_take_byte(struct sse_text *rest);

#endif
