/* SPDX-License-Identifier: MIT */
#include "output/output.h"
#include "output/ready.h"
#include "output/signals.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The most reads for one client in one call, so that the other clients are served too. */
#define READS_MAX 16
#define READ_SIZE 4096

/* POSIX has had MSG_NOSIGNAL since 2008. Older systems raise SIGPIPE. */
#if defined(MSG_NOSIGNAL) && !defined(SSE_BARE_SYSTEM)
#define SENDS_SILENTLY 1
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SENDS_SILENTLY 0
#define SEND_FLAGS 0
#endif

static ssize_t result_of(ssize_t count)
{
    if (count >= 0)
        return count;
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static ssize_t send_piece(int descriptor, const struct iovec *iov, int flags)
{
    ssize_t sent;

    do
        sent = send(descriptor, iov->iov_base, iov->iov_len, SEND_FLAGS | flags);
    while (sent < 0 && errno == EINTR);
    return result_of(sent);
}

static ssize_t send_pieces(int descriptor, const struct iovec *iov, int count, int flags)
{
    struct msghdr message;
    ssize_t sent;

    if (count == 1)
        return send_piece(descriptor, iov, flags);
    memset(&message, 0, sizeof(message));
    message.msg_iov = (struct iovec *)(uintptr_t)iov;
    /* It is an int in POSIX and a size_t in glibc. An unsigned short fits into both without a warning. */
    message.msg_iovlen = (unsigned short)count;
    do
        sent = sendmsg(descriptor, &message, SEND_FLAGS | flags);
    while (sent < 0 && errno == EINTR);
    return result_of(sent);
}

static ssize_t receive(int descriptor, char *bytes, size_t size, int flags)
{
    ssize_t received;

    do
        received = recv(descriptor, bytes, size, flags);
    while (received < 0 && errno == EINTR);
    return result_of(received);
}

#if defined(MSG_DONTWAIT) && !defined(SSE_WITHOUT_DONTWAIT)

static ssize_t send_now(int descriptor, const struct iovec *iov, int count)
{
    return send_pieces(descriptor, iov, count, MSG_DONTWAIT);
}

static ssize_t receive_now(int descriptor, char *bytes, size_t size)
{
    return receive(descriptor, bytes, size, MSG_DONTWAIT);
}

#else

/* Systems may hide MSG_DONTWAIT. By POSIX, a socket that poll reports as writable accepts this much without
 * blocking. */
static size_t low_water_mark(int descriptor)
{
    int mark = 0;
    socklen_t size = sizeof(mark);

    if (getsockopt(descriptor, SOL_SOCKET, SO_SNDLOWAT, &mark, &size) || mark < 1)
        return 1;
    return (size_t)mark;
}

static ssize_t send_now(int descriptor, const struct iovec *iov, int count)
{
    int flags = fcntl(descriptor, F_GETFL);
    struct iovec piece = *iov;
    size_t room;

    if (flags < 0)
        return -errno;
    if (flags & O_NONBLOCK)
        return send_pieces(descriptor, iov, count, 0);
    if (!output_is_ready(descriptor, POLLOUT))
        return -EAGAIN;
    room = low_water_mark(descriptor);
    if (piece.iov_len > room)
        piece.iov_len = room;
    return send_piece(descriptor, &piece, 0);
}

static ssize_t receive_now(int descriptor, char *bytes, size_t size)
{
    return output_is_ready(descriptor, POLLIN) ? receive(descriptor, bytes, size, 0) : -EAGAIN;
}

#endif

static ssize_t send_silently(int descriptor, const struct iovec *iov, int count)
{
    struct signal_guard guard;
    ssize_t sent;

    if (SENDS_SILENTLY)
        return send_now(descriptor, iov, count);
    sse_signals_guard(&guard);
    sent = send_now(descriptor, iov, count);
    sse_signals_release(&guard, sent);
    return sent;
}

/* If the number now belongs to something other than a socket, this fails with ENOTSOCK. */
ssize_t sse_socket_write(const struct output *output, const struct iovec *iov, int count)
{
    ssize_t sent = send_silently(output->number, iov, count);

    return sent ? sent : -EAGAIN;
}

void sse_socket_tune(int descriptor, uint32_t stall_ms)
{
    const int on = 1;

    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
#if defined(TCP_USER_TIMEOUT) && !defined(SSE_BARE_SYSTEM)
    if (stall_ms != UINT32_MAX) {
        unsigned timeout = stall_ms < INT_MAX ? stall_ms : INT_MAX;

        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
    }
#else
    (void)stall_ms;
#endif
}

int sse_socket_discard(int descriptor)
{
    char bytes[READ_SIZE];
    ssize_t size = 1;

    for (int i = 0; i < READS_MAX && size > 0; i++)
        size = receive_now(descriptor, bytes, sizeof(bytes));
    return size > 0 ? 1 : (int)size;
}

void sse_output_close(int descriptor, enum output_kind kind)
{
    const struct linger off = {.l_onoff = 0};

    if (kind == OUTPUT_SOCKET) {
        (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
        (void)shutdown(descriptor, SHUT_WR);
        (void)sse_socket_discard(descriptor);
    }
    close(descriptor);
}
