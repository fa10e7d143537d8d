/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAKE_OUTPUT_H
#define SUPPORT_FAKE_OUTPUT_H

/** A write callback that records what it takes, and takes as little as a test wants. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct fake_output {
    unsigned char *bytes;
    size_t size;
    size_t capacity;

    size_t take_max; /* the most bytes that one call takes; 0: all */
    size_t room;     /* bytes left before it is full: then -EAGAIN; SIZE_MAX: no end */
    size_t error_at; /* at this size the next call fails with `error`; SIZE_MAX: never */
    ssize_t error;   /* what that call returns: a negative errno, or any odd value */
    bool error_once; /* the error is told once, then writing goes on */
    size_t calls;
    bool inside; /* guards against two calls at once */

    /** Called in each write, before anything is taken. */
    void (*on_write)(struct fake_output *output, void *user);
    void *user;
};

void fake_output_init(struct fake_output *output);
void fake_output_free(struct fake_output *output);

/** For sse_emitter_options.write with the output as user. Aborts if it is entered twice at once, or is not
 *  offered 1 to 16 pieces. */
ssize_t fake_output_write(void *output, const struct iovec *iov, int count);

#endif
