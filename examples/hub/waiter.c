/* SPDX-License-Identifier: MIT */
#include "waiter.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef SSE_HAVE_EPOLL

#include <sys/epoll.h>

static int epoll_begin(struct waiter *waiter)
{
    waiter->epoll = epoll_create1(EPOLL_CLOEXEC);
    return waiter->epoll < 0 ? -errno : 0;
}

static int epoll_set(struct waiter *waiter, int fd, short events, void *user, bool is_known)
{
    struct epoll_event event = {
        .events = ((events & POLLIN) != 0 ? (uint32_t)EPOLLIN : 0) |
                  ((events & POLLOUT) != 0 ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = user,
    };

    return epoll_ctl(waiter->epoll, is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void epoll_remove(struct waiter *waiter, int fd)
{
    struct epoll_event event = {.events = 0};

    (void)epoll_ctl(waiter->epoll, EPOLL_CTL_DEL, fd, &event);
}

static int wait_with_epoll(struct waiter *waiter, int timeout_ms, struct waiter_event *events)
{
    struct epoll_event found[WAITER_EVENTS_MAX];
    int count = epoll_wait(waiter->epoll, found, WAITER_EVENTS_MAX, timeout_ms);

    for (int i = 0; i < count; ++i) {
        uint32_t told = found[i].events;
        int happened = ((told & (uint32_t)EPOLLIN) != 0 ? POLLIN : 0) |
                       ((told & (uint32_t)EPOLLOUT) != 0 ? POLLOUT : 0) |
                       ((told & (uint32_t)EPOLLERR) != 0 ? POLLERR : 0) |
                       ((told & (uint32_t)EPOLLHUP) != 0 ? POLLHUP : 0);

        events[i] = (struct waiter_event){.user = found[i].data.ptr, .events = (short)happened};
    }
    return count < 0 ? -errno : count;
}

#else

static int epoll_begin(struct waiter *waiter)
{
    (void)waiter;
    return -ENOTSUP;
}

static int epoll_set(struct waiter *waiter, int fd, short events, void *user, bool is_known)
{
    (void)waiter, (void)fd, (void)events, (void)user, (void)is_known;
    return -ENOTSUP;
}

static void epoll_remove(struct waiter *waiter, int fd)
{
    (void)waiter, (void)fd;
}

static int wait_with_epoll(struct waiter *waiter, int timeout_ms, struct waiter_event *events)
{
    (void)waiter, (void)timeout_ms, (void)events;
    return -ENOTSUP;
}

#endif

int waiter_begin(struct waiter *waiter, enum sse_poller poller, size_t capacity)
{
    int error = 0;

    *waiter = (struct waiter){.epoll = -1, .capacity = capacity};
    if (poller != SSE_POLLER_POLL)
        error = epoll_begin(waiter);
    if (error == 0 && waiter->epoll >= 0)
        return 0;
    if (error < 0 && (poller == SSE_POLLER_EPOLL || error != -ENOTSUP))
        return error;
    waiter->polls = calloc(capacity, sizeof(*waiter->polls));
    waiter->users = calloc(capacity, sizeof(*waiter->users));
    if (waiter->polls && waiter->users)
        return 0;
    waiter_end(waiter);
    return -ENOMEM;
}

static size_t find(const struct waiter *waiter, int fd, const void *user)
{
    size_t i = 0;

    while (i < waiter->count && (waiter->polls[i].fd != fd || waiter->users[i] != user))
        ++i;
    return i;
}

int waiter_set(struct waiter *waiter, int fd, short events, void *user, bool is_known)
{
    size_t i;

    if (waiter->epoll >= 0)
        return epoll_set(waiter, fd, events, user, is_known);
    i = is_known ? find(waiter, fd, user) : waiter->count;
    if (i == waiter->capacity)
        return -ENOSPC;
    if (i == waiter->count)
        ++waiter->count;
    waiter->polls[i] = (struct pollfd){.fd = fd, .events = events};
    waiter->users[i] = user;
    return 0;
}

void waiter_remove(struct waiter *waiter, int fd, const void *user)
{
    size_t i;

    if (waiter->epoll >= 0) {
        epoll_remove(waiter, fd);
        return;
    }
    i = find(waiter, fd, user);
    if (i == waiter->count)
        return;
    --waiter->count;
    waiter->polls[i] = waiter->polls[waiter->count];
    waiter->users[i] = waiter->users[waiter->count];
}

static int wait_with_poll(struct waiter *waiter, int timeout_ms, struct waiter_event *events)
{
    int ready = poll(waiter->polls, (nfds_t)waiter->count, timeout_ms);
    int count = 0;

    if (ready < 0)
        return -errno;
    for (size_t i = 0; i < waiter->count && count < ready && count < WAITER_EVENTS_MAX; ++i) {
        size_t at = (waiter->next + i) % waiter->count;

        if (waiter->polls[at].revents == 0)
            continue;
        events[count++] =
            (struct waiter_event){.user = waiter->users[at], .events = waiter->polls[at].revents};
        if (count == WAITER_EVENTS_MAX)
            waiter->next = at + 1;
    }
    return count;
}

int waiter_wait(struct waiter *waiter, int timeout_ms, struct waiter_event *events)
{
    int count = waiter->epoll >= 0 ? wait_with_epoll(waiter, timeout_ms, events)
                                   : wait_with_poll(waiter, timeout_ms, events);

    return count == -EINTR || count == -EAGAIN ? 0 : count;
}

void waiter_end(struct waiter *waiter)
{
    if (waiter->epoll >= 0)
        close(waiter->epoll);
    free(waiter->polls);
    free(waiter->users);
    *waiter = (struct waiter){.epoll = -1};
}
