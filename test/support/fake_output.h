/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAKE_OUTPUT_H
#define SUPPORT_FAKE_OUTPUT_H

/** A write callback that records the bytes, and accepts as few as a test wants. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct fake_output {
    unsigned char *bytes;
    size_t size;
    size_t capacity;

    size_t take_max; /* the most bytes that one call accepts; 0: all */
    size_t room;     /* bytes until it is full and returns -EAGAIN; SIZE_MAX: never */
    size_t error_at; /* at this size the next call fails with `error`; SIZE_MAX: never */
    ssize_t error;   /* the result of that call: a negative errno, or any wrong value */
    bool error_once; /* the error is returned once, then writing continues */
    size_t calls;
    bool inside; /* guards against two calls at once */

    /** Called in each write, before any byte is accepted. */
    void (*on_write)(struct fake_output *output, void *user);
    void *user;
};

void fake_output_init(struct fake_output *output);
void fake_output_free(struct fake_output *output);

/** Set it as sse_emitter_options.write, with the output as user. Aborts if two calls overlap, or if a call does not
 *  offer 1 to 16 pieces. */
ssize_t fake_output_write(void *output, const struct iovec *iov, int count);

#endif
