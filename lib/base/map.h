/* SPDX-License-Identifier: MIT */
#ifndef BASE_MAP_H
#define BASE_MAP_H

/**
 * A hash map from bytes to nodes that live in the caller's objects. The hash is keyed with a
 * secret, because clients choose the keys. One map may hold many name spaces: the same bytes in two
 * scopes are two keys. It grows by one bucket with each node, which takes its nodes from one other
 * (linear hashing): there is no insertion that moves them all.
 */

#include "base/array.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
    const char *key; /* must stay valid while the node is in a map */
    size_t key_size;
    const void *scope; /* only compared; NULL will do where there is one */
};

struct map {
    struct array buckets; /* each the first node of a chain */
    size_t bucket_count;
    size_t mask; /* the largest power of two of buckets that there are, less one */
    size_t count;
    uint64_t secret[2];
};

void sse_map_init(struct map *map, const struct sse_platform *platform);
/** Frees the buckets, not the nodes. */
void sse_map_free(struct map *map, const struct sse_platform *platform);

struct map_node *sse_map_find(const struct map *map, const void *scope, const char *key, size_t key_size);

/** The key and scope of `node` are set, and not in the map. False without memory for the first bucket; a map
 *  that cannot grow only becomes slower. */
bool sse_map_insert(struct map *map, struct map_node *node, const struct sse_platform *platform);
void sse_map_remove(struct map *map, struct map_node *node);

#endif
