/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* POLLRDHUP */

#include "base/array.h"
#include "base/process.h"
#include "loop/poller.h"

#include <errno.h>
#include <poll.h>

#if defined(POLLRDHUP) && !defined(SSE_BARE_SYSTEM)
#define PEER_CLOSED POLLRDHUP
#else
#define PEER_CLOSED 0
#endif

#define NOWHERE UINT32_MAX

/* A descriptor that was added. */
struct entry {
    int descriptor;
    uint32_t generation;
    unsigned interest;
    bool asked; /* it is in `polls` */
};

/* Each wait costs time in proportion to the number of descriptors, as poll(2) itself does. */
struct poll_poller {
    struct poller poller; /* first: a poller is cast back to it */
    const struct sse_platform *platform;
    pthread_mutex_t lock; /* guards all but what is the waiting thread's; not held while waiting */
    struct array entries;
    uint32_t count;
    struct array places;   /* for each descriptor, where its entry is, or NOWHERE */
    uint32_t capacity;     /* of `larger`, or of `polls` if `larger` is NULL */
    struct pollfd *larger; /* replaces `polls` before the next poll(2), or NULL */

    /* The waiting thread's. */
    struct pollfd *polls; /* the argument of poll(2), and its result */
    uint32_t polled;      /* how many of them have a result */
    uint32_t read;        /* how many of these were read */
    bool more;            /* the last wait filled its events, so the next one reads on */
};

static struct poll_poller *of(struct poller *poller)
{
    return (struct poll_poller *)(void *)poller;
}

static struct entry *entry_at(struct poll_poller *self, uint32_t position)
{
    return sse_array_at(&self->entries, sizeof(struct entry), position);
}

static uint32_t *place_of(struct poll_poller *self, uint32_t descriptor)
{
    return sse_array_at(&self->places, sizeof(uint32_t), descriptor);
}

static struct entry *find(struct poll_poller *self, int descriptor)
{
    uint32_t number = (uint32_t)descriptor;

    if (number >= self->places.capacity || *place_of(self, number) == NOWHERE)
        return NULL;
    return entry_at(self, *place_of(self, number));
}

static bool reserve_place(struct poll_poller *self, uint32_t descriptor)
{
    uint32_t before = self->places.capacity;
    bool enough = sse_array_reserve(&self->places, sizeof(uint32_t), (size_t)descriptor + 1, self->platform);

    for (uint32_t i = before; i < self->places.capacity; i++)
        *place_of(self, i) = NOWHERE;
    return enough;
}

/* Makes room in `polls` when a descriptor is added, so that a wait needs no memory. */
static bool reserve_poll(struct poll_poller *self)
{
    uint32_t capacity = self->capacity ? self->capacity * 2 : 16;
    struct pollfd *polls;

    if (self->count < self->capacity)
        return true;
    polls = sse_platform_allocate(self->platform, capacity * sizeof(*polls));
    if (!polls)
        return false;
    sse_platform_deallocate(self->platform, self->larger);
    self->larger = polls;
    self->capacity = capacity;
    return true;
}

static int add_entry(struct poll_poller *self, const struct entry *entry)
{
    uint32_t number = (uint32_t)entry->descriptor;

    if (find(self, entry->descriptor))
        return -EEXIST;
    if (!reserve_place(self, number) || !reserve_poll(self) ||
        !sse_array_reserve(&self->entries, sizeof(*entry), (size_t)self->count + 1, self->platform))
        return -ENOMEM;
    *place_of(self, number) = self->count;
    *entry_at(self, self->count++) = *entry;
    return 0;
}

static int add(struct poller *poller, int descriptor, uint32_t generation, unsigned interest)
{
    const struct entry entry = {.descriptor = descriptor, .generation = generation, .interest = interest};
    int error;

    if (descriptor < 0)
        return -EBADF;
    pthread_mutex_lock(&of(poller)->lock);
    error = add_entry(of(poller), &entry);
    pthread_mutex_unlock(&of(poller)->lock);
    return error;
}

static void change(struct poller *poller, int descriptor, uint32_t generation, unsigned interest)
{
    struct poll_poller *self = of(poller);
    struct entry *entry;

    pthread_mutex_lock(&self->lock);
    entry = find(self, descriptor);
    if (entry && entry->generation == generation)
        entry->interest = interest;
    pthread_mutex_unlock(&self->lock);
}

static void remove_descriptor(struct poller *poller, int descriptor)
{
    struct poll_poller *self = of(poller);
    struct entry *entry, *last;

    pthread_mutex_lock(&self->lock);
    entry = find(self, descriptor);
    if (entry) {
        last = entry_at(self, --self->count);
        *place_of(self, (uint32_t)last->descriptor) = *place_of(self, (uint32_t)descriptor);
        *place_of(self, (uint32_t)descriptor) = NOWHERE;
        *entry = *last;
    }
    pthread_mutex_unlock(&self->lock);
}

/* If only the hang-up is of interest, poll is not asked for input: nobody reads it, so it would be reported for
 * ever. */
static short asked_of(unsigned interest)
{
    int asked = 0;

    if (interest & (POLLER_INPUT | POLLER_WAKE))
        asked |= POLLIN;
    if (interest & (POLLER_INPUT | POLLER_HANGUP))
        asked |= PEER_CLOSED;
    if (interest & POLLER_OUTPUT)
        asked |= POLLOUT;
    return (short)asked;
}

static unsigned happened_of(short told)
{
    unsigned happened = 0;

    if (told & POLLIN)
        happened |= POLLER_INPUT;
    if (told & PEER_CLOSED)
        happened |= POLLER_HANGUP;
    if (told & POLLOUT)
        happened |= POLLER_OUTPUT;
    if (told & (POLLERR | POLLHUP))
        happened |= POLLER_ERROR;
    if (told & POLLNVAL)
        happened |= POLLER_INVALID;
    return happened;
}

static uint32_t fill_in(struct poll_poller *self)
{
    uint32_t count;

    pthread_mutex_lock(&self->lock);
    if (self->larger) {
        sse_platform_deallocate(self->platform, self->polls);
        self->polls = self->larger;
        self->larger = NULL;
    }
    count = self->count;
    for (uint32_t i = 0; i < count; i++) {
        struct entry *entry = entry_at(self, i);

        self->polls[i] = (struct pollfd){.fd = entry->descriptor, .events = asked_of(entry->interest)};
        entry->asked = true;
    }
    pthread_mutex_unlock(&self->lock);
    return count;
}

/* Fills in the events. A descriptor that was removed during the wait is left out, even if its number was added
 * again. */
static int collect(struct poll_poller *self, struct poller_event *events)
{
    int found = 0;

    pthread_mutex_lock(&self->lock);
    while (self->read < self->polled && found < POLLER_EVENTS_MAX) {
        const struct pollfd *told = &self->polls[self->read++];
        const struct entry *entry = told->revents ? find(self, told->fd) : NULL;

        if (entry && entry->asked)
            events[found++] = (struct poller_event){.descriptor = told->fd,
                                                    .generation = entry->generation,
                                                    .happened = happened_of(told->revents)};
    }
    pthread_mutex_unlock(&self->lock);
    self->more = found == POLLER_EVENTS_MAX;
    return found;
}

/* One poll(2) is enough for all that is ready. With a poll(2) for each report, many descriptors that are ready
 * would cost the square of their number. */
static int wait_for_events(struct poller *poller, struct poller_event *events, int timeout_ms)
{
    struct poll_poller *self = of(poller);
    uint32_t count;
    int ready;

    if (self->more)
        return collect(self, events);
    count = fill_in(self);
    ready = poll(self->polls, (nfds_t)count, timeout_ms);
    if (ready < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    self->polled = ready ? count : 0;
    self->read = 0;
    return collect(self, events);
}

static int descriptor(struct poller *poller)
{
    (void)poller;
    return -ENOTSUP;
}

static void free_poller(struct poller *poller)
{
    struct poll_poller *self = of(poller);

    if (process_left_locked(&self->lock))
        return;
    pthread_mutex_destroy(&self->lock);
    sse_array_free(&self->entries, self->platform);
    sse_array_free(&self->places, self->platform);
    sse_platform_deallocate(self->platform, self->polls);
    sse_platform_deallocate(self->platform, self->larger);
    sse_platform_deallocate(self->platform, self);
}

int sse_poller_poll_new(struct poller **poller, const struct sse_platform *platform)
{
    struct poll_poller *made = sse_platform_allocate(platform, sizeof(*made));

    if (!made)
        return -ENOMEM;
    *made = (struct poll_poller){
        .poller = {.add = add,
                   .change = change,
                   .remove = remove_descriptor,
                   .wait = wait_for_events,
                   .descriptor = descriptor,
                   .free = free_poller},
        .platform = platform,
    };
    if (pthread_mutex_init(&made->lock, NULL)) {
        sse_platform_deallocate(platform, made);
        return -ENOMEM;
    }
    *poller = &made->poller;
    return 0;
}
