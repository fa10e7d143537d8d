/* SPDX-License-Identifier: MIT */
#include "fake_output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX 16

void fake_output_init(struct fake_output *output)
{
    *output = (struct fake_output){.room = SIZE_MAX, .error_at = SIZE_MAX};
}

void fake_output_free(struct fake_output *output)
{
    free(output->bytes);
    fake_output_init(output);
}

static void append(struct fake_output *output, const void *bytes, size_t size)
{
    if (output->size + size > output->capacity) {
        output->capacity = (output->size + size) * 2;
        output->bytes = realloc(output->bytes, output->capacity);
        if (!output->bytes)
            abort();
    }
    memcpy(output->bytes + output->size, bytes, size);
    output->size += size;
}

static size_t smallest(size_t left, size_t right)
{
    return left < right ? left : right;
}

static ssize_t take(struct fake_output *output, const struct iovec *iov, int count)
{
    size_t limit = output->take_max ? output->take_max : SIZE_MAX;
    size_t taken = 0;

    if (output->size >= output->error_at) {
        if (output->error_once)
            output->error_at = SIZE_MAX;
        return output->error;
    }
    if (!output->room)
        return -EAGAIN;
    limit = smallest(limit, smallest(output->room, output->error_at - output->size));
    for (int i = 0; i < count && taken < limit; i++) {
        size_t piece = smallest(iov[i].iov_len, limit - taken);

        append(output, iov[i].iov_base, piece);
        taken += piece;
    }
    if (output->room != SIZE_MAX)
        output->room -= taken;
    return (ssize_t)taken;
}

static void fail(const char *what)
{
    fprintf(stderr, "fake output: %s\n", what);
    abort();
}

/* These are rules of <sse/emitter.h>. */
static void check_pieces(const struct iovec *iov, int count)
{
    if (count < 1 || count > PIECES_MAX)
        fail("no pieces, or too many");
    for (int i = 0; i < count; i++)
        if (!iov[i].iov_len)
            fail("an empty piece");
}

ssize_t fake_output_write(void *user, const struct iovec *iov, int count)
{
    struct fake_output *output = user;
    ssize_t result;

    if (output->inside)
        fail("entered twice at once");
    check_pieces(iov, count);
    output->inside = true;
    output->calls++;
    if (output->on_write)
        output->on_write(output, output->user);
    result = take(output, iov, count);
    output->inside = false;
    return result;
}
