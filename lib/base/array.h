/* SPDX-License-Identifier: MIT */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

/**
 * Places of one size, as many as are wanted. The array grows under locks that others wait for: however long
 * it is, one place more moves no more than a segment of them, or one pointer for each segment.
 */

#include "base/platform.h"

#include <stdbool.h>
#include <stdint.h>

#define ARRAY_SEGMENT 512
#define ARRAY_COUNT_MAX (UINT32_MAX - ARRAY_SEGMENT)

struct array {
    void *block; /* the places; or, of more than a segment, a list of segments */
    uint32_t capacity;
};

/** Makes room for `count` places of `size` bytes in all, whose contents are not set. False without memory, or
 *  above ARRAY_COUNT_MAX. */
bool sse_array_reserve(struct array *array, size_t size, size_t count, const struct sse_platform *platform);

/** Gives back what is far behind the first `count` places: at most one segment, so that this is as quick as
 *  one place less is. */
void sse_array_trim(struct array *array, size_t count, const struct sse_platform *platform);

void sse_array_free(struct array *array, const struct sse_platform *platform);

/** A place of `size` bytes, below the capacity. */
static inline void *sse_array_at(const struct array *array, size_t size, size_t position)
{
    if (array->capacity <= ARRAY_SEGMENT)
        return (char *)array->block + position * size;
    return ((char **)array->block)[position / ARRAY_SEGMENT] + position % ARRAY_SEGMENT * size;
}

/** The same where the places are pointers. */
static inline void **sse_array_pointer(const struct array *array, size_t position)
{
    return sse_array_at(array, sizeof(void *), position);
}

#endif
