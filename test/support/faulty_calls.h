/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAULTY_CALLS_H
#define SUPPORT_FAULTY_CALLS_H

/**
 * System calls that fail when a test says so. The test is linked with -Wl,--wrap=CALL for each of them,
 * and calls them by way of this as well.
 */

#include <stdbool.h>

enum faulty_call {
    FAULTY_SEND,
    FAULTY_SENDMSG,
    FAULTY_RECV,
    FAULTY_WRITEV,
    FAULTY_READ,
    FAULTY_WRITE,
    FAULTY_POLL,
    FAULTY_FCNTL,
    FAULTY_CLOSE, /* a close that fails closes nevertheless, as every system does after EINTR or EIO */
    FAULTY_SHUTDOWN,
    FAULTY_FSTAT,
    FAULTY_OPEN,
    FAULTY_GETSOCKOPT,
    FAULTY_SETSOCKOPT,
    FAULTY_PIPE,
    FAULTY_EVENTFD,
    FAULTY_EPOLL_CREATE1,
    FAULTY_EPOLL_CTL, /* EPOLL_CTL_ADD: the kernel refuses no other operation on an open descriptor */
    FAULTY_EPOLL_WAIT,
    FAULTY_TIMERFD_CREATE,
    FAULTY_MUTEX_INIT,
    FAULTY_COND_INIT,
    FAULTY_CONDATTR_INIT,
    FAULTY_COUNT
};

/** Lets all calls through, and counts them from 0. */
void faulty_calls_reset(void);

/** Lets `first` more calls through; the `times` calls after them fail with this errno. 0: they do nothing,
 *  and return 0. */
void faulty_calls_fail(enum faulty_call call, int first, int times, int error);

/** The same, but the calls are made, with no more than `size` bytes. Calls that write, and FAULTY_READ. */
void faulty_calls_cut(enum faulty_call call, int first, int times, int size);

/** Calls of the test itself: while it is paused, all are let through, and none is counted. Pauses nest. */
void faulty_calls_pause(bool paused);

/** Runs `before` inside the next call, before it is made. */
void faulty_calls_interpose(enum faulty_call call, void (*before)(void *user), void *user);

/** The failures that are still to come. */
int faulty_calls_left(enum faulty_call call);

/** How often it was called. */
int faulty_calls_made(enum faulty_call call);

#endif
