/* SPDX-License-Identifier: MIT */
#ifndef OUTPUT_OUTPUT_H
#define OUTPUT_OUTPUT_H

/**
 * Where the bytes go: pieces in, a count or a negative errno out. -EAGAIN: no room now. -EINTR: worth
 * another try. 0 is never returned. An output knows nothing of events and holds no lock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum output_kind {
    OUTPUT_PULL, /* the server takes the bytes */
    OUTPUT_SOCKET,
    OUTPUT_FILE, /* another descriptor */
    OUTPUT_CALLBACK
};

/** The identity of an open file: its number may be closed and used again for another one. */
struct output_file {
    int number;
    dev_t device;
    ino_t inode;
};

/** The kind is kept beside it, where a byte is spare. */
struct output {
    union {
        int number;                     /* OUTPUT_SOCKET */
        const struct output_file *file; /* OUTPUT_FILE */
        ssize_t (*callback)(void *user, const struct iovec *iov, int count);
        size_t shown; /* OUTPUT_PULL: bytes that a peek showed and that are not consumed */
    };
    void *user; /* the program's */
};

/** OUTPUT_SOCKET or OUTPUT_FILE, or -EBADF. Fills in `file` for both. */
int sse_output_identify(int descriptor, struct output_file *file);

/** Whether the number still is the same open file. */
bool sse_output_is_same_file(const struct output_file *file);

ssize_t sse_socket_write(const struct output *output, const struct iovec *iov, int count);
ssize_t sse_file_write(const struct output *output, const struct iovec *iov, int count);
ssize_t sse_callback_write(const struct output *output, const struct iovec *iov, int count);

/** Writes to an output that is not OUTPUT_PULL. */
static inline ssize_t sse_output_write(const struct output *output, enum output_kind kind,
                                       const struct iovec *iov, int count)
{
    if (kind == OUTPUT_SOCKET)
        return sse_socket_write(output, iov, count);
    if (kind == OUTPUT_CALLBACK)
        return sse_callback_write(output, iov, count);
    return sse_file_write(output, iov, count);
}

/** Sets TCP_NODELAY and, where the system has it, TCP_USER_TIMEOUT (`stall_ms`; UINT32_MAX: not). Does
 *  nothing for sockets that are not TCP; failures do not matter. */
void sse_socket_tune(int descriptor, uint32_t stall_ms);

/** Reads and discards what the client sent, up to a limit, and never blocks. 1: there may be more. 0: the
 *  client closed its sending side. -EAGAIN: no more now. Another negative errno: broken. */
int sse_socket_discard(int descriptor);

/** Closes a socket so that a reset does not take the last event away: sends FIN, discards what was
 *  received, closes. Other descriptors are only closed. */
void sse_output_close(int descriptor, enum output_kind kind);

/** The bytes in the pieces. */
size_t sse_iovec_size(const struct iovec *iov, int count);

#endif
