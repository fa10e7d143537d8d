/* SPDX-License-Identifier: MIT */
#ifndef DRIVER_MEMORY_H
#define DRIVER_MEMORY_H

/** The memory of a host, or malloc and free where it gave none. This layer sees public headers only. */

#include <sse/host.h>
#include <stdlib.h>

static inline void *memory_allocate(const struct sse_host *host, size_t size)
{
    return host && host->allocate ? host->allocate(size, host->user) : malloc(size);
}

static inline void memory_release(const struct sse_host *host, void *block)
{
    if (!block)
        return;
    if (host && host->release)
        host->release(block, host->user);
    else
        free(block);
}

#endif
