/* SPDX-License-Identifier: MIT */
/* Lets a worker die or stop at a place of ring.c. A test makes a file with the name of the place in the
 * directory $SSE_RING_STOPS: `half.kill`, `half.stop`. The next worker that comes there removes the file and
 * dies or stops. */
#include "ring_memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const names[] = {
    [RING_STOP_PACKED] = "packed",     [RING_STOP_LOCKED] = "locked",   [RING_STOP_ROOM] = "room",
    [RING_STOP_HALF] = "half",         [RING_STOP_WRITTEN] = "written", [RING_STOP_PUBLISHED] = "published",
    [RING_STOP_UNLOCKED] = "unlocked",
};

/* Of several processes, only one removes the file. */
static void look_for(enum ring_stop place, const char *how, int signal)
{
    const char *directory = getenv("SSE_RING_STOPS");
    char path[1024];

    if (!directory)
        return;
    snprintf(path, sizeof(path), "%s/%s.%s", directory, names[place], how);
    if (unlink(path) == 0)
        raise(signal);
}

void ring_stop(enum ring_stop place)
{
    look_for(place, "kill", SIGKILL);
    look_for(place, "stop", SIGSTOP);
}
