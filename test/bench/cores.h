/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CORES_H
#define BENCH_CORES_H

/** Keeps this thread on one core, if the system allows it. The file that includes it defines _GNU_SOURCE first. */

#include <pthread.h>
#include <sched.h>
#include <stddef.h>

static inline void stay_on_core(size_t number)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    CPU_SET(number, &cores);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores);
}

#endif
