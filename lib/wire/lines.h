/* SPDX-License-Identifier: MIT */
#ifndef WIRE_LINES_H
#define WIRE_LINES_H

/*
 * Lines end at CR LF, CR and LF and nowhere else. Text without a line end is one line, and what follows
 * the last line end is a line too, though it be empty.
 */

#include <sse/base.h>
#include <stdbool.h>

struct line_count {
    size_t lines;
    size_t size; /* of all of them, without their ends */
};

struct line_count sse_lines_count(struct sse_text text);

struct line_reader {
    const char *at; /* NULL after the last line */
    const char *end;
    const char *line_feed; /* the next one at or after `at`, or `end` */
    const char *carriage_return;
};

struct line_reader sse_lines_read(struct sse_text text);

/* The next line without its end, or false. */
bool sse_lines_next(struct line_reader *reader, struct sse_text *line);

#endif
