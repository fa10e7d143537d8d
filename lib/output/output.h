/* SPDX-License-Identifier: MIT */
#ifndef OUTPUT_OUTPUT_H
#define OUTPUT_OUTPUT_H

/**
 * Where the bytes of an emitter go. A write gets pieces, and returns how many bytes were written, or a negative
 * errno. It never returns 0. -EAGAIN: there is no room now. -EINTR: try again. An output knows no events, and has
 * no lock.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum output_kind {
    OUTPUT_PULL, /* the server fetches the bytes */
    OUTPUT_SOCKET,
    OUTPUT_FILE, /* another descriptor */
    OUTPUT_CALLBACK
};

/** The identity of an open file. Its number does not identify it, because the number may be closed and
 *  used again. */
struct output_file {
    int number;
    dev_t device;
    ino_t inode;
};

/** The owner of an output stores its kind, to save memory. */
struct output {
    void *user; /* passed to the callback */
    union {
        int number;                     /* OUTPUT_SOCKET */
        const struct output_file *file; /* OUTPUT_FILE */
        ssize_t (*callback)(void *user, const struct iovec *iov, int count);
        size_t shown; /* OUTPUT_PULL: bytes that a peek showed and that are not consumed */
    };
};

/** OUTPUT_SOCKET or OUTPUT_FILE, or -EBADF. Fills in `file` for both. */
int sse_output_identify(int descriptor, struct output_file *file);

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

/** Sets TCP_NODELAY and, where the system has it, TCP_USER_TIMEOUT to `stall_ms`, unless that is UINT32_MAX. Does
 *  nothing for sockets that are not TCP. Failures are ignored. */
void sse_socket_tune(int descriptor, uint32_t stall_ms);

/** Reads and discards what the client sent, up to a limit, and never blocks. Returns 1 if there may be more, 0 if
 *  the client closed its sending side, -EAGAIN if there is no more now, and another negative errno if the
 *  connection is broken. */
int sse_socket_discard(int descriptor);

/** Closes a descriptor. If it is a socket, sends FIN and discards what was received before: otherwise a reset could
 *  destroy the last event. Turns SO_LINGER off, with which a close blocks or sends a reset. */
void sse_output_close(int descriptor, enum output_kind kind);

/** The number of bytes in the pieces. */
size_t sse_iovec_size(const struct iovec *iov, int count);

#endif
