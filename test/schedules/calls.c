/* SPDX-License-Identifier: MIT */
#include "calls.h"
#include "failure.h"
#include "scheduler.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static bool is_forbidden[DESCRIPTORS_MAX];
static bool is_closed[DESCRIPTORS_MAX];
static int full = -1;

ssize_t __real_send(int descriptor, const void *bytes, size_t size, int flags);
ssize_t __real_sendmsg(int descriptor, const struct msghdr *message, int flags);
ssize_t __real_recv(int descriptor, void *bytes, size_t size, int flags);
ssize_t __real_read(int descriptor, void *bytes, size_t size);
ssize_t __real_write(int descriptor, const void *bytes, size_t size);
int __real_shutdown(int descriptor, int how);
int __real_close(int descriptor);
int __real_epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event *event);
int __real_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms);

void calls_clear(void)
{
    for (int i = 0; i < DESCRIPTORS_MAX; i++)
        is_forbidden[i] = is_closed[i] = false;
    full = -1;
}

void calls_begin(int descriptor)
{
    require(descriptor < DESCRIPTORS_MAX);
    is_forbidden[descriptor] = is_closed[descriptor] = false;
}

void calls_forbid(int descriptor)
{
    is_forbidden[descriptor] = true;
    scheduler_touch(TOUCHES_SYSTEM);
}

void calls_set_full(int descriptor, bool is_full)
{
    full = is_full ? descriptor : -1;
    scheduler_touch(TOUCHES_SYSTEM);
}

static void take_step(const char *what, int descriptor, const void *code)
{
    const struct step step = {.what = what, .touches = TOUCHES_SYSTEM, .place = code};

    require(descriptor < DESCRIPTORS_MAX);
    scheduler_step(&step);
    if (descriptor >= 0 && is_forbidden[descriptor])
        failure("a descriptor is used after sse_emitter_close has returned: %s %d, at [%p]", what, descriptor,
                code);
    if (descriptor >= 0 && is_closed[descriptor])
        failure("a descriptor is used that is closed: %s %d, at [%p]", what, descriptor, code);
}

ssize_t __wrap_send(int descriptor, const void *bytes, size_t size, int flags)
{
    take_step("send", descriptor, CALLER);
    if (descriptor == full) {
        errno = EAGAIN;
        return -1;
    }
    return __real_send(descriptor, bytes, size, flags);
}

ssize_t __wrap_sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    take_step("sendmsg", descriptor, CALLER);
    if (descriptor == full) {
        errno = EAGAIN;
        return -1;
    }
    return __real_sendmsg(descriptor, message, flags);
}

ssize_t __wrap_recv(int descriptor, void *bytes, size_t size, int flags)
{
    take_step("recv", descriptor, CALLER);
    return __real_recv(descriptor, bytes, size, flags);
}

ssize_t __wrap_read(int descriptor, void *bytes, size_t size)
{
    take_step("read", descriptor, CALLER);
    return __real_read(descriptor, bytes, size);
}

ssize_t __wrap_write(int descriptor, const void *bytes, size_t size)
{
    take_step("write", descriptor, CALLER);
    return __real_write(descriptor, bytes, size);
}

int __wrap_shutdown(int descriptor, int how)
{
    take_step("shutdown", descriptor, CALLER);
    return __real_shutdown(descriptor, how);
}

int __wrap_close(int descriptor)
{
    take_step("close", descriptor, CALLER);
    is_closed[descriptor] = true;
    return __real_close(descriptor);
}

int __wrap_epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event *event)
{
    take_step("epoll_ctl", descriptor, CALLER);
    return __real_epoll_ctl(epoll, operation, descriptor, event);
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
    take_step("epoll_wait", epoll, CALLER);
    require(timeout_ms == 0);
    return __real_epoll_wait(epoll, events, count, timeout_ms);
}

/* Time does not pass, except on the platform's clock. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    (void)clock;
    *time = (struct timespec){.tv_sec = 1};
    return 0;
}

int __wrap_timerfd_settime(int timer, int flags, const struct itimerspec *to, struct itimerspec *before)
{
    (void)timer;
    (void)flags;
    (void)to;
    (void)before;
    return 0;
}
