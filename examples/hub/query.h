/* SPDX-License-Identifier: MIT */
#ifndef HUB_QUERY_H
#define HUB_QUERY_H

/** Reads the parameters of a query one by one, decoded as forms encode them: WHATWG URL section 5.1. */

#include "request.h"

struct query {
    struct sse_str rest;
    size_t length;
    char decoded[REQUEST_HEAD_MAX]; /**< decoding never makes a text longer */
};

struct query_parameter {
    struct sse_str name;
    struct sse_str value; /**< never absent: `id` and `id=` are the same */
};

/** `text` must live as long as `query` is read, and is no longer than a head. */
void query_begin(struct query *query, struct sse_str text);

/**
 * Decodes the next parameter. Returns 1, 0 at the end, or -EINVAL for a broken escape. The texts
 * live as long as `query`.
 */
int query_next(struct query *query, struct query_parameter *parameter);

#endif
