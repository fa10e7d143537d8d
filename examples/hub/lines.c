/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <errno.h>

/* A CR inside a line begins a new line of data on the wire: LF and "data: ". */
#define CR_COST 7

static void emit(struct lines *lines)
{
    if (!lines->line.failed)
        lines->on_line(
            (struct sse_str){
                .ptr = lines->line.length > 0 ? lines->line.bytes : "",
                .len = lines->line.length,
            },
            lines->user);
    lines->line.length = 0;
    lines->cost = 0;
    lines->begun = false;
}

static void add(struct lines *lines, const char *bytes, size_t size, size_t cost)
{
    if (size == 0)
        return;
    if (lines->cost + cost > lines->limit)
        emit(lines);
    buffer_append(&lines->line, bytes, size);
    lines->cost += cost;
    lines->begun = true;
}

static void end_character(struct lines *lines)
{
    char output[UTF8_REPAIR_MAX];
    size_t size = utf8_repair_end(&lines->repair, output);

    add(lines, output, size, size);
}

static void keep_cr(struct lines *lines)
{
    if (lines->after_cr)
        add(lines, "\r", 1, CR_COST);
    lines->after_cr = false;
}

static void take_byte(struct lines *lines, char byte)
{
    char output[UTF8_REPAIR_MAX];
    size_t size;

    if (byte == '\n') {
        end_character(lines);
        lines->after_cr = false;
        emit(lines);
        return;
    }
    keep_cr(lines);
    if (byte == '\r') {
        end_character(lines);
        lines->after_cr = true;
        return;
    }
    size = utf8_repair_byte(&lines->repair, (unsigned char)byte, output);
    add(lines, output, size, size);
}

/** A failed line is given up; the next one may have more luck. */
static int report(struct lines *lines)
{
    if (!lines->line.failed)
        return 0;
    buffer_release(&lines->line);
    lines->cost = 0;
    return -ENOMEM;
}

int lines_feed(struct lines *lines, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; ++i)
        take_byte(lines, bytes[i]);
    return report(lines);
}

int lines_end(struct lines *lines)
{
    end_character(lines);
    keep_cr(lines);
    if (lines->begun)
        emit(lines);
    return report(lines);
}

void lines_release(struct lines *lines)
{
    buffer_release(&lines->line);
}
