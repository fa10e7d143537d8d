/* SPDX-License-Identifier: MIT */
#ifndef OUTPUT_SINK_H
#define OUTPUT_SINK_H

/**
 * Where the bytes go: iovecs in, a count or a negative errno out. -EAGAIN means no room now, -EINTR
 * that it is worth trying again; 0 is never returned. A sink knows nothing of events, and holds no lock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

enum sink_kind {
    SINK_PULL, /* none: the host takes the bytes */
    SINK_SOCKET,
    SINK_FILE, /* another descriptor */
    SINK_CALLBACK
};

/** A descriptor that is no socket, and what it was when the sink was opened: the host may have closed it
 *  and got the number back for something else. */
struct sink_file {
    int number;
    dev_t device;
    ino_t inode;
};

/** Its kind is kept beside it, where a byte is spare. */
struct sink {
    union {
        int number;                   /* SINK_SOCKET */
        const struct sink_file *file; /* SINK_FILE */
        ssize_t (*callback)(void *user, const struct iovec *iov, int count);
        size_t shown; /* SINK_PULL: bytes that a peek showed and no advance took */
    };
    void *user; /* the host's */
};

/** SINK_SOCKET or SINK_FILE, or -EBADF. */
int sse_sink_identify(int fd, struct sink_file *file);

ssize_t sse_sink_write_socket(const struct sink *sink, const struct iovec *iov, int count);
ssize_t sse_sink_write_file(const struct sink *sink, const struct iovec *iov, int count);
ssize_t sse_sink_write_callback(const struct sink *sink, const struct iovec *iov, int count);

/** Writes to a sink that is not SINK_PULL. */
static inline ssize_t sse_sink_write(const struct sink *sink, enum sink_kind kind, const struct iovec *iov,
                                     int count)
{
    if (kind == SINK_SOCKET)
        return sse_sink_write_socket(sink, iov, count);
    if (kind == SINK_CALLBACK)
        return sse_sink_write_callback(sink, iov, count);
    return sse_sink_write_file(sink, iov, count);
}

/** The bytes in the iovecs. */
size_t sse_iovec_size(const struct iovec *iov, int count);

#endif
