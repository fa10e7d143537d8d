/* SPDX-License-Identifier: MIT */
#include "base/array.h"

#include <string.h>

/* Up to a segment, the array is one block. It is replaced by one that is twice as large, or larger. */
static bool grow_block(struct array *array, size_t size, size_t count, const struct sse_platform *platform)
{
    uint32_t capacity = array->capacity ? array->capacity * 2 : 1;
    void *block;

    while (capacity < count && capacity < ARRAY_SEGMENT)
        capacity *= 2;
    block = sse_platform_allocate(platform, capacity * size);
    if (!block)
        return false;
    if (array->capacity)
        memcpy(block, array->block, array->capacity * size);
    sse_platform_deallocate(platform, array->block);
    array->block = block;
    array->capacity = capacity;
    return true;
}

/* The capacity of the list is the power of two at or above `segments`: it is full when `segments` is one. */
static void **grow_list(const struct array *array, size_t segments, const struct sse_platform *platform)
{
    void **list;

    if (segments & (segments - 1))
        return array->block;
    list = sse_platform_allocate(platform, 2 * segments * sizeof(void *));
    if (!list)
        return NULL;
    if (segments > 1)
        memcpy(list, array->block, segments * sizeof(void *));
    else
        list[0] = array->block;
    return list;
}

static bool add_segment(struct array *array, size_t size, const struct sse_platform *platform)
{
    size_t segments = array->capacity / ARRAY_SEGMENT;
    void *segment = sse_platform_allocate(platform, ARRAY_SEGMENT * size);
    void **list = segment ? grow_list(array, segments, platform) : NULL;

    if (!list) {
        sse_platform_deallocate(platform, segment);
        return false;
    }
    if (segments > 1 && list != array->block)
        sse_platform_deallocate(platform, array->block);
    list[segments] = segment;
    array->block = list;
    array->capacity += ARRAY_SEGMENT;
    return true;
}

bool sse_array_reserve(struct array *array, size_t size, size_t count, const struct sse_platform *platform)
{
    bool enough = count <= ARRAY_COUNT_MAX;

    while (enough && array->capacity < count)
        enough = array->capacity < ARRAY_SEGMENT ? grow_block(array, size, count, platform)
                                                 : add_segment(array, size, platform);
    return enough;
}

void sse_array_trim(struct array *array, size_t count, const struct sse_platform *platform)
{
    size_t segments = array->capacity / ARRAY_SEGMENT;

    if (segments <= 2 || array->capacity - count < 2 * ARRAY_SEGMENT)
        return;
    array->capacity -= ARRAY_SEGMENT;
    sse_platform_deallocate(platform, ((void **)array->block)[segments - 1]);
}

void sse_array_free(struct array *array, const struct sse_platform *platform)
{
    size_t segments = array->capacity > ARRAY_SEGMENT ? array->capacity / ARRAY_SEGMENT : 0;

    for (size_t i = 0; i < segments; i++)
        sse_platform_deallocate(platform, ((void **)array->block)[i]);
    sse_platform_deallocate(platform, array->block);
    *array = (struct array){.block = NULL};
}
