/* SPDX-License-Identifier: MIT */
#include "base/map.h"
#include "base/siphash.h"

#include <string.h>

void sse_map_init(struct map *map, const struct sse_platform *platform)
{
    *map = (struct map){.bucket_count = 0};
    map->secret[0] = sse_platform_secret(platform);
    map->secret[1] = sse_platform_secret(platform);
}

void sse_map_free(struct map *map, const struct sse_platform *platform)
{
    sse_array_free(&map->buckets, platform);
    map->bucket_count = 0;
    map->mask = 0;
    map->count = 0;
}

/* A bucket that has been split already, and the one that was split from it, use one more bit of the hash. */
static size_t bucket_of(const struct map *map, uint64_t hash)
{
    size_t bucket = (size_t)hash & (2 * map->mask + 1);

    return bucket < map->bucket_count ? bucket : bucket & map->mask;
}

static struct map_node *first_of(const struct map *map, size_t bucket)
{
    return *sse_array_pointer(&map->buckets, bucket);
}

/* The scope is a part of the key of the hash. Otherwise an id that every scope has would make one long chain. */
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
    for (node = first_of(map, bucket_of(map, hash)); node; node = node->next)
        if (node->hash == hash && node->scope == scope && node->key_size == key_size &&
            !memcmp(node->key, key, key_size))
            return node;
    return NULL;
}

static void link_node(struct map *map, struct map_node *node)
{
    void **first = sse_array_pointer(&map->buckets, bucket_of(map, node->hash));

    node->next = *first;
    *first = node;
}

/* Splits one bucket: the new bucket gets some of its nodes. Adds none if there is no memory. */
static void add_bucket(struct map *map, const struct sse_platform *platform)
{
    size_t added = map->bucket_count, divided = added & map->mask;
    struct map_node *node = NULL;

    if (!sse_array_reserve(&map->buckets, sizeof(void *), added + 1, platform))
        return;
    *sse_array_pointer(&map->buckets, added) = NULL;
    if (added) {
        node = first_of(map, divided);
        *sse_array_pointer(&map->buckets, divided) = NULL;
    }
    map->bucket_count++;
    if (map->bucket_count == 2 * (map->mask + 1))
        map->mask = 2 * map->mask + 1;
    while (node) {
        struct map_node *next = node->next;

        link_node(map, node);
        node = next;
    }
}

bool sse_map_insert(struct map *map, struct map_node *node, const struct sse_platform *platform)
{
    /* One bucket is enough, unless there was no memory for earlier ones. */
    for (int added = 0; added < 2 && map->count >= map->bucket_count; added++)
        add_bucket(map, platform);
    if (!map->bucket_count)
        return false;
    node->hash = hash_of(map, node->scope, node->key, node->key_size);
    link_node(map, node);
    map->count++;
    return true;
}

void sse_map_remove(struct map *map, struct map_node *node)
{
    size_t bucket = bucket_of(map, node->hash);
    struct map_node *before = first_of(map, bucket);

    map->count--;
    if (before == node) {
        *sse_array_pointer(&map->buckets, bucket) = node->next;
        return;
    }
    while (before->next != node)
        before = before->next;
    before->next = node->next;
}
