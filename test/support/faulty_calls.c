/* SPDX-License-Identifier: MIT */
#include "faulty_calls.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct plan {
    atomic_int made;
    atomic_int first;
    atomic_int left;
    atomic_int error;
    void (*_Atomic before)(void *user);
    void *user;
};

static struct plan plans[FAULTY_COUNT];

void faulty_calls_reset(void)
{
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

int faulty_calls_left(enum faulty_call call)
{
    return atomic_load(&plans[call].left);
}

int faulty_calls_made(enum faulty_call call)
{
    return atomic_load(&plans[call].made);
}

/* The results of a call that is not made: an errno, or 0. */
static bool fails(enum faulty_call call, int *error)
{
    struct plan *plan = &plans[call];
    void (*before)(void *user) = atomic_exchange(&plan->before, NULL);

    if (before)
        before(plan->user);
    atomic_fetch_add(&plan->made, 1);
    if (!atomic_load(&plan->left) || atomic_fetch_sub(&plan->first, 1) > 0)
        return false;
    atomic_fetch_sub(&plan->left, 1);
    *error = atomic_load(&plan->error);
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
int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    int error;

    return fails(FAULTY_SEND, &error) ? result_of(error) : __real_send(fd, bytes, size, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    int error;

    return fails(FAULTY_SENDMSG, &error) ? result_of(error) : __real_sendmsg(fd, message, flags);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    int error;

    return fails(FAULTY_RECV, &error) ? result_of(error) : __real_recv(fd, bytes, size, flags);
}

ssize_t __wrap_writev(int fd, const struct iovec *iov, int count)
{
    int error;

    return fails(FAULTY_WRITEV, &error) ? result_of(error) : __real_writev(fd, iov, count);
}

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    int error;

    return fails(FAULTY_READ, &error) ? result_of(error) : __real_read(fd, bytes, size);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    int error;

    return fails(FAULTY_WRITE, &error) ? result_of(error) : __real_write(fd, bytes, size);
}

int __wrap_poll(struct pollfd *polls, nfds_t count, int timeout)
{
    int error;

    return fails(FAULTY_POLL, &error) ? result_of(error) : __real_poll(polls, count, timeout);
}

/* Every operation that is used takes an int, or nothing. */
int __wrap_fcntl(int fd, int operation, ...)
{
    va_list arguments;
    int argument, error;

    va_start(arguments, operation);
    argument = va_arg(arguments, int);
    va_end(arguments);
    return fails(FAULTY_FCNTL, &error) ? result_of(error) : __real_fcntl(fd, operation, argument);
}

/* With 64-bit offsets glibc gives it this name. */
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
    int error;

    return fails(FAULTY_CLOSE, &error) ? result_of(error) : __real_close(fd);
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

    return fails(FAULTY_EPOLL_CTL, &error) ? result_of(error) : __real_epoll_ctl(epoll, operation, fd, event);
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

/* It returns its error. */
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    int error;

    return fails(FAULTY_MUTEX_INIT, &error) ? error : __real_pthread_mutex_init(mutex, attributes);
}
