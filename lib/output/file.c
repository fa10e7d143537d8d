/* SPDX-License-Identifier: MIT */
#include "output/output.h"
#include "output/ready.h"
#include "output/signals.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* A bound for the work of one call, because a terminal is written one byte in a step. */
#define STEPS_MAX 256

static ssize_t write_once(int descriptor, const struct iovec *iov, int count)
{
    ssize_t written = writev(descriptor, iov, count);

    if (written >= 0)
        return written;
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static ssize_t write_regular(int descriptor, const struct iovec *iov, int count)
{
    ssize_t written;

    do
        written = write_once(descriptor, iov, count);
    while (written == -EINTR);
    return written;
}

/*
 * Everything but a regular file can block, so it is written in steps. O_NONBLOCK is no help, because another
 * process that has the file open can clear it at any time. If poll reports room and there is no other writer, these
 * steps do not block:
 *
 * - PIPE_BUF bytes to a pipe;
 * - one byte to a terminal or another device. A terminal may handle each byte by itself (OLCUC), or turn one byte
 *   into several (LF), and poll promises room only for the first.
 */
static ssize_t write_step(int descriptor, const struct iovec *iov, size_t offset, size_t step)
{
    size_t left = iov->iov_len - offset;
    struct iovec piece = {.iov_base = (char *)iov->iov_base + offset, .iov_len = left < step ? left : step};

    return output_is_ready(descriptor, POLLOUT) ? write_once(descriptor, &piece, 1) : -EAGAIN;
}

/* Returns the result of the last step. *total becomes the sum of what was written. */
static ssize_t write_steps(int descriptor, const struct iovec *iov, int count, size_t step, size_t *total)
{
    ssize_t written = 1;
    size_t offset = 0;

    for (int steps = 0; count && steps < STEPS_MAX && (written > 0 || written == -EINTR);) {
        if (offset == iov->iov_len) {
            iov++;
            count--;
            offset = 0;
            continue;
        }
        written = write_step(descriptor, iov, offset, step);
        if (written > 0) {
            offset += (size_t)written;
            *total += (size_t)written;
        }
        steps++;
    }
    return written;
}

static ssize_t write_guarded(int descriptor, mode_t mode, const struct iovec *iov, int count)
{
    struct signal_guard guard;
    size_t total = 0;
    ssize_t result;

    sse_signals_guard(&guard);
    if (S_ISREG(mode))
        result = write_regular(descriptor, iov, count);
    else
        result = write_steps(descriptor, iov, count, S_ISFIFO(mode) ? PIPE_BUF : 1, &total);
    sse_signals_release(&guard, result);
    return total ? (ssize_t)total : result;
}

static bool is_same(const struct output_file *file, const struct stat *status)
{
    return status->st_dev == file->device && status->st_ino == file->inode;
}

ssize_t sse_file_write(const struct output *output, const struct iovec *iov, int count)
{
    const struct output_file *file = output->file;
    struct stat status;
    ssize_t written;

    if (fstat(file->number, &status))
        return -errno;
    if (!is_same(file, &status))
        return -EBADF;
    written = write_guarded(file->number, status.st_mode, iov, count);
    return written ? written : -EAGAIN;
}

int sse_output_identify(int descriptor, struct output_file *file)
{
    struct stat status;

    if (fstat(descriptor, &status))
        return -errno;
    *file = (struct output_file){.number = descriptor, .device = status.st_dev, .inode = status.st_ino};
    return S_ISSOCK(status.st_mode) ? OUTPUT_SOCKET : OUTPUT_FILE;
}
