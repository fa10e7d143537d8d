/* SPDX-License-Identifier: MIT */
#ifndef OUTPUT_SINK_H
#define OUTPUT_SINK_H

/**
 * Where the bytes go: iovecs in, a count or a negative errno out. -EAGAIN means no room now, -EINTR
 * that it is worth trying again; 0 is never returned. A sink knows nothing of events, and holds no lock.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

struct sink {
    ssize_t (*write)(const struct sink *sink, const struct iovec *iov, int count); /* NULL: pull */
    union {
        struct {
            int number;
            dev_t device;
            ino_t inode;
        } descriptor;
        struct {
            ssize_t (*write)(void *user, const struct iovec *iov, int count);
            void *user;
        } callback;
    };
};

/** 0, or -EBADF. */
int sse_sink_open_fd(struct sink *sink, int fd);

/** The descriptor, or -EINVAL if it is none. */
int sse_sink_fd_number(const struct sink *sink);

void sse_sink_open_callback(struct sink *sink,
                            ssize_t (*write)(void *user, const struct iovec *iov, int count), void *user);

/** The bytes in the iovecs. */
size_t sse_iovec_size(const struct iovec *iov, int count);

#endif
