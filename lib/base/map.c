/* SPDX-License-Identifier: MIT */
#include "base/map.h"
#include "base/siphash.h"

#include <string.h>

#define FIRST_BUCKET_COUNT 16

void sse_map_init(struct map *map, const struct sse_host *host)
{
    *map = (struct map){.buckets = NULL};
    map->secret[0] = sse_host_secret(host);
    map->secret[1] = sse_host_secret(host);
}

void sse_map_free(struct map *map, const struct sse_host *host)
{
    sse_host_release(host, map->buckets);
    map->buckets = NULL;
    map->bucket_count = 0;
    map->count = 0;
}

static struct map_node **bucket_of(const struct map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->bucket_count - 1)];
}

/* The scope is a part of the hash's key, so that an id which every scope has is no chain. */
static uint64_t hash_of(const struct map *map, const void *scope, const char *key, size_t key_size)
{
    const uint64_t secret[2] = {map->secret[0] ^ (uintptr_t)scope, map->secret[1]};

    return sse_siphash(secret, key, key_size);
}

struct map_node *sse_map_find(const struct map *map, const void *scope, const char *key, size_t key_size)
{
    struct map_node *node;
    uint64_t hash;

    if (!map->count)
        return NULL;
    hash = hash_of(map, scope, key, key_size);
    for (node = *bucket_of(map, hash); node; node = node->next)
        if (node->hash == hash && node->scope == scope && node->key_size == key_size &&
            !memcmp(node->key, key, key_size))
            return node;
    return NULL;
}

static void link_node(struct map *map, struct map_node *node)
{
    struct map_node **bucket = bucket_of(map, node->hash);

    node->next = *bucket;
    *bucket = node;
}

static bool resize(struct map *map, size_t bucket_count, const struct sse_host *host)
{
    struct map_node **old = map->buckets;
    size_t old_count = map->bucket_count;
    struct map_node **buckets = sse_host_allocate(host, bucket_count * sizeof(struct map_node *));

    if (!buckets)
        return false;
    for (size_t i = 0; i < bucket_count; i++)
        buckets[i] = NULL;
    map->buckets = buckets;
    map->bucket_count = bucket_count;
    for (size_t i = 0; i < old_count; i++) {
        struct map_node *node = old[i];

        while (node) {
            struct map_node *next = node->next;

            link_node(map, node);
            node = next;
        }
    }
    sse_host_release(host, old);
    return true;
}

bool sse_map_insert(struct map *map, struct map_node *node, const struct sse_host *host)
{
    if (!map->buckets && !resize(map, FIRST_BUCKET_COUNT, host))
        return false;
    if (map->count >= map->bucket_count)
        (void)resize(map, map->bucket_count * 2, host);
    node->hash = hash_of(map, node->scope, node->key, node->key_size);
    link_node(map, node);
    map->count++;
    return true;
}

void sse_map_remove(struct map *map, struct map_node *node)
{
    struct map_node **at = bucket_of(map, node->hash);

    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    map->count--;
}
