/* SPDX-License-Identifier: MIT */
#ifndef WIRE_HTTP_OPTIONS_H
#define WIRE_HTTP_OPTIONS_H

#include <sse/http.h>

/**
 * Copies options of any version and checks them, except `version` and `chunked`, which the table of
 * fields ignores. NULL gives the defaults. Returns 0 or an error of sse_http_head.
 */
int sse_http_options_read(struct sse_http_options *to, const struct sse_http_options *from);

/** The same for a response that is written to a buffer. It also checks the version and the buffer. */
int sse_http_options_read_for(struct sse_http_options *to, const struct sse_http_options *from,
                              const void *buffer, size_t size);

static inline bool sse_http_origin_is_any(struct sse_text origin)
{
    return origin.len == 1 && origin.ptr[0] == '*';
}

#endif
