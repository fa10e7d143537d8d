/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <inttypes.h>

static void write_byte(struct buffer *buffer, char byte)
{
    unsigned char code = (unsigned char)byte;

    if (byte == '"' || byte == '\\')
        buffer_format(buffer, "\\%c", byte);
    else if (code < 0x20)
        buffer_format(buffer, "\\u%04x", (unsigned)code);
    else
        buffer_append(buffer, &byte, 1);
}

void json_string(struct buffer *buffer, struct sse_text text)
{
    if (!text.ptr) {
        buffer_text(buffer, "null");
        return;
    }
    buffer_text(buffer, "\"");
    for (size_t i = 0; i < text.len; ++i)
        write_byte(buffer, text.ptr[i]);
    buffer_text(buffer, "\"");
}

void json_name(struct buffer *buffer, const char *name)
{
    if (buffer->length > 0 && buffer->bytes[buffer->length - 1] != '{')
        buffer_text(buffer, ",");
    buffer_format(buffer, "\"%s\":", name);
}

void json_count(struct buffer *buffer, const char *name, uint64_t number)
{
    json_name(buffer, name);
    buffer_format(buffer, "%" PRIu64, number);
}
