/* SPDX-License-Identifier: MIT */
#ifndef HUB_LINES_H
#define HUB_LINES_H

/**
 * Cuts a stream of bytes into lines that are UTF-8. A line ends at LF or CR LF. One that is too
 * long for an event is cut between two characters.
 */

#include "buffer.h"
#include "utf8_repair.h"

#include <sse/base.h>

/* Members up to `user` are the caller's; all others begin as zero. */
struct lines {
    /** The most that a line may cost as data on the wire; see lines.c. At least 16. */
    size_t limit;
    void (*on_line)(struct sse_str line, void *user);
    void *user;

    struct buffer line;
    size_t cost;
    bool begun;    /**< there is a line, though it may be empty */
    bool after_cr; /**< a CR has been read, and it is not known yet whether it ends the line */
    struct utf8_repair repair;
};

/** Takes bytes, and calls on_line for each line that is whole. Returns 0 or -ENOMEM. */
int lines_feed(struct lines *lines, const char *bytes, size_t size);

/** The input ends: what has begun is a line too. Returns 0 or -ENOMEM. */
int lines_end(struct lines *lines);

void lines_release(struct lines *lines);

#endif
