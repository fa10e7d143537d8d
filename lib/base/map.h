/* SPDX-License-Identifier: MIT */
#ifndef BASE_MAP_H
#define BASE_MAP_H

/**
 * A hash map from bytes to nodes, which are members of the caller's objects.
 *
 * - The hash is keyed with a secret, because clients choose the keys.
 * - One map may have several scopes. The same bytes in two scopes are two keys.
 * - Each insertion adds one bucket and splits one other (linear hashing), so no insertion moves all nodes.
 */

#include "base/array.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
    const char *key; /* must stay valid while the node is in a map */
    size_t key_size;
    const void *scope; /* only compared; NULL if the map has only one scope */
};

struct map {
    struct array buckets; /* each the first node of a chain */
    size_t bucket_count;
    size_t mask; /* the largest power of two that is not above bucket_count, less one */
    size_t count;
    uint64_t secret[2];
};

void sse_map_init(struct map *map, const struct sse_platform *platform);
/** Frees the buckets, not the nodes. */
void sse_map_free(struct map *map, const struct sse_platform *platform);

struct map_node *sse_map_find(const struct map *map, const void *scope, const char *key, size_t key_size);

/** The caller has set key and scope of `node`, and the map does not have them yet. False if there is no memory for
 *  the first bucket. Later a map that cannot grow only becomes slower. */
bool sse_map_insert(struct map *map, struct map_node *node, const struct sse_platform *platform);
void sse_map_remove(struct map *map, struct map_node *node);

#endif
