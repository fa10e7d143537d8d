/* SPDX-License-Identifier: MIT */
#include "base/process.h"

#include <errno.h>

atomic_uint sse_process_forks;

/* The handler is registered. */
static atomic_bool watched;

/* Runs in the child, before fork returns. */
static void count_fork(void)
{
    atomic_fetch_add_explicit(&sse_process_forks, 1, memory_order_relaxed);
}

/* Two threads may both register the handler. Then each fork counts twice, which does no harm. */
int sse_process_watch(void)
{
    if (atomic_load(&watched))
        return 0;
    if (pthread_atfork(NULL, NULL, count_fork))
        return -ENOMEM;
    atomic_store(&watched, true);
    return 0;
}
