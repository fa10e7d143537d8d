/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

bool sse_heap_reserve(struct heap *heap, size_t count, const struct sse_platform *platform)
{
    return sse_array_reserve(&heap->nodes, sizeof(struct heap_node *), count, platform);
}

void sse_heap_free(struct heap *heap, const struct sse_platform *platform)
{
    sse_array_free(&heap->nodes, platform);
    heap->count = 0;
}

static struct heap_node *node_at(const struct heap *heap, size_t position)
{
    return *sse_array_pointer(&heap->nodes, position);
}

static void place(struct heap *heap, uint32_t position, struct heap_node *node)
{
    *sse_array_pointer(&heap->nodes, position) = node;
    node->position = position;
}

static void sift_up(struct heap *heap, struct heap_node *node)
{
    uint32_t position = node->position;

    while (position > 0) {
        struct heap_node *parent = node_at(heap, (position - 1) / 2);

        if (parent->deadline <= node->deadline)
            break;
        place(heap, position, parent);
        position = (position - 1) / 2;
    }
    place(heap, position, node);
}

static void sift_down(struct heap *heap, struct heap_node *node)
{
    uint32_t position = node->position;

    for (;;) {
        size_t child = 2 * (size_t)position + 1;
        struct heap_node *earlier;

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && node_at(heap, child + 1)->deadline < node_at(heap, child)->deadline)
            child++;
        earlier = node_at(heap, child);
        if (node->deadline <= earlier->deadline)
            break;
        place(heap, position, earlier);
        position = (uint32_t)child;
    }
    place(heap, position, node);
}

void sse_heap_push(struct heap *heap, struct heap_node *node, uint64_t deadline)
{
    node->deadline = deadline;
    node->position = heap->count++;
    sift_up(heap, node);
}

static void sift(struct heap *heap, struct heap_node *node)
{
    sift_up(heap, node);
    sift_down(heap, node);
}

void sse_heap_update(struct heap *heap, struct heap_node *node, uint64_t deadline)
{
    node->deadline = deadline;
    sift(heap, node);
}

void sse_heap_remove(struct heap *heap, struct heap_node *node)
{
    struct heap_node *last = node_at(heap, --heap->count);

    if (last != node) {
        place(heap, node->position, last);
        sift(heap, last);
    }
    node->position = HEAP_NOWHERE;
}

struct heap_node *sse_heap_first(const struct heap *heap)
{
    return heap->count ? node_at(heap, 0) : NULL;
}
