/* SPDX-License-Identifier: MIT */
#include "output/output.h"

#include <errno.h>

#define ERRNO_MAX 4095

size_t sse_iovec_size(const struct iovec *iov, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

ssize_t sse_callback_write(const struct output *output, const struct iovec *iov, int count)
{
    ssize_t result = output->callback(output->user, iov, count);

    if (result == 0 || result == -EWOULDBLOCK)
        return -EAGAIN;
    if (result < -ERRNO_MAX || (result > 0 && (size_t)result > sse_iovec_size(iov, count)))
        return -EIO;
    return result;
}
