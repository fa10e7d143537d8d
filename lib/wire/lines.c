/* SPDX-License-Identifier: MIT */
#include "wire/lines.h"

/* A count of this many fits into a byte, so a vector can count the most bytes at once. */
#define BLOCK_SIZE 128

static const char *find(const char *at, const char *end, char byte)
{
    const char *found = at < end ? memchr(at, byte, (size_t)(end - at)) : NULL;

    return found ? found : end;
}

static size_t count_in_block(const char *block, char byte)
{
    unsigned char count = 0;

    for (size_t i = 0; i < BLOCK_SIZE; i++)
        count = (unsigned char)(count + (block[i] == byte));
    return count;
}

static size_t count_line_feeds(const char *at, const char *end)
{
    size_t count = 0;

    for (; end - at >= BLOCK_SIZE; at += BLOCK_SIZE)
        count += count_in_block(at, '\n');
    while ((at = find(at, end, '\n')) < end) {
        count++;
        at++;
    }
    return count;
}

struct line_count sse_lines_count(struct sse_text text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    size_t line_feeds = count_line_feeds(at, end);
    struct line_count count = {.lines = line_feeds + 1, .size = text.len - line_feeds};

    for (; (at = find(at, end, '\r')) < end; at++) {
        count.lines += at + 1 == end || at[1] != '\n';
        count.size--;
    }
    return count;
}

struct line_reader sse_lines_read(struct sse_text text)
{
    const char *end = text.ptr + text.len;

    return (struct line_reader){
        .at = text.ptr,
        .end = end,
        .line_feed = find(text.ptr, end, '\n'),
        .carriage_return = find(text.ptr, end, '\r'),
    };
}

bool sse_lines_next(struct line_reader *reader, struct sse_text *line)
{
    const char *line_end;

    if (!reader->at)
        return false;
    line_end = reader->line_feed < reader->carriage_return ? reader->line_feed : reader->carriage_return;
    *line = (struct sse_text){.ptr = reader->at, .len = (size_t)(line_end - reader->at)};
    if (line_end == reader->end) {
        reader->at = NULL;
        return true;
    }
    reader->at = line_end + 1;
    if (*line_end == '\r' && reader->at < reader->end && *reader->at == '\n')
        reader->at++;
    if (reader->line_feed < reader->at)
        reader->line_feed = find(reader->at, reader->end, '\n');
    if (reader->carriage_return < reader->at)
        reader->carriage_return = find(reader->at, reader->end, '\r');
    return true;
}
