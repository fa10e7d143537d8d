/* SPDX-License-Identifier: MIT */
#ifndef LOOP_POLLER_H
#define LOOP_POLLER_H

/**
 * Waits for many descriptors. Two kinds, poll(2) and epoll(7), with one contract:
 *
 * - A descriptor is named by its number and a generation. An event of an older generation belongs to a
 *   descriptor that is closed, and whose number is used again: the caller ignores it. The kernel is
 *   given no pointers.
 * - Readiness may be reported once, when it begins (epoll), or as long as it lasts (poll). The caller
 *   reads or writes until there is no more, or remembers that there is more.
 * - Output may be reported without interest in it. Errors are always reported.
 * - `add` and `remove` may come from any thread, also during a wait. A wait that has begun need not see
 *   what is added meanwhile: raise a wake. `change`, `wait` and `set_timer` are for the waiting thread.
 */

#include <sse/platform.h>

/** The most events of one wait. The next wait reports the others: none is passed over for ever. */
#define POLLER_EVENTS_MAX 64

enum {
    POLLER_INPUT = 1,
    POLLER_OUTPUT = 2,
    POLLER_ERROR = 4,   /* broken, or both directions are closed */
    POLLER_INVALID = 8, /* not an open descriptor */
    POLLER_HANGUP = 16  /* the peer closed its sending side (where the system reports it) */
};

struct poller_event {
    int descriptor;
    uint32_t generation;
    unsigned happened;
};

struct poller {
    /** `interest`: POLLER_INPUT, POLLER_OUTPUT, POLLER_HANGUP, or 0 for errors alone. -ENOMEM, or an
     *  error of epoll_ctl (-ENOSPC, -EPERM for a regular file, -EBADF, -EEXIST). */
    int (*add)(struct poller *poller, int descriptor, uint32_t generation, unsigned interest);
    void (*change)(struct poller *poller, int descriptor, uint32_t generation, unsigned interest);
    /** Before the descriptor is closed. */
    void (*remove)(struct poller *poller, int descriptor);
    /** Waits as poll(2). Fills up to POLLER_EVENTS_MAX events and returns how many; 0 also after a
     *  signal and when only the timer ran out. A negative errno if waiting again would not help. */
    int (*wait)(struct poller *poller, struct poller_event *events, int timeout_ms);
    /** Readable while a wait would report something, the timer included. -ENOTSUP if there is none. */
    int (*descriptor)(struct poller *poller);
    /** Makes `descriptor` readable after this many nanoseconds, UINT64_MAX: never. Only called after
     *  `descriptor` succeeded. */
    void (*set_timer)(struct poller *poller, uint64_t nanoseconds);
    /** In a forked child too: it must not touch what the parent shares. */
    void (*free)(struct poller *poller);
};

/** 0 or -ENOMEM. */
int sse_poller_poll_new(struct poller **poller, const struct sse_platform *platform);

/** 0, -ENOTSUP (built without epoll), -ENOMEM, -EMFILE or -ENFILE. */
int sse_poller_epoll_new(struct poller **poller, const struct sse_platform *platform);

#endif
