/* SPDX-License-Identifier: MIT */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

/** A binary heap of deadlines. The nodes live in the objects that wait. */

#include "base/array.h"

#define HEAP_NOWHERE UINT32_MAX

struct heap_node {
    uint64_t deadline; /* read by others than the heap's: it changes in push and update alone */
    uint32_t position; /* HEAP_NOWHERE while it is in no heap */
    uint32_t mark;     /* the waiting object's own: there would be a hole */
};

struct heap {
    struct array nodes;
    uint32_t count;
};

/** Makes room for `count` nodes in all, up to ARRAY_COUNT_MAX, so that the pushes to come cannot fail. */
bool sse_heap_reserve(struct heap *heap, size_t count, const struct sse_platform *platform);
void sse_heap_free(struct heap *heap, const struct sse_platform *platform);

/** Needs room that was reserved. */
void sse_heap_push(struct heap *heap, struct heap_node *node, uint64_t deadline);
void sse_heap_update(struct heap *heap, struct heap_node *node, uint64_t deadline);
void sse_heap_remove(struct heap *heap, struct heap_node *node);

/** The earliest, or NULL. */
struct heap_node *sse_heap_first(const struct heap *heap);

#endif
