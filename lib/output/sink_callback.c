/* SPDX-License-Identifier: MIT */
#include "output/sink.h"

#include <errno.h>

/* A callback that reports EINTR for ever must not hang the caller. */
#define INTERRUPTIONS_MAX 16
#define ERRNO_MAX 4095

size_t iovec_size(const struct iovec *iov, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

static ssize_t sink_callback_write(const struct sink *sink, const struct iovec *iov, int count)
{
    ssize_t result = -EINTR;

    for (int i = 0; i < INTERRUPTIONS_MAX && result == -EINTR; i++)
        result = sink->callback.write(sink->callback.user, iov, count);
    if (result == 0 || result == -EINTR || result == -EWOULDBLOCK)
        return -EAGAIN;
    if (result < -ERRNO_MAX || (result > 0 && (size_t)result > iovec_size(iov, count)))
        return -EIO;
    return result;
}

void sink_open_callback(struct sink *sink, ssize_t (*write)(void *user, const struct iovec *iov, int count),
                        void *user)
{
    *sink = (struct sink){.write = sink_callback_write};
    sink->callback.write = write;
    sink->callback.user = user;
}
