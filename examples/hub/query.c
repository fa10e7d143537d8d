/* SPDX-License-Identifier: MIT */
#include "query.h"

#include "ascii.h"

#include <errno.h>

void query_begin(struct query *query, struct sse_str text)
{
    query->rest = text;
    query->length = 0;
}

/** Takes what lies before `separator`, or all if there is none. */
static struct sse_str split(struct sse_str *rest, char separator)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct sse_str part = *rest;

    if (end) {
        part.len = (size_t)(end - rest->ptr);
        rest->ptr = end + 1;
        rest->len -= part.len + 1;
    } else {
        rest->ptr += rest->len;
        rest->len = 0;
    }
    return part;
}

static int decode(struct query *query, struct sse_str text, struct sse_str *decoded)
{
    decoded->ptr = query->decoded + query->length;
    for (size_t i = 0; i < text.len; ++i) {
        char byte = text.ptr[i];

        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            int high = text.len - i > 2 ? ascii_hex_value(text.ptr[i + 1]) : -1;
            int low = text.len - i > 2 ? ascii_hex_value(text.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -EINVAL;
            byte = (char)(high * 16 + low);
            i += 2;
        }
        query->decoded[query->length++] = byte;
    }
    decoded->len = (size_t)(query->decoded + query->length - decoded->ptr);
    return 0;
}

int query_next(struct query *query, struct query_parameter *parameter)
{
    while (query->rest.len > 0) {
        struct sse_str value = split(&query->rest, '&');
        struct sse_str name;

        if (value.len == 0)
            continue;
        name = split(&value, '=');
        if (decode(query, name, &parameter->name) < 0 || decode(query, value, &parameter->value) < 0)
            return -EINVAL;
        return 1;
    }
    return 0;
}
