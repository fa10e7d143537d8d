/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700 /* SIGXFSZ */

#include "output/signals.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

static const int signals[] = {
    SIGPIPE,
#ifdef SIGXFSZ
    SIGXFSZ,
#endif
};

void sse_signals_guard(struct signal_guard *guard)
{
    sigset_t pending;

    sigemptyset(&pending);
    sigpending(&pending);
    sigemptyset(&guard->blocked);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (!sigismember(&pending, signals[i]))
            sigaddset(&guard->blocked, signals[i]);
    pthread_sigmask(SIG_BLOCK, &guard->blocked, &guard->mask_before);
}

static sigset_t set_of(int number)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

#if defined(_POSIX_REALTIME_SIGNALS) && _POSIX_REALTIME_SIGNALS > 0 && !defined(SSE_BARE_SYSTEM)

static void take_back(int number)
{
    const sigset_t only = set_of(number);
    const struct timespec at_once = {0, 0};

    while (sigtimedwait(&only, NULL, &at_once) < 0 && errno == EINTR)
        ;
}

#else

/* Looks whether the signal is pending first: an ignored one need not be, and sigwait would wait for ever. */
static void take_back(int number)
{
    const sigset_t only = set_of(number);
    sigset_t pending;
    int taken;

    sigemptyset(&pending);
    sigpending(&pending);
    if (sigismember(&pending, number))
        (void)sigwait(&only, &taken);
}

#endif

/* The signal that a write with this error raises, or 0. */
static int raised_by(ssize_t result)
{
    if (result == -EPIPE)
        return SIGPIPE;
#ifdef SIGXFSZ
    if (result == -EFBIG)
        return SIGXFSZ;
#endif
    return 0;
}

void sse_signals_release(const struct signal_guard *guard, ssize_t result)
{
    int raised = raised_by(result);

    if (raised && sigismember(&guard->blocked, raised))
        take_back(raised);
    pthread_sigmask(SIG_SETMASK, &guard->mask_before, NULL);
}
