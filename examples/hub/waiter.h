/* SPDX-License-Identifier: MIT */
#ifndef HUB_WAITER_H
#define HUB_WAITER_H

/**
 * Waits for many descriptors: with epoll(7) if there is one, so that those where nothing happens cost
 * nothing, otherwise with poll(2).
 */

#include <sse/loop.h>

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/** The most that one wait reports. */
#define WAITER_EVENTS_MAX 64

struct waiter_event {
    void *user;
    short events; /**< as poll(2) reports them */
};

struct waiter {
    int epoll; /**< -1 with poll(2) */
    /* With poll(2). */
    struct pollfd *polls;
    void **users;
    size_t count;
    size_t capacity;
    size_t next; /**< where the next wait begins to report, so that every descriptor has its turn */
};

/** `capacity` descriptors at most. Returns 0 or a negative errno. */
int waiter_begin(struct waiter *waiter, enum sse_poller poller, size_t capacity);

/** Waits for a descriptor, in place of what it waited for before if `is_known`. Returns 0 or a negative
 * errno: -EPERM for a file, which is always ready. */
int waiter_set(struct waiter *waiter, int fd, short events, void *user, bool is_known);

/** Forgets a descriptor, which may be closed already. */
void waiter_remove(struct waiter *waiter, int fd, const void *user);

/** Returns how many events it has put into `events`, or a negative errno. A signal is no error. */
int waiter_wait(struct waiter *waiter, int timeout_ms, struct waiter_event *events);

void waiter_end(struct waiter *waiter);

#endif
