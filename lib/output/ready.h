/* SPDX-License-Identifier: MIT */
#ifndef OUTPUT_READY_H
#define OUTPUT_READY_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

/** Whether a call for `events` (POLLIN, POLLOUT) would return at once, as it does on a broken descriptor. */
static inline bool output_is_ready(int descriptor, short events)
{
    struct pollfd asked = {.fd = descriptor, .events = events};
    int ready;

    do
        ready = poll(&asked, 1, 0);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

#endif
