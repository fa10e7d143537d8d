/* SPDX-License-Identifier: MIT */
#include "driver/memory.h"
#include "driver/poller.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

struct poll_poller {
    struct poller poller; /* first: a poller is cast back to it */
    const struct sse_host *host;
    pthread_mutex_t lock; /* guards all but `polls`; not held while waiting */
    struct poller_item **items;
    size_t count;
    size_t capacity;
    struct pollfd *polls;  /* of the thread that waits, in the order of the items */
    struct pollfd *larger; /* for its next wait, because the items have become more; or NULL */
    size_t cursor;         /* where to look first, so that none is passed over for ever */
};

static struct poll_poller *of(struct poller *poller)
{
    return (struct poll_poller *)(void *)poller;
}

/* Reserves for the waiting thread too, which then cannot fail. */
static int grow(struct poll_poller *self)
{
    size_t capacity = self->capacity ? self->capacity * 2 : 16;
    struct poller_item **items = memory_allocate(self->host, capacity * sizeof(struct poller_item *));
    struct pollfd *polls = memory_allocate(self->host, capacity * sizeof(*polls));

    if (!items || !polls) {
        memory_release(self->host, items);
        memory_release(self->host, polls);
        return -ENOMEM;
    }
    if (self->count)
        memcpy(items, self->items, self->count * sizeof(struct poller_item *));
    memory_release(self->host, self->items);
    memory_release(self->host, self->larger);
    self->items = items;
    self->larger = polls;
    self->capacity = capacity;
    return 0;
}

static int add(struct poller *poller, struct poller_item *item)
{
    struct poll_poller *self = of(poller);
    int error = 0;

    pthread_mutex_lock(&self->lock);
    if (self->count == self->capacity)
        error = grow(self);
    if (!error) {
        item->position = self->count;
        self->items[self->count++] = item;
    }
    pthread_mutex_unlock(&self->lock);
    return error;
}

static void change(struct poller *poller, struct poller_item *item, unsigned interest)
{
    struct poll_poller *self = of(poller);

    pthread_mutex_lock(&self->lock);
    item->interest = interest;
    pthread_mutex_unlock(&self->lock);
}

static void remove_item(struct poller *poller, struct poller_item *item)
{
    struct poll_poller *self = of(poller);
    struct poller_item *last;

    pthread_mutex_lock(&self->lock);
    last = self->items[--self->count];
    self->items[item->position] = last;
    last->position = item->position;
    pthread_mutex_unlock(&self->lock);
}

static short asked_of(unsigned interest)
{
    return (short)((interest & POLLER_INPUT ? POLLIN : 0) | (interest & POLLER_OUTPUT ? POLLOUT : 0));
}

static unsigned happened_of(short told)
{
    unsigned happened = 0;

    if (told & POLLIN)
        happened |= POLLER_INPUT;
    if (told & POLLOUT)
        happened |= POLLER_OUTPUT;
    if (told & (POLLERR | POLLHUP))
        happened |= POLLER_ERROR;
    if (told & POLLNVAL)
        happened |= POLLER_INVALID;
    return happened;
}

static size_t fill_in(struct poll_poller *self)
{
    size_t count;

    pthread_mutex_lock(&self->lock);
    if (self->larger) {
        memory_release(self->host, self->polls);
        self->polls = self->larger;
        self->larger = NULL;
    }
    count = self->count;
    for (size_t i = 0; i < count; i++) {
        const struct poller_item *item = self->items[i];

        self->polls[i] = (struct pollfd){.fd = item->descriptor, .events = asked_of(item->interest)};
    }
    pthread_mutex_unlock(&self->lock);
    return count;
}

/* During the wait items were at most added, at the end: the first `count` are those that were asked. */
static int collect(struct poll_poller *self, size_t count, int ready, struct poller_event *events)
{
    size_t start = self->cursor;
    int found = 0;

    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < count && found < ready && found < POLLER_EVENTS_MAX; i++) {
        size_t at = (start + i) % count;

        if (!self->polls[at].revents)
            continue;
        events[found++] =
            (struct poller_event){.item = self->items[at], .happened = happened_of(self->polls[at].revents)};
        self->cursor = at + 1;
    }
    pthread_mutex_unlock(&self->lock);
    return found;
}

static int wait_for_events(struct poller *poller, struct poller_event *events, int timeout_ms)
{
    struct poll_poller *self = of(poller);
    size_t count = fill_in(self);
    int ready = poll(self->polls, (nfds_t)count, timeout_ms);

    if (ready < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    return collect(self, count, ready, events);
}

static int descriptor(const struct poller *poller)
{
    (void)poller;
    return -ENOTSUP;
}

static void free_poller(struct poller *poller)
{
    struct poll_poller *self = of(poller);

    pthread_mutex_destroy(&self->lock);
    memory_release(self->host, self->items);
    memory_release(self->host, self->polls);
    memory_release(self->host, self->larger);
    memory_release(self->host, self);
}

int sse_poller_poll_new(struct poller **poller, const struct sse_host *host)
{
    struct poll_poller *made = memory_allocate(host, sizeof(*made));

    if (!made)
        return -ENOMEM;
    *made = (struct poll_poller){
        .poller = {.add = add,
                   .change = change,
                   .remove = remove_item,
                   .wait = wait_for_events,
                   .descriptor = descriptor,
                   .free = free_poller},
        .host = host,
    };
    if (pthread_mutex_init(&made->lock, NULL)) {
        memory_release(host, made);
        return -ENOMEM;
    }
    *poller = &made->poller;
    return 0;
}
