/* SPDX-License-Identifier: MIT */
#ifndef WIRE_QUERY_H
#define WIRE_QUERY_H

/*
 * Reads the query of a target, as the WHATWG URL standard reads application/x-www-form-urlencoded. The functions
 * remove what they have read from the front of `rest`.
 */

#include <sse/base.h>
#include <stdbool.h>

/* A parameter. Both texts are still encoded. */
struct query_parameter {
    struct sse_text name;
    struct sse_text value;
};

/* Reads the next parameter, or returns false after the last one. */
bool sse_query_next(struct sse_text *rest, struct query_parameter *parameter);

/*
 * Reads one byte of a text that is not empty, and returns it decoded. If a percent sign does not have two digits
 * behind it, reads only the percent sign and returns -1.
 */
int sse_query_take_byte(struct sse_text *rest);

#endif
