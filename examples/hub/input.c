/* SPDX-License-Identifier: MIT */
#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define READ_SIZE 16384

/* What data costs on the wire beside its bytes: "data: ", the line end, the blank line. */
#define DATA_OVERHEAD 8

static void on_line(struct sse_str line, void *user)
{
    const struct sse_event event = {.data = line};
    struct hub *hub = user;
    struct sse_delivery delivery;
    int error = hub_send(hub, sse_str(NULL), &event, &delivery);

    if (error < 0)
        fprintf(stderr, "hub: a line of standard input is lost: %s\n", strerror(-error));
    else
        ++hub->statistics.lines;
}

void input_begin(struct input *input, struct hub *hub, int fd)
{
    *input = (struct input){
        .hub = hub,
        .fd = fd,
        .lines = {.limit = hub_message_max(hub) - DATA_OVERHEAD, .on_line = on_line, .user = hub},
    };
}

static void report(int error)
{
    if (error < 0)
        fprintf(stderr, "hub: lines of standard input are lost: %s\n", strerror(-error));
}

void input_read(struct input *input)
{
    char bytes[READ_SIZE];
    ssize_t size = read(input->fd, bytes, sizeof(bytes));

    if (size > 0) {
        report(lines_feed(&input->lines, bytes, (size_t)size));
        return;
    }
    if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (size < 0)
        fprintf(stderr, "hub: standard input cannot be read: %s\n", strerror(errno));
    report(lines_end(&input->lines));
    input->fd = -1;
}

void input_end(struct input *input)
{
    lines_release(&input->lines);
}
