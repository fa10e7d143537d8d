/* SPDX-License-Identifier: MIT */
#include "driver/poller.h"

#include <errno.h>

#ifdef SSE_HAVE_EPOLL

#include "driver/memory.h"

#include <sys/epoll.h>
#include <unistd.h>

struct epoll_poller {
    struct poller poller; /* first: a poller is cast back to it */
    const struct sse_host *host;
    int descriptor;
};

static struct epoll_poller *of(struct poller *poller)
{
    return (struct epoll_poller *)(void *)poller;
}

/* Edge-triggered, and asked for output from the beginning: then no interest ever has to change,
 * while other threads fill and empty the queue. */
static int add(struct poller *poller, struct poller_item *item)
{
    struct epoll_event event = {.events = (uint32_t)(EPOLLOUT | EPOLLET), .data.ptr = item};

    if (item->interest & POLLER_INPUT)
        event.events |= (uint32_t)(EPOLLIN | EPOLLRDHUP);
    return epoll_ctl(of(poller)->descriptor, EPOLL_CTL_ADD, item->descriptor, &event) ? -errno : 0;
}

static void change(struct poller *poller, struct poller_item *item, unsigned interest)
{
    (void)poller;
    item->interest = interest;
}

static void remove_item(struct poller *poller, struct poller_item *item)
{
    struct epoll_event unused = {.events = 0};

    (void)epoll_ctl(of(poller)->descriptor, EPOLL_CTL_DEL, item->descriptor, &unused);
}

static unsigned happened_of(uint32_t told)
{
    unsigned happened = 0;

    if (told & (uint32_t)(EPOLLIN | EPOLLRDHUP))
        happened |= POLLER_INPUT;
    if (told & (uint32_t)EPOLLOUT)
        happened |= POLLER_OUTPUT;
    if (told & (uint32_t)(EPOLLERR | EPOLLHUP))
        happened |= POLLER_ERROR;
    return happened;
}

static int wait_for_events(struct poller *poller, struct poller_event *events, int timeout_ms)
{
    struct epoll_event told[POLLER_EVENTS_MAX];
    int count = epoll_wait(of(poller)->descriptor, told, POLLER_EVENTS_MAX, timeout_ms);

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++)
        events[i] = (struct poller_event){.item = told[i].data.ptr, .happened = happened_of(told[i].events)};
    return count;
}

static int descriptor(const struct poller *poller)
{
    return ((const struct epoll_poller *)(const void *)poller)->descriptor;
}

static void free_poller(struct poller *poller)
{
    struct epoll_poller *self = of(poller);

    close(self->descriptor);
    memory_release(self->host, self);
}

int sse_poller_epoll_new(struct poller **poller, const struct sse_host *host)
{
    struct epoll_poller *made = memory_allocate(host, sizeof(*made));

    if (!made)
        return -ENOMEM;
    *made = (struct epoll_poller){
        .poller = {.add = add,
                   .change = change,
                   .remove = remove_item,
                   .wait = wait_for_events,
                   .descriptor = descriptor,
                   .free = free_poller},
        .host = host,
        .descriptor = epoll_create1(EPOLL_CLOEXEC),
    };
    if (made->descriptor < 0) {
        int error = -errno;

        memory_release(host, made);
        return error;
    }
    *poller = &made->poller;
    return 0;
}

#else

int sse_poller_epoll_new(struct poller **poller, const struct sse_host *host)
{
    (void)poller;
    (void)host;
    return -ENOTSUP;
}

#endif
