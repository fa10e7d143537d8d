/* SPDX-License-Identifier: MIT */
#include "base/heap.h"
#include "base/growth.h"

#include <string.h>

bool sse_heap_reserve(struct heap *heap, size_t count, const struct sse_host *host)
{
    struct heap_node **nodes;
    size_t capacity = heap->capacity;

    if (count <= heap->capacity)
        return true;
    if (count >= HEAP_NOWHERE)
        return false;
    while (capacity < count)
        capacity = growth_after(capacity);
    if (capacity > HEAP_NOWHERE)
        capacity = HEAP_NOWHERE;
    nodes = sse_host_allocate(host, capacity * sizeof(struct heap_node *));
    if (!nodes)
        return false;
    if (heap->count)
        memcpy(nodes, heap->nodes, heap->count * sizeof(struct heap_node *));
    sse_host_release(host, heap->nodes);
    heap->nodes = nodes;
    heap->capacity = (uint32_t)capacity;
    return true;
}

void sse_heap_free(struct heap *heap, const struct sse_host *host)
{
    sse_host_release(host, heap->nodes);
    *heap = (struct heap){.nodes = NULL};
}

static void place(struct heap *heap, uint32_t position, struct heap_node *node)
{
    heap->nodes[position] = node;
    node->position = position;
}

static void sift_up(struct heap *heap, struct heap_node *node)
{
    uint32_t position = node->position;

    while (position > 0) {
        struct heap_node *parent = heap->nodes[(position - 1) / 2];

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

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->nodes[child + 1]->deadline < heap->nodes[child]->deadline)
            child++;
        if (node->deadline <= heap->nodes[child]->deadline)
            break;
        place(heap, position, heap->nodes[child]);
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
    struct heap_node *last = heap->nodes[--heap->count];

    if (last != node) {
        place(heap, node->position, last);
        sift(heap, last);
    }
    node->position = HEAP_NOWHERE;
}

struct heap_node *sse_heap_first(const struct heap *heap)
{
    return heap->count ? heap->nodes[0] : NULL;
}
