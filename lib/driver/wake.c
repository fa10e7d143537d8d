/* SPDX-License-Identifier: MIT */
#include "driver/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
        return -errno;
    return 0;
}

int sse_wake_open(struct wake *wake)
{
    int ends[2];
    int error;

    *wake = (struct wake){.reader = -1, .writer = -1};
    if (pipe(ends))
        return -errno;
    *wake = (struct wake){.reader = ends[0], .writer = ends[1]};
    error = prepare(ends[0]);
    if (!error)
        error = prepare(ends[1]);
    if (error)
        sse_wake_close(wake);
    return error;
}

void sse_wake_close(struct wake *wake)
{
    if (wake->reader < 0)
        return;
    close(wake->reader);
    close(wake->writer);
    *wake = (struct wake){.reader = -1, .writer = -1};
}

/* A full pipe is readable already. */
void sse_wake_raise(const struct wake *wake)
{
    int saved = errno;
    ssize_t written;

    do
        written = write(wake->writer, "", 1);
    while (written < 0 && errno == EINTR);
    errno = saved;
}

void sse_wake_clear(const struct wake *wake)
{
    char bytes[256];
    ssize_t size;

    do
        size = read(wake->reader, bytes, sizeof(bytes));
    while (size > 0 || (size < 0 && errno == EINTR));
}
