/* SPDX-License-Identifier: MIT */
#include "event_reference.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void add_string(struct event_source_text *wire, const char *string)
{
    event_source_text_append(wire, string, strlen(string));
}

static bool is_line_end(struct sse_text text, size_t at)
{
    return text.ptr[at] == '\r' || text.ptr[at] == '\n';
}

static void add_lines(struct event_source_text *wire, const char *name, struct sse_text text,
                      bool bare_if_empty)
{
    size_t at = 0;

    for (;;) {
        add_string(wire, name);
        if (!bare_if_empty || (at < text.len && !is_line_end(text, at)))
            add_string(wire, " ");
        while (at < text.len && !is_line_end(text, at))
            event_source_text_append(wire, &text.ptr[at++], 1);
        add_string(wire, "\n");
        if (at == text.len)
            return;
        at += text.ptr[at] == '\r' && at + 1 < text.len && text.ptr[at + 1] == '\n' ? 2 : 1;
    }
}

static void add_field(struct event_source_text *wire, const char *name, struct sse_text value)
{
    add_string(wire, name);
    event_source_text_append(wire, value.ptr, value.len);
    add_string(wire, "\n");
}

/* Returns the size of the character that begins here, or 0. It computes the character's number and checks it. */
static size_t character_length(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t lowest;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    size_t more = 0;
    uint32_t number;

    while (more < COUNT(forms) && (at[0] & forms[more].mask) != forms[more].lead)
        more++;
    if (more == COUNT(forms) || more >= left)
        return 0;
    number = at[0] & (unsigned char)~forms[more].mask;
    for (size_t i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        number = number << 6 | (at[i] & 0x3fu);
    }
    if (number < forms[more].lowest || number > 0x10ffff || (number >= 0xd800 && number < 0xe000))
        return 0;
    return more + 1;
}

bool event_reference_is_utf8(struct sse_text text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t length = character_length((const unsigned char *)text.ptr + at, text.len - at);

        if (!length)
            return false;
        at += length;
    }
    return true;
}

static bool type_is_valid(struct sse_text type)
{
    for (size_t i = 0; i < type.len; i++)
        if (type.ptr[i] == '\0' || is_line_end(type, i))
            return false;
    return true;
}

static bool id_is_valid(struct sse_text id)
{
    for (size_t i = 0; i < id.len; i++)
        if ((unsigned char)id.ptr[i] < 0x20 || id.ptr[i] == 0x7f)
            return false;
    return !id.len || (id.ptr[0] != ' ' && id.ptr[id.len - 1] != ' ');
}

int event_reference_error(const struct sse_event *event)
{
    if (event->id.len > SSE_ID_SIZE_MAX)
        return -EMSGSIZE;
    if (!event->id.ptr && !event->type.ptr && !event->data.ptr && !event->comment.ptr && !event->retry_ms)
        return -EINVAL;
    if (event->retry_ms < 0 || event->retry_ms > SSE_RETRY_MAX)
        return -ERANGE;
    if ((event->type.ptr && !event->data.ptr) || !type_is_valid(event->type) || !id_is_valid(event->id))
        return -EINVAL;
    if (event->trusted_utf8)
        return 0;
    return event_reference_is_utf8(event->id) && event_reference_is_utf8(event->type) &&
                   event_reference_is_utf8(event->data) && event_reference_is_utf8(event->comment)
               ? 0
               : -EILSEQ;
}

void event_reference_encode(struct event_source_text *wire, const struct sse_event *event)
{
    char retry[32];

    if (event->comment.ptr)
        add_lines(wire, ":", event->comment, true);
    if (event->type.ptr)
        add_field(wire, "event: ", event->type);
    if (event->data.ptr)
        add_lines(wire, "data:", event->data, false);
    if (event->id.ptr)
        add_field(wire, "id: ", event->id);
    if (event->retry_ms) {
        snprintf(retry, sizeof(retry), "%lld", (long long)event->retry_ms);
        add_field(wire, "retry: ", sse_str(retry));
    }
    if (event->data.ptr || event->id.ptr)
        add_string(wire, "\n");
}
