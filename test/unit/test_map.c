/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/siphash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POOL_SIZE 300
#define KEY_SIZE_MAX 40
#define OPERATION_COUNT 20000
#define MANY_KEYS 100000
#define CHOSEN_KEYS 512

static uint64_t next_random(uint64_t *random)
{
    uint64_t bits = *random += UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

static size_t random_below(uint64_t *random, size_t end)
{
    return (size_t)(next_random(random) % end);
}

/* Counts its blocks, fails while `exhausted`, and takes its random bits from a seed. */
struct counting_platform {
    struct sse_platform platform;
    size_t blocks;
    size_t allocations;
    bool exhausted;
    uint64_t random;
    size_t randoms;
};

static void *allocate(size_t size, void *user)
{
    struct counting_platform *counting = user;

    if (counting->exhausted)
        return NULL;
    counting->blocks++;
    counting->allocations++;
    return malloc(size);
}

static void deallocate(void *block, void *user)
{
    struct counting_platform *counting = user;

    assert_non_null(block);
    counting->blocks--;
    free(block);
}

static uint64_t give_random(void *user)
{
    struct counting_platform *counting = user;

    counting->randoms++;
    return next_random(&counting->random);
}

static void counting_platform_init(struct counting_platform *counting, uint64_t seed)
{
    *counting = (struct counting_platform){
        .platform = {.size = sizeof(struct sse_platform),
                     .allocate = allocate,
                     .deallocate = deallocate,
                     .random = give_random,
                     .user = counting},
        .random = seed,
    };
}

/* SSE_TEST_SEED repeats a run. */
static uint64_t choose_seed(void)
{
    const char *given = getenv("SSE_TEST_SEED");
    struct timespec time = {0, 0};
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &time);
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    print_message("SSE_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

/* Copies a key to memory of exactly its size, so that sanitizers notice a read past the end. */
static struct map_node *find(const struct map *map, const char *key, size_t key_size)
{
    char *copy = malloc(key_size ? key_size : 1);
    struct map_node *node;

    assert_non_null(copy);
    memcpy(copy, key, key_size);
    node = sse_map_find(map, NULL, copy, key_size);
    free(copy);
    return node;
}

static void insert(struct map *map, struct map_node *node, const char *key, size_t key_size,
                   const struct sse_platform *platform)
{
    *node = (struct map_node){.key = key, .key_size = key_size};
    assert_true(sse_map_insert(map, node, platform));
}

static const struct map_node *first_in_bucket(const struct map *map, size_t bucket)
{
    return *sse_array_pointer(&map->buckets, bucket);
}

/* The bucket is chosen by as many bits of the hash as are needed to name an existing bucket. */
static size_t bucket_of_hash(const struct map *map, uint64_t hash)
{
    size_t bits = 1;

    while (bits < map->bucket_count)
        bits *= 2;
    return (size_t)((hash & (bits - 1)) < map->bucket_count ? hash & (bits - 1) : hash & (bits / 2 - 1));
}

/* The table contains each node once, in the bucket of its hash. Returns the longest chain. */
static size_t check_table(const struct map *map)
{
    size_t nodes = 0, longest = 0;

    for (size_t i = 0; i < map->bucket_count; i++) {
        size_t length = 0;

        for (const struct map_node *node = first_in_bucket(map, i); node; node = node->next, length++) {
            if (!node->scope)
                assert_int_equal(node->hash, sse_siphash(map->secret, node->key, node->key_size));
            assert_int_equal(bucket_of_hash(map, node->hash), i);
        }
        nodes += length;
        longest = length > longest ? length : longest;
    }
    assert_int_equal(nodes, map->count);
    return longest;
}

/* Returns how many nodes are visited when each key is looked up once. */
static size_t count_steps(const struct map *map)
{
    size_t steps = 0;

    for (size_t i = 0; i < map->bucket_count; i++) {
        size_t position = 0;

        for (const struct map_node *node = first_in_bucket(map, i); node; node = node->next)
            steps += ++position;
    }
    return steps;
}

static void siphash_gives_known_values(void **state)
{
    /* The message is the bytes 0, 1, 2 and so on, modulo 256. The values are those of another
     * implementation: hash(bytes) of CPython 3.11, whose algorithm is siphash13, with
     * PYTHONHASHSEED=0 (an all-zero key) and PYTHONHASHSEED=42. */
    static const struct {
        size_t size;
        uint64_t zero_key;
        uint64_t other_key;
    } rows[] = {
        {1, UINT64_C(0x68a914128e01e473), UINT64_C(0xce880c366bcf3489)},
        {2, UINT64_C(0x010bac45c41e3669), UINT64_C(0xef32fbc0469f0756)},
        {3, UINT64_C(0x4d4c9a4a8ef6e0ad), UINT64_C(0xef4b9dcae9b04417)},
        {7, UINT64_C(0x2f098ab0c751325a), UINT64_C(0xce280fabc397fbda)},
        {8, UINT64_C(0xead411e67ebe2eea), UINT64_C(0x60866c3c108c6afb)},
        {9, UINT64_C(0x75927f9d95124362), UINT64_C(0x68814005f7469e03)},
        {15, UINT64_C(0xf30eb725bb91c9ea), UINT64_C(0x94ace24d68c18cf8)},
        {16, UINT64_C(0x8972188433a5c5b7), UINT64_C(0x339176f3ac59ce05)},
        {17, UINT64_C(0x4883c49a2c009c1d), UINT64_C(0xed2706b414c296f1)},
        {31, UINT64_C(0x169739443111d49b), UINT64_C(0x06f3af51bda71c61)},
        {63, UINT64_C(0x385d3e39e5f37359), UINT64_C(0x06e24d6f0d014c37)},
        {64, UINT64_C(0x75e05fd5bbc870c6), UINT64_C(0x91639ef7de8d52cb)},
        {255, UINT64_C(0x5dc1f93ea135eb43), UINT64_C(0xd02008474fae02c8)},
        {256, UINT64_C(0x31ae646afba70308), UINT64_C(0x0d0624090d255259)},
        {257, UINT64_C(0xef7cec81c6f56af4), UINT64_C(0x6cdec1c1a549ca08)},
        {1000, UINT64_C(0x498f889ac054d2d8), UINT64_C(0x802852c33740acd1)},
    };
    static const uint64_t zero_key[2] = {0, 0};
    static const uint64_t other_key[2] = {UINT64_C(0xdc504fd368cd90af), UINT64_C(0xb920bb9ffe99e9c1)};

    (void)state;
    /* The reference implementation of the algorithm's authors gives this value for the empty message. */
    assert_int_equal(sse_siphash(zero_key, "", 0), UINT64_C(0xd1fba762150c532c));
    for (size_t i = 0; i < COUNT(rows); i++) {
        unsigned char *message = malloc(rows[i].size);

        assert_non_null(message);
        for (size_t at = 0; at < rows[i].size; at++)
            message[at] = (unsigned char)at;
        assert_int_equal(sse_siphash(zero_key, message, rows[i].size), rows[i].zero_key);
        assert_int_equal(sse_siphash(other_key, message, rows[i].size), rows[i].other_key);
        free(message);
    }
}

static void siphash_does_not_depend_on_alignment(void **state)
{
    static const uint64_t secret[2] = {1, 2};
    static const char text[] = "a topic of thirty-one bytes....";
    uint64_t expected = sse_siphash(secret, text, sizeof(text));

    (void)state;
    for (size_t offset = 0; offset < 16; offset++) {
        char *memory = malloc(offset + sizeof(text));

        assert_non_null(memory);
        memcpy(memory + offset, text, sizeof(text));
        assert_int_equal(sse_siphash(secret, memory + offset, sizeof(text)), expected);
        free(memory);
    }
}

static void the_secret_comes_from_the_platform(void **state)
{
    struct counting_platform counting;
    struct map map, other;
    uint64_t random = 5;

    (void)state;
    counting_platform_init(&counting, random);
    sse_map_init(&map, &counting.platform);
    assert_int_equal(counting.randoms, 2);
    assert_int_equal(counting.allocations, 0);
    assert_int_equal(map.secret[0], next_random(&random));
    assert_int_equal(map.secret[1], next_random(&random));

    sse_map_init(&map, NULL);
    sse_map_init(&other, NULL);
    assert_memory_not_equal(map.secret, other.secret, sizeof(map.secret));
    assert_true(map.secret[0] != map.secret[1]);
}

/* Nodes with keys of any bytes, all different. */
struct pool {
    struct map_node nodes[POOL_SIZE];
    char keys[POOL_SIZE][KEY_SIZE_MAX];
    bool inside[POOL_SIZE];
    size_t inside_count;
};

static bool is_taken(const struct pool *pool, size_t count, const char *key, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (pool->nodes[i].key_size == size && !memcmp(pool->keys[i], key, size))
            return true;
    }
    return false;
}

/* Many short keys of few different bytes, so that some are prefixes of others and some contain NUL bytes. */
static struct pool *pool_new(uint64_t *random)
{
    static const char bytes[] = {'\0', 'a', 'b', '\xff'};
    struct pool *pool = calloc(1, sizeof(*pool));

    assert_non_null(pool);
    for (size_t i = 0; i < POOL_SIZE;) {
        size_t size = random_below(random, random_below(random, 2) ? 6 : KEY_SIZE_MAX + 1);

        for (size_t at = 0; at < size; at++)
            pool->keys[i][at] = bytes[random_below(random, sizeof(bytes))];
        if (is_taken(pool, i, pool->keys[i], size))
            continue;
        pool->nodes[i] = (struct map_node){.key = pool->keys[i], .key_size = size};
        i++;
    }
    return pool;
}

static void check_pool(const struct map *map, const struct pool *pool)
{
    check_table(map);
    assert_int_equal(map->count, pool->inside_count);
    for (size_t i = 0; i < POOL_SIZE; i++)
        assert_ptr_equal(find(map, pool->keys[i], pool->nodes[i].key_size),
                         pool->inside[i] ? &pool->nodes[i] : NULL);
}

static void operate(struct map *map, struct pool *pool, size_t chosen, const struct sse_platform *platform)
{
    struct map_node *node = &pool->nodes[chosen];

    assert_ptr_equal(find(map, node->key, node->key_size), pool->inside[chosen] ? node : NULL);
    if (pool->inside[chosen]) {
        sse_map_remove(map, node);
        pool->inside_count--;
    } else {
        assert_true(sse_map_insert(map, node, platform));
        pool->inside_count++;
    }
    pool->inside[chosen] = !pool->inside[chosen];
}

static void random_operations_match_a_model(void **state)
{
    uint64_t random = choose_seed();
    struct pool *pool = pool_new(&random);
    struct counting_platform counting;
    struct map map;

    (void)state;
    counting_platform_init(&counting, random);
    sse_map_init(&map, &counting.platform);
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        /* Between 0 and a few hundred nodes, up and down. */
        size_t reach = 1 + (i / 1000 % 4) * (POOL_SIZE - 1) / 3;

        /* During the first half the table cannot grow, and all chains are long. */
        operate(&map, pool, random_below(&random, reach), &counting.platform);
        counting.exhausted = i < OPERATION_COUNT / 2;
        if (i % 50 == 0)
            check_pool(&map, pool);
    }
    check_pool(&map, pool);
    assert_true(map.bucket_count > 16);
    for (size_t i = 0; i < POOL_SIZE; i++) {
        if (pool->inside[i])
            operate(&map, pool, i, &counting.platform);
    }
    check_pool(&map, pool);
    sse_map_free(&map, &counting.platform);
    assert_int_equal(counting.blocks, 0);
    free(pool);
}

static void an_empty_map_finds_nothing(void **state)
{
    struct counting_platform counting;
    struct map_node node;
    struct map map;

    (void)state;
    counting_platform_init(&counting, 1);
    sse_map_init(&map, &counting.platform);
    assert_null(find(&map, "a", 1));
    assert_null(find(&map, "", 0));
    insert(&map, &node, "a", 1, &counting.platform);
    assert_ptr_equal(find(&map, "a", 1), &node);
    assert_null(find(&map, "", 0));
    sse_map_remove(&map, &node);
    assert_null(find(&map, "a", 1));
    sse_map_free(&map, &counting.platform);
    sse_map_free(&map, &counting.platform);
    assert_null(find(&map, "a", 1));
    assert_int_equal(counting.blocks, 0);
    insert(&map, &node, "b", 1, &counting.platform);
    assert_ptr_equal(find(&map, "b", 1), &node);
    sse_map_remove(&map, &node);
    sse_map_free(&map, &counting.platform);
    assert_int_equal(counting.blocks, 0);
}

static void without_memory_for_a_table_nothing_is_inserted(void **state)
{
    struct counting_platform counting;
    struct map_node node = {.key = "key", .key_size = 3};
    struct map map;

    (void)state;
    counting_platform_init(&counting, 1);
    sse_map_init(&map, &counting.platform);
    counting.exhausted = true;
    for (int i = 0; i < 2; i++) {
        assert_false(sse_map_insert(&map, &node, &counting.platform));
        assert_int_equal(map.count, 0);
        assert_null(find(&map, "key", 3));
    }
    counting.exhausted = false;
    assert_true(sse_map_insert(&map, &node, &counting.platform));
    assert_ptr_equal(find(&map, "key", 3), &node);
    sse_map_remove(&map, &node);
    sse_map_free(&map, &counting.platform);
    assert_int_equal(counting.blocks, 0);
}

struct key {
    char text[32];
};

static struct key *numbered_keys(size_t count)
{
    struct key *keys = calloc(count, sizeof(*keys));

    assert_non_null(keys);
    for (size_t i = 0; i < count; i++)
        snprintf(keys[i].text, sizeof(keys[i].text), "room/%zu", i);
    return keys;
}

static void a_table_that_cannot_grow_still_finds_all(void **state)
{
    struct key *keys = numbered_keys(1000);
    struct map_node *nodes = calloc(1000, sizeof(*nodes));
    struct counting_platform counting;
    struct map map;

    (void)state;
    assert_non_null(nodes);
    counting_platform_init(&counting, 1);
    sse_map_init(&map, &counting.platform);
    insert(&map, &nodes[0], keys[0].text, strlen(keys[0].text), &counting.platform);
    counting.exhausted = true;
    for (size_t i = 1; i < 490; i++)
        insert(&map, &nodes[i], keys[i].text, strlen(keys[i].text), &counting.platform);
    assert_int_equal(counting.allocations, 1);
    assert_true(check_table(&map) > 20);
    for (size_t i = 0; i < 1000; i++)
        assert_ptr_equal(find(&map, keys[i].text, strlen(keys[i].text)), i < 490 ? &nodes[i] : NULL);

    /* When there is memory again, the table grows. */
    counting.exhausted = false;
    for (size_t i = 490; i < 1000; i++)
        insert(&map, &nodes[i], keys[i].text, strlen(keys[i].text), &counting.platform);
    assert_true(map.bucket_count >= map.count);
    assert_true(check_table(&map) <= 12);
    for (size_t i = 0; i < 1000; i++) {
        assert_ptr_equal(find(&map, keys[i].text, strlen(keys[i].text)), &nodes[i]);
        sse_map_remove(&map, &nodes[i]);
        assert_null(find(&map, keys[i].text, strlen(keys[i].text)));
    }
    sse_map_free(&map, &counting.platform);
    assert_int_equal(counting.blocks, 0);
    free(nodes);
    free(keys);
}

/* The secrets are fixed, so the counts are the same in every run. Fault 7. */
static void many_keys_stay_near_linear(void **state)
{
    struct key *keys = numbered_keys(MANY_KEYS);
    struct map_node *nodes = calloc(MANY_KEYS, sizeof(*nodes));

    (void)state;
    assert_non_null(nodes);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct counting_platform counting;
        struct map map;

        counting_platform_init(&counting, seed);
        sse_map_init(&map, &counting.platform);
        for (size_t i = 0; i < MANY_KEYS; i++) {
            insert(&map, &nodes[i], keys[i].text, strlen(keys[i].text), &counting.platform);
            assert_true(map.bucket_count >= map.count);
        }
        assert_true(map.bucket_count <= 4 * MANY_KEYS);
        assert_true(counting.allocations <= MANY_KEYS / 256);
        assert_true(check_table(&map) <= 16);
        assert_true(count_steps(&map) < 2 * MANY_KEYS);
        for (size_t i = 0; i < MANY_KEYS; i++)
            assert_ptr_equal(sse_map_find(&map, NULL, keys[i].text, strlen(keys[i].text)), &nodes[i]);
        sse_map_free(&map, &counting.platform);
    }
    free(nodes);
    free(keys);
}

static size_t longest_chain(const uint64_t secret[2], const struct key *keys, struct map_node *nodes)
{
    struct map map;
    size_t longest;

    sse_map_init(&map, NULL);
    memcpy(map.secret, secret, sizeof(map.secret));
    for (size_t i = 0; i < CHOSEN_KEYS; i++)
        insert(&map, &nodes[i], keys[i].text, strlen(keys[i].text), NULL);
    longest = check_table(&map);
    sse_map_free(&map, NULL);
    return longest;
}

/* A client that knew the secret could fill one chain. Under another secret, the same keys do no harm. */
static void chosen_keys_collide_under_their_own_secret_only(void **state)
{
    static const uint64_t known[2] = {1, 2};
    static const uint64_t unknown[][2] = {
        {3, 2}, {1, 3}, {2, 1}, {UINT64_C(1) << 63, 2}, {1, UINT64_C(2) << 62}};
    static struct map_node nodes[CHOSEN_KEYS];
    static struct key keys[CHOSEN_KEYS];
    uint64_t number = 0;

    (void)state;
    for (size_t i = 0; i < CHOSEN_KEYS; i++) {
        do
            snprintf(keys[i].text, sizeof(keys[i].text), "%" PRIu64, number++);
        while (sse_siphash(known, keys[i].text, strlen(keys[i].text)) & (CHOSEN_KEYS - 1));
    }
    assert_int_equal(longest_chain(known, keys, nodes), CHOSEN_KEYS);
    for (size_t i = 0; i < COUNT(unknown); i++)
        assert_true(longest_chain(unknown[i], keys, nodes) <= 12);
}

/* Every piece of one text is a separate key, and the pieces overlap in memory. */
static void pieces_of_one_text_are_different_keys(void **state)
{
    static const char text[] = "ab\0c\0\0d/e//f";
    struct map_node nodes[sizeof(text)][sizeof(text)];
    struct map map;
    size_t different = 0;

    (void)state;
    sse_map_init(&map, NULL);
    for (size_t start = 0; start < sizeof(text); start++) {
        for (size_t size = 0; start + size <= sizeof(text) - 1; size++) {
            if (find(&map, text + start, size))
                continue;
            insert(&map, &nodes[start][size], text + start, size, NULL);
            different++;
        }
    }
    assert_int_equal(map.count, different);
    /* Of its 91 pieces the empty one occurs 13 times, NUL and the slash three times. */
    assert_int_equal(different, 75);
    for (size_t i = 0; i < map.bucket_count; i++) {
        for (const struct map_node *node = first_in_bucket(&map, i); node; node = node->next)
            assert_ptr_equal(find(&map, node->key, node->key_size), node);
    }
    sse_map_free(&map, NULL);
}

/* The same bytes in different scopes are different keys, and make no long chain. */
static void scopes_keep_equal_keys_apart(void **state)
{
    static struct map_node nodes[CHOSEN_KEYS];
    struct map map;

    (void)state;
    sse_map_init(&map, NULL);
    for (size_t i = 0; i < CHOSEN_KEYS; i++) {
        assert_null(sse_map_find(&map, &nodes[i], "1", 1));
        nodes[i] = (struct map_node){.key = "1", .key_size = 1, .scope = &nodes[i]};
        assert_true(sse_map_insert(&map, &nodes[i], NULL));
    }
    assert_true(check_table(&map) <= 12);
    assert_null(find(&map, "1", 1));
    for (size_t i = 0; i < CHOSEN_KEYS; i++) {
        assert_ptr_equal(sse_map_find(&map, &nodes[i], "1", 1), &nodes[i]);
        assert_null(sse_map_find(&map, &nodes[i], "2", 1));
        sse_map_remove(&map, &nodes[i]);
        assert_null(sse_map_find(&map, &nodes[i], "1", 1));
    }
    sse_map_free(&map, NULL);
}

static void keys_may_hold_nul_bytes(void **state)
{
    static const struct {
        const char *key;
        size_t size;
    } rows[] = {{"a", 1}, {"a\0", 2}, {"a\0\0", 3}, {"\0a", 2}, {"\0", 1}, {"", 0}, {"a\0b", 3}, {"a\0c", 3}};
    struct map_node nodes[COUNT(rows)];
    struct map map;

    (void)state;
    sse_map_init(&map, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_null(find(&map, rows[i].key, rows[i].size));
        insert(&map, &nodes[i], rows[i].key, rows[i].size, NULL);
    }
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_ptr_equal(find(&map, rows[i].key, rows[i].size), &nodes[i]);
        sse_map_remove(&map, &nodes[i]);
        assert_null(find(&map, rows[i].key, rows[i].size));
        for (size_t left = i + 1; left < COUNT(rows); left++)
            assert_ptr_equal(find(&map, rows[left].key, rows[left].size), &nodes[left]);
    }
    sse_map_free(&map, NULL);
}

/* No two keys with the same hash are known, so the test changes the nodes directly. */
static void equal_hashes_are_not_equal_keys(void **state)
{
    char bytes[] = "same length";
    struct map_node node;
    struct map map;

    (void)state;
    sse_map_init(&map, NULL);
    insert(&map, &node, bytes, strlen(bytes), NULL);
    assert_ptr_equal(find(&map, "same length", 11), &node);
    bytes[10] = 'H';
    assert_null(find(&map, "same length", 11));
    bytes[10] = 'h';
    node.key_size = 10;
    assert_null(find(&map, "same length", 11));
    node.key_size = 11;
    node.scope = &map;
    assert_null(find(&map, "same length", 11));
    node.scope = NULL;
    assert_ptr_equal(find(&map, "same length", 11), &node);
    sse_map_free(&map, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_known_values),
        cmocka_unit_test(siphash_does_not_depend_on_alignment),
        cmocka_unit_test(the_secret_comes_from_the_platform),
        cmocka_unit_test(random_operations_match_a_model),
        cmocka_unit_test(an_empty_map_finds_nothing),
        cmocka_unit_test(without_memory_for_a_table_nothing_is_inserted),
        cmocka_unit_test(a_table_that_cannot_grow_still_finds_all),
        cmocka_unit_test(many_keys_stay_near_linear),
        cmocka_unit_test(chosen_keys_collide_under_their_own_secret_only),
        cmocka_unit_test(pieces_of_one_text_are_different_keys),
        cmocka_unit_test(scopes_keep_equal_keys_apart),
        cmocka_unit_test(keys_may_hold_nul_bytes),
        cmocka_unit_test(equal_hashes_are_not_equal_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
