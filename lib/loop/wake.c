/* SPDX-License-Identifier: MIT */
#include "loop/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#ifdef SSE_HAVE_EVENTFD

#include <sys/eventfd.h>

int sse_wake_open(struct wake *wake)
{
    int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    *wake = (struct wake){.reader = descriptor, .writer = descriptor};
    return descriptor < 0 ? -errno : 0;
}

#else

static int prepare(int descriptor)
{
    return fcntl(descriptor, F_SETFL, O_NONBLOCK) || fcntl(descriptor, F_SETFD, FD_CLOEXEC) ? -errno : 0;
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

#endif

void sse_wake_close(struct wake *wake)
{
    if (wake->reader < 0)
        return;
    close(wake->reader);
    if (wake->writer != wake->reader)
        close(wake->writer);
    *wake = (struct wake){.reader = -1, .writer = -1};
}

/* Writes 8 bytes, which an eventfd needs and a pipe accepts. If either is full, it is readable already. */
void sse_wake_raise(const struct wake *wake)
{
    const uint64_t one = 1;
    int saved = errno, cancel_state;
    ssize_t written;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    do
        written = write(wake->writer, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
    pthread_setcancelstate(cancel_state, NULL);
    errno = saved;
}

void sse_wake_clear(const struct wake *wake)
{
    char bytes[512];
    ssize_t size;

    /* A short read means that it is empty. */
    do
        size = read(wake->reader, bytes, sizeof(bytes));
    while (size == (ssize_t)sizeof(bytes) || (size < 0 && errno == EINTR));
}
