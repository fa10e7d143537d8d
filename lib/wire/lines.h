/* SPDX-License-Identifier: MIT */
#ifndef WIRE_LINES_H
#define WIRE_LINES_H

/*
 * Lines of a text. Only CR LF, CR and LF end a line. Text without a line end is one line. What follows the last
 * line end is a line too, even if it is empty.
 */

#include <sse/base.h>
#include <stdbool.h>

struct line_count {
    size_t lines;
    size_t size; /* of all lines, without their ends */
};

struct line_count sse_lines_count(struct sse_text text);

struct line_reader {
    const char *at; /* NULL after the last line */
    const char *end;
    const char *line_feed; /* the next one at or after `at`, or `end` */
    const char *carriage_return;
};

struct line_reader sse_lines_read(struct sse_text text);

/* Reads the next line, without its end. False after the last one. */
bool sse_lines_next(struct line_reader *reader, struct sse_text *line);

#endif
