/* SPDX-License-Identifier: MIT */
#include <sse/http.h>

#include "wire/query.h"
#include "wire/text.h"

#include <errno.h>
#include <limits.h>

/* A shortened id must not be mistaken for another id. No id contains a NUL. */
static void spoil(char *buffer, size_t size)
{
    buffer[size - 1] = '\0';
}

/*
 * Decodes as much as fits into the buffer. A broken percent encoding stands for itself, as in browsers, because an
 * id is only compared and never refused.
 */
static size_t decode(struct sse_text encoded, char *buffer, size_t size)
{
    size_t length = 0;

    while (encoded.len > 0 && length < size) {
        int byte = sse_query_take_byte(&encoded);
        buffer[length++] = byte < 0 ? '%' : (char)byte;
    }
    if (encoded.len)
        spoil(buffer, size);
    return length;
}

static bool is_name_of_id(struct sse_text encoded)
{
    /* One byte longer than the longest name, so that a longer name is not mistaken for it. */
    char buffer[sizeof("last-event-id")];
    struct sse_text name = {.ptr = buffer, .len = decode(encoded, buffer, sizeof(buffer))};

    return sse_text_equals_ignoring_case(name, "lasteventid") ||
           sse_text_equals_ignoring_case(name, "last-event-id");
}

/* The value of the last parameter with an id, still encoded; empty if there is none. */
static struct sse_text find_id(struct sse_text query)
{
    struct sse_text id = sse_str("");
    struct query_parameter parameter;

    while (sse_query_next(&query, &parameter))
        if (is_name_of_id(parameter.name))
            id = parameter.value;
    return id;
}

static size_t copy(struct sse_text text, char *buffer, size_t size)
{
    size_t length = text.len < size ? text.len : size;

    memcpy(buffer, text.ptr, length);
    if (text.len > size)
        spoil(buffer, size);
    return length;
}

ssize_t sse_http_last_event_id(struct sse_text header, struct sse_text query, void *buffer, size_t size)
{
    if (!buffer || size == 0 || sse_text_is_broken(header) || sse_text_is_broken(query))
        return -EINVAL;
    size = size < SSIZE_MAX ? size : SSIZE_MAX;
    return (ssize_t)(header.ptr ? copy(sse_text_trim(header), buffer, size)
                                : decode(find_id(query), buffer, size));
}
