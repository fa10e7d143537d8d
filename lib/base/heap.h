/* SPDX-License-Identifier: MIT */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

/** A binary heap of deadlines. The nodes are members of the objects that have a deadline. */

#include "base/array.h"

#define HEAP_NOWHERE UINT32_MAX

struct heap_node {
    uint64_t deadline; /* other threads read it, so only push and update may change it */
    uint32_t position; /* HEAP_NOWHERE while it is in no heap */
    uint32_t mark;     /* for the object that has the node; it fills what would be padding */
};

struct heap {
    struct array nodes;
    uint32_t count;
};

/** Makes room for `count` nodes in all, up to ARRAY_COUNT_MAX, so that pushing them cannot fail. */
bool sse_heap_reserve(struct heap *heap, size_t count, const struct sse_platform *platform);
void sse_heap_free(struct heap *heap, const struct sse_platform *platform);

/** The room must have been reserved. */
void sse_heap_push(struct heap *heap, struct heap_node *node, uint64_t deadline);
void sse_heap_update(struct heap *heap, struct heap_node *node, uint64_t deadline);
void sse_heap_remove(struct heap *heap, struct heap_node *node);

/** The node with the earliest deadline, or NULL. */
struct heap_node *sse_heap_first(const struct heap *heap);

#endif
