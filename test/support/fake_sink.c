/* SPDX-License-Identifier: MIT */
#include "fake_sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fake_sink_init(struct fake_sink *sink)
{
    *sink = (struct fake_sink){.room = SIZE_MAX, .error_at = SIZE_MAX};
}

void fake_sink_free(struct fake_sink *sink)
{
    free(sink->bytes);
    fake_sink_init(sink);
}

static void append(struct fake_sink *sink, const void *bytes, size_t size)
{
    if (sink->size + size > sink->capacity) {
        sink->capacity = (sink->size + size) * 2;
        sink->bytes = realloc(sink->bytes, sink->capacity);
        if (!sink->bytes)
            abort();
    }
    memcpy(sink->bytes + sink->size, bytes, size);
    sink->size += size;
}

static size_t smallest(size_t left, size_t right)
{
    return left < right ? left : right;
}

static ssize_t take(struct fake_sink *sink, const struct iovec *iov, int count)
{
    size_t limit = sink->take_max ? sink->take_max : SIZE_MAX;
    size_t taken = 0;

    if (sink->size >= sink->error_at) {
        if (sink->error_once)
            sink->error_at = SIZE_MAX;
        return sink->error;
    }
    if (!sink->room)
        return -EAGAIN;
    limit = smallest(limit, smallest(sink->room, sink->error_at - sink->size));
    for (int i = 0; i < count && taken < limit; i++) {
        size_t piece = smallest(iov[i].iov_len, limit - taken);

        append(sink, iov[i].iov_base, piece);
        taken += piece;
    }
    if (sink->room != SIZE_MAX)
        sink->room -= taken;
    return (ssize_t)taken;
}

ssize_t fake_sink_write(void *user, const struct iovec *iov, int count)
{
    struct fake_sink *sink = user;
    ssize_t result;

    if (sink->inside) {
        fprintf(stderr, "fake sink: entered twice at once\n");
        abort();
    }
    sink->inside = true;
    sink->calls++;
    if (sink->on_write)
        sink->on_write(sink, sink->user);
    result = take(sink, iov, count);
    sink->inside = false;
    return result;
}
