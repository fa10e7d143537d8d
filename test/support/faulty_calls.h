/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAULTY_CALLS_H
#define SUPPORT_FAULTY_CALLS_H

/**
 * System calls that fail when a test says so. The test is linked with -Wl,--wrap=CALL for each of them. Calls of
 * the test itself go through these functions too.
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
    FAULTY_CLOSE, /* a close that fails closes the descriptor anyway, as every system does after EINTR or EIO */
    FAULTY_SHUTDOWN,
    FAULTY_FSTAT,
    FAULTY_OPEN,
    FAULTY_GETSOCKOPT,
    FAULTY_SETSOCKOPT,
    FAULTY_PIPE,
    FAULTY_EVENTFD,
    FAULTY_EPOLL_CREATE1,
    FAULTY_EPOLL_CTL, /* EPOLL_CTL_ADD only: the kernel accepts every other operation on an open descriptor */
    FAULTY_EPOLL_WAIT,
    FAULTY_TIMERFD_CREATE,
    FAULTY_MUTEX_INIT,
    FAULTY_COND_INIT,
    FAULTY_CONDATTR_INIT,
    FAULTY_COUNT
};

/** Lets all calls succeed, and counts them from 0. */
void faulty_calls_reset(void);

/** Lets the next `first` calls through. The `times` calls after them fail with this errno. 0: they do nothing, and
 *  return 0. */
void faulty_calls_fail(enum faulty_call call, int first, int times, int error);

/** The same, but the calls are made, with at most `size` bytes. For calls that write, and FAULTY_READ. */
void faulty_calls_cut(enum faulty_call call, int first, int times, int size);

/** For calls of the test itself: while it is paused, all calls go through, and none is counted. Pauses nest. */
void faulty_calls_pause(bool paused);

/** Runs `before` inside the next call, before it is made. */
void faulty_calls_interpose(enum faulty_call call, void (*before)(void *user), void *user);

/** Returns how many failures are still to come. */
int faulty_calls_left(enum faulty_call call);

/** Returns how often it was called. */
int faulty_calls_made(enum faulty_call call);

#endif
