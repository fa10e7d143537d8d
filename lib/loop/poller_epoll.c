/* SPDX-License-Identifier: MIT */
#include "loop/poller.h"

#include <errno.h>

#ifdef SSE_HAVE_EPOLL

#include "base/platform.h"

#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

struct epoll_poller {
    struct poller poller; /* first: a poller is cast back to it */
    const struct sse_platform *platform;
    int descriptor;
    atomic_int timer; /* a timerfd; -1: nobody asked for the descriptor yet */
};

/* The name of the timer. No descriptor has it, because their numbers are not negative. */
#define TIMER_NAME UINT64_MAX

static struct epoll_poller *of(struct poller *poller)
{
    return (struct epoll_poller *)(void *)poller;
}

static uint64_t name_of(int descriptor, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint32_t)descriptor;
}

static int control(struct poller *poller, int operation, int descriptor, uint64_t name, uint32_t asked)
{
    struct epoll_event event = {.events = asked | (uint32_t)EPOLLET, .data.u64 = name};

    return epoll_ctl(of(poller)->descriptor, operation, descriptor, &event) ? -errno : 0;
}

/* The interest of a socket has output from the beginning, so that it never has to change while other threads fill
 * and empty the queue. That of an eventfd does not, because it would report output each time it is read. */
static uint32_t asked_of(unsigned interest)
{
    uint32_t asked = 0;

    if (interest & POLLER_INPUT)
        asked |= EPOLLIN | EPOLLRDHUP | EPOLLOUT;
    if (interest & POLLER_WAKE)
        asked |= EPOLLIN;
    if (interest & POLLER_HANGUP)
        asked |= EPOLLRDHUP;
    if (interest & POLLER_OUTPUT)
        asked |= EPOLLOUT;
    return asked;
}

static int add(struct poller *poller, int descriptor, uint32_t generation, unsigned interest)
{
    return control(poller, EPOLL_CTL_ADD, descriptor, name_of(descriptor, generation), asked_of(interest));
}

/* If the interest shrinks, no call is needed, because one report too many does no harm. */
static void change(struct poller *poller, int descriptor, uint32_t generation, unsigned interest)
{
    if (interest & POLLER_OUTPUT && !(interest & POLLER_INPUT))
        (void)control(poller, EPOLL_CTL_MOD, descriptor, name_of(descriptor, generation), asked_of(interest));
}

static void remove_descriptor(struct poller *poller, int descriptor)
{
    (void)control(poller, EPOLL_CTL_DEL, descriptor, 0, 0);
}

static unsigned happened_of(uint32_t told)
{
    unsigned happened = 0;

    if (told & (uint32_t)EPOLLIN)
        happened |= POLLER_INPUT;
    if (told & (uint32_t)EPOLLRDHUP)
        happened |= POLLER_HANGUP;
    if (told & (uint32_t)EPOLLOUT)
        happened |= POLLER_OUTPUT;
    if (told & (uint32_t)(EPOLLERR | EPOLLHUP))
        happened |= POLLER_ERROR;
    return happened;
}

/* The timerfd is not read, because it is reported only once until it is set again. */
static int wait_for_events(struct poller *poller, struct poller_event *events, int timeout_ms)
{
    struct epoll_event told[POLLER_EVENTS_MAX];
    int count = epoll_wait(of(poller)->descriptor, told, POLLER_EVENTS_MAX, timeout_ms);
    int found = 0;

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        uint64_t name = told[i].data.u64;

        if (name != TIMER_NAME)
            events[found++] = (struct poller_event){.descriptor = (int)(uint32_t)name,
                                                    .generation = (uint32_t)(name >> 32),
                                                    .happened = happened_of(told[i].events)};
    }
    return found;
}

#ifdef SSE_HAVE_TIMERFD

#include <sys/timerfd.h>

#define NANOSECONDS_PER_SECOND UINT64_C(1000000000)

static int open_timer(struct poller *poller)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int none = -1, error;

    if (timer < 0)
        return -errno;
    error = control(poller, EPOLL_CTL_ADD, timer, TIMER_NAME, EPOLLIN);
    /* Another thread may have opened a timer meanwhile. */
    if (error || !atomic_compare_exchange_strong(&of(poller)->timer, &none, timer))
        close(timer);
    return error;
}

static int descriptor(struct poller *poller)
{
    struct epoll_poller *self = of(poller);
    int error = atomic_load(&self->timer) < 0 ? open_timer(poller) : 0;

    return error ? error : self->descriptor;
}

static void set_timer(struct poller *poller, uint64_t nanoseconds)
{
    uint64_t seconds = nanoseconds / NANOSECONDS_PER_SECOND;
    struct itimerspec spec = {.it_value = {0, 0}};

    /* "Never" is 68 years, which fit into every time_t. "At once" is a nanosecond, because 0 would stop
     * the timer. */
    spec.it_value.tv_sec = (time_t)(seconds < INT32_MAX ? seconds : INT32_MAX);
    spec.it_value.tv_nsec = nanoseconds ? (long)(nanoseconds % NANOSECONDS_PER_SECOND) : 1;
    (void)timerfd_settime(atomic_load(&of(poller)->timer), 0, &spec, NULL);
}

#else

static int descriptor(struct poller *poller)
{
    (void)poller;
    return -ENOTSUP;
}

#endif

static void free_poller(struct poller *poller)
{
    struct epoll_poller *self = of(poller);
    int timer = atomic_load(&self->timer);

    if (timer >= 0)
        close(timer);
    close(self->descriptor);
    sse_platform_deallocate(self->platform, self);
}

int sse_poller_epoll_new(struct poller **poller, const struct sse_platform *platform)
{
    struct epoll_poller *made = sse_platform_allocate(platform, sizeof(*made));

    if (!made)
        return -ENOMEM;
    *made = (struct epoll_poller){
        .poller = {.add = add,
                   .change = change,
                   .remove = remove_descriptor,
                   .wait = wait_for_events,
                   .descriptor = descriptor,
                   .free = free_poller},
        .platform = platform,
        .descriptor = epoll_create1(EPOLL_CLOEXEC),
    };
#ifdef SSE_HAVE_TIMERFD
    made->poller.set_timer = set_timer;
#endif
    atomic_init(&made->timer, -1);
    if (made->descriptor < 0) {
        int error = -errno;

        sse_platform_deallocate(platform, made);
        return error;
    }
    *poller = &made->poller;
    return 0;
}

#else

int sse_poller_epoll_new(struct poller **poller, const struct sse_platform *platform)
{
    (void)poller;
    (void)platform;
    return -ENOTSUP;
}

#endif
