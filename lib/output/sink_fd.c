/* SPDX-License-Identifier: MIT */
#include "output/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What a blocking terminal takes without blocking once poll says that there is room; a pipe takes
 * PIPE_BUF bytes. */
#define TERMINAL_PIECE_MAX 256

static bool has_room(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int ready;

    do
        ready = poll(&poll_fd, 1, 0);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static ssize_t would_block_or_error(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

#ifdef MSG_DONTWAIT
#define SEND_FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT)

static bool may_send(int fd)
{
    (void)fd;
    return true;
}
#else
#define SEND_FLAGS MSG_NOSIGNAL

static bool may_send(int fd)
{
    int status = fcntl(fd, F_GETFL);

    return status < 0 || status & O_NONBLOCK;
}
#endif

static ssize_t send_pieces(int fd, const struct iovec *iov, int count)
{
    struct msghdr message;
    ssize_t sent;

    memset(&message, 0, sizeof(message));
    message.msg_iov = (struct iovec *)(uintptr_t)iov;
    /* An int by POSIX, a size_t by glibc: either holds what is smaller without a warning. */
    message.msg_iovlen = (unsigned short)count;
    do
        sent = sendmsg(fd, &message, SEND_FLAGS);
    while (sent < 0 && errno == EINTR);
    return sent;
}

static ssize_t send_piece(int fd, const struct iovec *iov)
{
    ssize_t sent;

    do
        sent = send(fd, iov->iov_base, iov->iov_len, SEND_FLAGS);
    while (sent < 0 && errno == EINTR);
    return sent;
}

/* send fails with ENOTSOCK if the number now belongs to something else than a socket. */
ssize_t sse_sink_write_socket(const struct sink *sink, const struct iovec *iov, int count)
{
    int fd = sink->number;
    ssize_t sent;

    if (!may_send(fd))
        return -ENOTSUP;
    sent = count == 1 ? send_piece(fd, iov) : send_pieces(fd, iov, count);
    if (sent < 0)
        return would_block_or_error();
    return sent ? sent : -EAGAIN;
}

/* Whatever is no socket can raise SIGPIPE, and SIGXFSZ at a file size limit. Both are directed at
 * the writing thread, so blocking them there for the length of the call, and taking off what the
 * call itself raised, leaves the process as it was. */
struct signal_guard {
    sigset_t raised_by_write;
    sigset_t saved_mask;
};

static void guard_signals(struct signal_guard *guard)
{
    sigset_t pending;
    const int signals[] = {SIGPIPE, SIGXFSZ};

    sigemptyset(&pending);
    sigpending(&pending);
    sigemptyset(&guard->raised_by_write);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (!sigismember(&pending, signals[i]))
            sigaddset(&guard->raised_by_write, signals[i]);
    pthread_sigmask(SIG_BLOCK, &guard->raised_by_write, &guard->saved_mask);
}

static void release_signals(const struct signal_guard *guard, int error)
{
    const struct timespec at_once = {0, 0};

    if (error == EPIPE || error == EFBIG)
        while (sigtimedwait(&guard->raised_by_write, NULL, &at_once) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &guard->saved_mask, NULL);
}

static ssize_t guarded_writev(int fd, const struct iovec *iov, int count)
{
    struct signal_guard guard;
    ssize_t written;
    int error;

    guard_signals(&guard);
    do
        written = writev(fd, iov, count);
    while (written < 0 && errno == EINTR);
    error = written < 0 ? errno : 0;
    release_signals(&guard, error);
    errno = error;
    return written;
}

/* A terminal may turn a control character into several (LF into CR LF), for which the room that
 * poll saw might not suffice: each goes alone. */
static size_t terminal_piece(const struct iovec *iov)
{
    const unsigned char *bytes = iov->iov_base;
    size_t size = 0;

    while (size < iov->iov_len && size < TERMINAL_PIECE_MAX && bytes[size] >= ' ')
        size++;
    return size ? size : 1;
}

static size_t pipe_piece(const struct iovec *iov)
{
    return iov->iov_len < PIPE_BUF ? iov->iov_len : PIPE_BUF;
}

static ssize_t blocking_write(int fd, const struct iovec *iov, bool is_pipe)
{
    struct iovec piece = *iov;

    if (!has_room(fd))
        return -EAGAIN;
    piece.iov_len = is_pipe ? pipe_piece(iov) : terminal_piece(iov);
    return guarded_writev(fd, &piece, 1);
}

static bool is_same_file(const struct sink_file *file, const struct stat *status)
{
    return status->st_dev == file->device && status->st_ino == file->inode;
}

ssize_t sse_sink_write_file(const struct sink *sink, const struct iovec *iov, int count)
{
    int fd = sink->file->number;
    struct stat status;
    ssize_t written;
    int flags;

    if (fstat(fd, &status))
        return -errno;
    if (!is_same_file(sink->file, &status))
        return -EBADF;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if (flags & O_NONBLOCK || S_ISREG(status.st_mode))
        written = guarded_writev(fd, iov, count);
    else
        written = blocking_write(fd, iov, S_ISFIFO(status.st_mode));
    if (written == -EAGAIN)
        return written;
    if (written < 0)
        return would_block_or_error();
    return written ? written : -EAGAIN;
}

int sse_sink_identify(int fd, struct sink_file *file)
{
    struct stat status;

    if (fstat(fd, &status))
        return -errno;
    *file = (struct sink_file){.number = fd, .device = status.st_dev, .inode = status.st_ino};
    return S_ISSOCK(status.st_mode) ? SINK_SOCKET : SINK_FILE;
}
