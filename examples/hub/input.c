/* SPDX-License-Identifier: MIT */
#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define READ_SIZE 16384
#define CHARACTER_SIZE_MAX 4

/* The parts of an event beside its data: "data: ", an id, two line ends and the blank line. */
#define OVERHEAD (sizeof("data: \nid: \n\n") + SSE_ASSIGNED_ID_SIZE)

void input_begin(struct input *input, struct hub *hub, int fd)
{
    *input = (struct input){.hub = hub, .fd = fd, .limit = hub_message_max(hub) - OVERHEAD};
}

/** The size of the character at the beginning of some bytes, or 0 if it is not UTF-8. */
static size_t character_size(const unsigned char *bytes, size_t size)
{
    unsigned char first = bytes[0];
    size_t wanted = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    /* These bounds exclude overlong forms, surrogates, and everything above U+10FFFF. */
    unsigned char lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || wanted > size)
        return 0;
    if (wanted > 1 && (bytes[1] < lowest || bytes[1] > highest))
        return 0;
    for (size_t i = 2; i < wanted; ++i) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    return wanted;
}

static void repair(struct buffer *repaired, const struct buffer *line)
{
    for (size_t i = 0; i < line->length;) {
        const char *bytes = line->bytes + i;
        size_t size = character_size((const unsigned char *)bytes, line->length - i);

        if (size > 0)
            buffer_append(repaired, bytes, size);
        else
            buffer_text(repaired, "\xef\xbf\xbd");
        i += size > 0 ? size : 1;
    }
}

static int publish(struct hub *hub, const struct buffer *line)
{
    struct sse_event event = {.data = {.ptr = line->length > 0 ? line->bytes : "", .len = line->length}};
    struct sse_delivery delivery;

    return line->failed ? -ENOMEM : hub_send(hub, sse_str(NULL), &event, &delivery);
}

static void end_line(struct input *input)
{
    struct buffer repaired = {.failed = input->line.failed};
    int error;

    repair(&repaired, &input->line);
    error = publish(input->hub, &repaired);
    if (error < 0)
        fprintf(stderr, "hub: a line of standard input was not published: %s\n", strerror(-error));
    else
        ++input->hub->statistics.lines;
    buffer_release(&repaired);
    buffer_release(&input->line);
    input->cost = 0;
}

/** The most bytes that one byte can need on the wire: CR begins a new line of data, and a byte that is not UTF-8
 *  becomes three bytes. */
static size_t cost_of(unsigned char byte)
{
    if (byte == '\r')
        return strlen("\ndata: ");
    return byte < 0x80 ? 1 : 3;
}

static void take_byte(struct input *input, char byte)
{
    size_t cost = cost_of((unsigned char)byte);
    bool inside = ((unsigned char)byte & 0xc0) == 0x80;

    /* A character is not split, unless its continuation bytes never end. */
    if (input->cost + cost + (inside ? 0 : 3 * CHARACTER_SIZE_MAX) > input->limit)
        end_line(input);
    buffer_append(&input->line, &byte, 1);
    input->cost += cost;
}

static void take_line_end(struct input *input)
{
    struct buffer *line = &input->line;

    if (line->length > 0 && line->bytes[line->length - 1] == '\r')
        --line->length;
    end_line(input);
}

static void take(struct input *input, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; ++i) {
        if (bytes[i] == '\n')
            take_line_end(input);
        else
            take_byte(input, bytes[i]);
    }
}

void input_read(struct input *input)
{
    char bytes[READ_SIZE];
    ssize_t size = read(input->fd, bytes, sizeof(bytes));

    if (size > 0) {
        take(input, bytes, (size_t)size);
        return;
    }
    if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (size < 0)
        fprintf(stderr, "hub: standard input cannot be read: %s\n", strerror(errno));
    if (input->line.length > 0)
        end_line(input);
    input->fd = -1;
}

void input_end(struct input *input)
{
    buffer_release(&input->line);
}
