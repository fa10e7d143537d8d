/* SPDX-License-Identifier: MIT */
#ifndef HUB_WAITER_H
#define HUB_WAITER_H

/**
 * Waits for many descriptors: with epoll(7) where it exists, because then inactive descriptors cost nothing,
 * otherwise with poll(2).
 */

#include <sse/loop.h>

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/** The most events that one wait reports. */
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
    size_t next; /**< where the next wait begins to report, so that no descriptor is left out for long */
};

/** For at most `capacity` descriptors. Returns 0 or a negative errno. */
int waiter_begin(struct waiter *waiter, enum sse_poller poller, size_t capacity);

/** Waits for these events of a descriptor. With `is_known`, they replace the earlier ones. Returns 0 or a negative
 *  errno: -EPERM for a file, which is always ready. */
int waiter_set(struct waiter *waiter, int fd, short events, void *user, bool is_known);

/** Removes a descriptor. It may already be closed. */
void waiter_remove(struct waiter *waiter, int fd, const void *user);

/** Fills `events` and returns their number, or a negative errno. A signal is not an error. */
int waiter_wait(struct waiter *waiter, int timeout_ms, struct waiter_event *events);

void waiter_end(struct waiter *waiter);

#endif
