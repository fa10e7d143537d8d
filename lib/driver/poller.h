/* SPDX-License-Identifier: MIT */
#ifndef DRIVER_POLLER_H
#define DRIVER_POLLER_H

/**
 * What waits for many descriptors. Two kinds, with one contract for both:
 *
 * - What happened may be told once, when it begins (epoll), or again and again while it lasts
 *   (poll). Whoever is told reads or writes until there is no more, or remembers that there is.
 * - Output may be told without being asked for; errors always are.
 * - `add` is for any thread, also while another waits: raise a wake then, for that wait may not
 *   see what is new. All else is for the thread that waits.
 */

#include <sse/host.h>

/** The most that one wait tells of. The rest is told by the next one. */
#define POLLER_EVENTS_MAX 64

enum {
    POLLER_INPUT = 1,
    POLLER_OUTPUT = 2,
    POLLER_ERROR = 4,  /* broken, or both directions are at their end */
    POLLER_INVALID = 8 /* not an open descriptor */
};

/** One descriptor; part of what it belongs to, and in its place until it is removed. */
struct poller_item {
    int descriptor;
    unsigned interest; /* INPUT, OUTPUT. Filled in before the item is added, then `change` alone */
    size_t position;   /* the poller's own */
};

struct poller_event {
    struct poller_item *item;
    unsigned happened;
};

struct poller {
    /** -ENOMEM; -EPERM (a regular file), -ENOSPC and others of epoll_ctl. */
    int (*add)(struct poller *poller, struct poller_item *item);
    void (*change)(struct poller *poller, struct poller_item *item, unsigned interest);
    /** To be called before the descriptor is closed. */
    void (*remove)(struct poller *poller, struct poller_item *item);
    /** Waits as poll(2). Fills in up to POLLER_EVENTS_MAX events and returns how many; 0 also after
     *  a signal. A negative errno if waiting again would not help. */
    int (*wait)(struct poller *poller, struct poller_event *events, int timeout_ms);
    /** Readable when a wait would tell of something; -ENOTSUP if there is none. */
    int (*descriptor)(const struct poller *poller);
    void (*free)(struct poller *poller);
};

/** 0, or -ENOMEM. */
int sse_poller_poll_new(struct poller **poller, const struct sse_host *host);

/** 0, -ENOTSUP (built without), -ENOMEM, -EMFILE or -ENFILE. */
int sse_poller_epoll_new(struct poller **poller, const struct sse_host *host);

#endif
