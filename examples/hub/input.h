/* SPDX-License-Identifier: MIT */
#ifndef HUB_INPUT_H
#define HUB_INPUT_H

/**
 * Publishes each line of standard input to everyone. A line ends at LF or CR LF. A line that is too long for an
 * event is split between two characters. Bytes that are not UTF-8 become U+FFFD.
 */

#include "buffer.h"
#include "hub.h"

struct input {
    struct hub *hub;
    int fd; /**< -1 once it has ended */
    struct buffer line;
    size_t cost;  /**< the most bytes that `line` needs on the wire */
    size_t limit; /**< of `cost` */
};

/** Reads from `fd`, which the caller closes. -1: there is nothing to read. */
void input_begin(struct input *input, struct hub *hub, int fd);

/** Reads a limited number of bytes. Call it when poll reports input. */
void input_read(struct input *input);

void input_end(struct input *input);

#endif
