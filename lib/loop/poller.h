/* SPDX-License-Identifier: MIT */
#ifndef LOOP_POLLER_H
#define LOOP_POLLER_H

/**
 * A poller waits for many descriptors. There are two kinds, poll(2) and epoll(7), with the same rules:
 *
 * - A descriptor is named by its number and a generation. The caller ignores an event of an older generation: its
 *   descriptor is closed, and the number is used again. The kernel gets no pointers.
 * - Readiness may be reported once, when it begins (epoll), or as long as it lasts (poll). So the caller must read
 *   or write until there is no more, or remember that there is more.
 * - Output may be reported although nobody is interested in it. Errors are always reported.
 * - Any thread may call `add` and `remove`, also during a wait. A wait that has begun may not see what is added, so
 *   raise a wake. Only the waiting thread may call `change`, `wait` and `set_timer`.
 */

#include <sse/platform.h>

/** The most events of one wait. The next wait after one that reports this many reports the others. With poll(2) it
 *  then does not wait, even if there are none. So none is left out for ever. */
#define POLLER_EVENTS_MAX 64

enum {
    POLLER_INPUT = 1,
    POLLER_OUTPUT = 2,
    POLLER_ERROR = 4,   /* broken, or both directions are closed */
    POLLER_INVALID = 8, /* not an open descriptor */
    POLLER_HANGUP = 16, /* the peer closed its sending side (where the system reports it) */
    POLLER_WAKE = 32    /* interest in the input of a wake, which is reported as POLLER_INPUT */
};

struct poller_event {
    int descriptor;
    uint32_t generation;
    unsigned happened;
};

struct poller {
    /** `interest`: POLLER_INPUT (of a socket), POLLER_OUTPUT, POLLER_HANGUP, or 0 for errors alone; POLLER_WAKE
     *  alone for a wake. -ENOMEM, or an error of epoll_ctl (-ENOSPC, -EPERM for a regular file, -EBADF,
     *  -EEXIST). */
    int (*add)(struct poller *poller, int descriptor, uint32_t generation, unsigned interest);
    void (*change)(struct poller *poller, int descriptor, uint32_t generation, unsigned interest);
    /** To be called before the descriptor is closed. */
    void (*remove)(struct poller *poller, int descriptor);
    /** Waits as poll(2) does. Fills up to POLLER_EVENTS_MAX events and returns how many. Returns 0 also after a
     *  signal, and when the timer is due. Returns a negative errno if waiting again would not help. */
    int (*wait)(struct poller *poller, struct poller_event *events, int timeout_ms);
    /** Returns a descriptor that is readable while a wait would report something or the timer is due,
     *  or -ENOTSUP. */
    int (*descriptor)(struct poller *poller);
    /** Makes `descriptor` readable after this many nanoseconds; UINT64_MAX: never. Only called after
     *  `descriptor` has succeeded. */
    void (*set_timer)(struct poller *poller, uint64_t nanoseconds);
    /** A forked child calls it too, so it must not change what the parent shares. */
    void (*free)(struct poller *poller);
};

/** 0 or -ENOMEM. */
int sse_poller_poll_new(struct poller **poller, const struct sse_platform *platform);

/** 0, -ENOTSUP (built without epoll), -ENOMEM, -EMFILE or -ENFILE. */
int sse_poller_epoll_new(struct poller **poller, const struct sse_platform *platform);

#endif
