/* SPDX-License-Identifier: MIT */
#include "base/process.h"

#include <errno.h>

atomic_uint sse_process_forks;

/* After that a child knows that it is one. */
static atomic_bool watched;

/* In the child, between fork and its return. */
static void count_fork(void)
{
    atomic_fetch_add_explicit(&sse_process_forks, 1, memory_order_relaxed);
}

/* Two threads may both begin: then each fork counts twice, and that is a difference too. */
int sse_process_watch(void)
{
    if (atomic_load(&watched))
        return 0;
    if (pthread_atfork(NULL, NULL, count_fork))
        return -ENOMEM;
    atomic_store(&watched, true);
    return 0;
}
