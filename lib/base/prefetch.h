/* SPDX-License-Identifier: MIT */
#ifndef BASE_PREFETCH_H
#define BASE_PREFETCH_H

#include <stddef.h>

/* The size of a cache line on nearly every processor. */
#define PREFETCH_STEP 64

/** Asks the processor to load memory that will soon be written to: every line in which a part of the block lies. */
static inline void sse_prefetch(const void *block, size_t size)
{
#if defined(__GNUC__)
    for (size_t at = 0; at < size - 1; at += PREFETCH_STEP)
        __builtin_prefetch((const char *)block + at, 1);
    __builtin_prefetch((const char *)block + size - 1, 1);
#else
    (void)block;
    (void)size;
#endif
}

#endif
