/* SPDX-License-Identifier: MIT */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

/**
 * An array that grows. It grows under locks that other threads wait for. So, however long it is, adding a place
 * moves at most a segment of places, or one pointer for each segment.
 */

#include "base/platform.h"

#include <stdbool.h>
#include <stdint.h>

#define ARRAY_SEGMENT 512
#define ARRAY_COUNT_MAX (UINT32_MAX - ARRAY_SEGMENT)

struct array {
    void *block; /* the places, or a list of segments if there are more than one */
    uint32_t capacity;
};

/** Makes room for `count` places of `size` bytes in all, without setting them. False if there is no memory, or
 *  `count` is above ARRAY_COUNT_MAX. */
bool sse_array_reserve(struct array *array, size_t size, size_t count, const struct sse_platform *platform);

/** Frees memory that is far behind the first `count` places. It frees at most one segment, so that removing one
 *  place never takes long. */
void sse_array_trim(struct array *array, size_t count, const struct sse_platform *platform);

void sse_array_free(struct array *array, const struct sse_platform *platform);

/** The place at a position below the capacity, of `size` bytes. */
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
