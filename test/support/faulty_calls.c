/* SPDX-License-Identifier: MIT */
#include "faulty_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

struct plan {
    atomic_int made;
    atomic_int first;
    atomic_int left;
    atomic_int error; /* below 0: the negative number of bytes that the call is made with */
    void (*_Atomic before)(void *user);
    void *user;
};

static struct plan plans[FAULTY_COUNT];
static atomic_int pauses;

void faulty_calls_reset(void)
{
    atomic_store(&pauses, 0);
    for (int i = 0; i < FAULTY_COUNT; i++) {
        atomic_store(&plans[i].made, 0);
        atomic_store(&plans[i].left, 0);
        atomic_store(&plans[i].before, NULL);
    }
}

void faulty_calls_interpose(enum faulty_call call, void (*before)(void *user), void *user)
{
    plans[call].user = user;
    atomic_store(&plans[call].before, before);
}

void faulty_calls_fail(enum faulty_call call, int first, int times, int error)
{
    atomic_store(&plans[call].first, first);
    atomic_store(&plans[call].error, error);
    atomic_store(&plans[call].left, times);
}

void faulty_calls_cut(enum faulty_call call, int first, int times, int size)
{
    faulty_calls_fail(call, first, times, -size);
}

void faulty_calls_pause(bool paused)
{
    atomic_fetch_add(&pauses, paused ? 1 : -1);
}

int faulty_calls_left(enum faulty_call call)
{
    return atomic_load(&plans[call].left);
}

int faulty_calls_made(enum faulty_call call)
{
    return atomic_load(&plans[call].made);
}

/* The result of a call that is not made: an errno, or 0. */
static bool fails(enum faulty_call call, int *error)
{
    struct plan *plan = &plans[call];
    void (*before)(void *user);

    if (atomic_load(&pauses) > 0)
        return false;
    before = atomic_exchange(&plan->before, NULL);
    if (before)
        before(plan->user);
    atomic_fetch_add(&plan->made, 1);
    if (!atomic_load(&plan->left) || atomic_fetch_sub(&plan->first, 1) > 0)
        return false;
    atomic_fetch_sub(&plan->left, 1);
    *error = atomic_load(&plan->error);
    return true;
}

/* Returns the number of bytes to make the call with. Returns false if the call is not made. */
static bool allows(enum faulty_call call, size_t *size, int *error)
{
    if (!fails(call, error))
        return true;
    if (*error >= 0)
        return false;
    if (*size > (size_t) - *error)
        *size = (size_t) - *error;
    return true;
}

/* The same for pieces. */
static bool allows_pieces(enum faulty_call call, struct iovec *first, struct iovec **iov, size_t *count,
                          int *error)
{
    size_t size = SIZE_MAX;

    if (!allows(call, &size, error))
        return false;
    if (size == SIZE_MAX)
        return true;
    *first = **iov;
    if (first->iov_len > size)
        first->iov_len = size;
    *iov = first;
    *count = 1;
    return true;
}

static int result_of(int error)
{
    if (!error)
        return 0;
    errno = error;
    return -1;
}

ssize_t __real_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __real_writev(int fd, const struct iovec *iov, int count);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int count);
ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
int __real_poll(struct pollfd *polls, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *polls, nfds_t count, int timeout);
int __real_fcntl(int fd, int operation, ...);
int __wrap_fcntl(int fd, int operation, ...);
int __wrap_fcntl64(int fd, int operation, ...);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __real_pipe(int ends[2]);
int __wrap_pipe(int ends[2]);
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout);
int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __real_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how);
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);
int __wrap_fstat64(int fd, struct stat *status);
/* In glibc with words of 32 bits, the two fill in different structs. */
#if defined(__GLIBC__) && SIZE_MAX == UINT32_MAX
int __real_fstat64(int fd, struct stat *status);
#define real_fstat64 __real_fstat64
#else
#define real_fstat64 __real_fstat
#endif
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __real_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __real_pthread_condattr_init(pthread_condattr_t *attributes);
int __wrap_pthread_condattr_init(pthread_condattr_t *attributes);
int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    int error;

    return allows(FAULTY_SEND, &size, &error) ? __real_send(fd, bytes, size, flags) : result_of(error);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr made = *message;
    struct iovec first;
    size_t count = (size_t)message->msg_iovlen;
    int error;

    if (!allows_pieces(FAULTY_SENDMSG, &first, &made.msg_iov, &count, &error))
        return result_of(error);
    made.msg_iovlen = (unsigned short)count;
    return __real_sendmsg(fd, &made, flags);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    int error;

    return fails(FAULTY_RECV, &error) ? result_of(error) : __real_recv(fd, bytes, size, flags);
}

ssize_t __wrap_writev(int fd, const struct iovec *iov, int count)
{
    struct iovec first, *made = (struct iovec *)(uintptr_t)iov;
    size_t pieces = (size_t)count;
    int error;

    if (!allows_pieces(FAULTY_WRITEV, &first, &made, &pieces, &error))
        return result_of(error);
    return __real_writev(fd, made, (int)pieces);
}

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    int error;

    return allows(FAULTY_READ, &size, &error) ? __real_read(fd, bytes, size) : result_of(error);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    int error;

    return allows(FAULTY_WRITE, &size, &error) ? __real_write(fd, bytes, size) : result_of(error);
}

int __wrap_poll(struct pollfd *polls, nfds_t count, int timeout)
{
    int error;

    return fails(FAULTY_POLL, &error) ? result_of(error) : __real_poll(polls, count, timeout);
}

/* Every fcntl operation that the library uses takes an int, or nothing. */
int __wrap_fcntl(int fd, int operation, ...)
{
    va_list arguments;
    int argument, error;

    va_start(arguments, operation);
    argument = va_arg(arguments, int);
    va_end(arguments);
    return fails(FAULTY_FCNTL, &error) ? result_of(error) : __real_fcntl(fd, operation, argument);
}

/* With 64-bit offsets glibc uses this name. */
int __wrap_fcntl64(int fd, int operation, ...)
{
    va_list arguments;
    int argument;

    va_start(arguments, operation);
    argument = va_arg(arguments, int);
    va_end(arguments);
    return __wrap_fcntl(fd, operation, argument);
}

int __wrap_close(int fd)
{
    int error = 0;
    bool failed = fails(FAULTY_CLOSE, &error);
    int result = __real_close(fd);

    return failed ? result_of(error) : result;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int error;

    return fails(FAULTY_GETSOCKOPT, &error) ? result_of(error)
                                            : __real_getsockopt(fd, level, name, value, size);
}

int __wrap_pipe(int ends[2])
{
    int error;

    return fails(FAULTY_PIPE, &error) ? result_of(error) : __real_pipe(ends);
}

int __wrap_eventfd(unsigned value, int flags)
{
    int error;

    return fails(FAULTY_EVENTFD, &error) ? result_of(error) : __real_eventfd(value, flags);
}

int __wrap_epoll_create1(int flags)
{
    int error;

    return fails(FAULTY_EPOLL_CREATE1, &error) ? result_of(error) : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    int error;

    return operation == EPOLL_CTL_ADD && fails(FAULTY_EPOLL_CTL, &error)
               ? result_of(error)
               : __real_epoll_ctl(epoll, operation, fd, event);
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
    int error;

    return fails(FAULTY_EPOLL_WAIT, &error) ? result_of(error)
                                            : __real_epoll_wait(epoll, events, count, timeout);
}

int __wrap_timerfd_create(int clock, int flags)
{
    int error;

    return fails(FAULTY_TIMERFD_CREATE, &error) ? result_of(error) : __real_timerfd_create(clock, flags);
}

int __wrap_shutdown(int fd, int how)
{
    int error;

    return fails(FAULTY_SHUTDOWN, &error) ? result_of(error) : __real_shutdown(fd, how);
}

int __wrap_fstat(int fd, struct stat *status)
{
    int error;

    return fails(FAULTY_FSTAT, &error) ? result_of(error) : __real_fstat(fd, status);
}

/* There is no mode, because the library creates no file. */
int __wrap_open(const char *path, int flags, ...)
{
    int error;

    return fails(FAULTY_OPEN, &error) ? result_of(error) : __real_open(path, flags);
}

/* With 64-bit offsets glibc uses these names. */
int __wrap_fstat64(int fd, struct stat *status)
{
    int error;

    return fails(FAULTY_FSTAT, &error) ? result_of(error) : real_fstat64(fd, status);
}

int __wrap_open64(const char *path, int flags, ...)
{
    return __wrap_open(path, flags);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    int error;

    return fails(FAULTY_SETSOCKOPT, &error) ? result_of(error)
                                            : __real_setsockopt(fd, level, name, value, size);
}

/* These calls return their error. An object that was not made must not be used. */
static int refuse(void *object, size_t size, int error)
{
    memset(object, 0xa5, size);
    return error;
}

int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    int error;

    return fails(FAULTY_COND_INIT, &error) ? refuse(condition, sizeof(*condition), error)
                                           : __real_pthread_cond_init(condition, attributes);
}

int __wrap_pthread_condattr_init(pthread_condattr_t *attributes)
{
    int error;

    return fails(FAULTY_CONDATTR_INIT, &error) ? refuse(attributes, sizeof(*attributes), error)
                                               : __real_pthread_condattr_init(attributes);
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    int error;

    return fails(FAULTY_MUTEX_INIT, &error) ? refuse(mutex, sizeof(*mutex), error)
                                            : __real_pthread_mutex_init(mutex, attributes);
}
