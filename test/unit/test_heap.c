/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/heap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NODE_COUNT 200
#define OPERATION_COUNT 20000
#define EXHAUSTIVE_SIZE 6

/* Counts its blocks, and fails while `exhausted`. */
struct counting_platform {
    struct sse_platform platform;
    size_t blocks;
    size_t allocations;
    bool exhausted;
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

static void counting_platform_init(struct counting_platform *counting)
{
    *counting = (struct counting_platform){
        .platform = {.size = sizeof(struct sse_platform),
                     .allocate = allocate,
                     .deallocate = deallocate,
                     .user = counting},
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

static const struct heap_node *node_at(const struct heap *heap, size_t position)
{
    return *sse_array_pointer(&heap->nodes, position);
}

static void check_order_and_positions(const struct heap *heap)
{
    assert_true(heap->count <= heap->nodes.capacity);
    for (size_t i = 0; i < heap->count; i++) {
        assert_int_equal(node_at(heap, i)->position, i);
        if (i > 0)
            assert_true(node_at(heap, (i - 1) / 2)->deadline <= node_at(heap, i)->deadline);
    }
    assert_ptr_equal(sse_heap_first(heap), heap->count ? node_at(heap, 0) : NULL);
}

/* All deadlines in ascending order, and the deadline of each node. */
struct model {
    uint64_t sorted[NODE_COUNT];
    size_t count;
    uint64_t deadlines[NODE_COUNT];
    bool inside[NODE_COUNT];
};

static void model_add(struct model *model, size_t node, uint64_t deadline)
{
    size_t at = 0;

    while (at < model->count && model->sorted[at] < deadline)
        at++;
    memmove(&model->sorted[at + 1], &model->sorted[at], (model->count - at) * sizeof(uint64_t));
    model->sorted[at] = deadline;
    model->count++;
    model->deadlines[node] = deadline;
    model->inside[node] = true;
}

static void model_remove(struct model *model, size_t node)
{
    size_t at = 0;

    while (model->sorted[at] != model->deadlines[node])
        at++;
    model->count--;
    memmove(&model->sorted[at], &model->sorted[at + 1], (model->count - at) * sizeof(uint64_t));
    model->inside[node] = false;
}

static void check_against_model(const struct heap *heap, const struct heap_node *nodes,
                                const struct model *model)
{
    assert_int_equal(heap->count, model->count);
    check_order_and_positions(heap);
    if (model->count)
        assert_int_equal(sse_heap_first(heap)->deadline, model->sorted[0]);
    for (size_t i = 0; i < NODE_COUNT; i++) {
        if (!model->inside[i]) {
            assert_int_equal(nodes[i].position, HEAP_NOWHERE);
            continue;
        }
        assert_true(nodes[i].position < heap->count);
        assert_ptr_equal(node_at(heap, nodes[i].position), &nodes[i]);
        assert_int_equal(nodes[i].deadline, model->deadlines[i]);
    }
}

/* Few values, so that many are equal, and both ends of the range. */
static uint64_t random_deadline(uint64_t *random)
{
    switch (random_below(random, 8)) {
    case 0:
        return UINT64_MAX;
    case 1:
        return 0;
    case 2:
        return next_random(random);
    default:
        return random_below(random, 50);
    }
}

static void operate(struct heap *heap, struct heap_node *nodes, struct model *model, uint64_t *random)
{
    size_t chosen = random_below(random, NODE_COUNT);
    uint64_t deadline = random_deadline(random);

    if (!model->inside[chosen]) {
        sse_heap_push(heap, &nodes[chosen], deadline);
        model_add(model, chosen, deadline);
    } else if (random_below(random, 2)) {
        sse_heap_update(heap, &nodes[chosen], deadline);
        model_remove(model, chosen);
        model_add(model, chosen, deadline);
    } else {
        if (random_below(random, 2))
            chosen = (size_t)(sse_heap_first(heap) - nodes);
        sse_heap_remove(heap, &nodes[chosen]);
        model_remove(model, chosen);
    }
}

static void random_operations_match_a_sorted_model(void **state)
{
    struct heap heap = {.count = 0};
    struct heap_node nodes[NODE_COUNT];
    struct model *model = calloc(1, sizeof(*model));
    uint64_t random = choose_seed();

    (void)state;
    assert_non_null(model);
    for (size_t i = 0; i < NODE_COUNT; i++)
        nodes[i].position = HEAP_NOWHERE;
    assert_true(sse_heap_reserve(&heap, NODE_COUNT, NULL));
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        operate(&heap, nodes, model, &random);
        check_against_model(&heap, nodes, model);
    }
    for (size_t i = 0; heap.count; i++) {
        struct heap_node *first = sse_heap_first(&heap);

        assert_int_equal(first->deadline, model->sorted[i]);
        sse_heap_remove(&heap, first);
        assert_int_equal(first->position, HEAP_NOWHERE);
        check_order_and_positions(&heap);
    }
    sse_heap_free(&heap, NULL);
    free(model);
}

static void build(struct heap *heap, struct heap_node *nodes, const uint64_t *deadlines, size_t count)
{
    heap->count = 0;
    for (size_t i = 0; i < count; i++)
        sse_heap_push(heap, &nodes[i], deadlines[i]);
}

/* The deadlines of all nodes except `left_out` come out in order, each once. */
static void expect_drained(struct heap *heap, const uint64_t *deadlines, size_t count, size_t left_out)
{
    size_t due[EXHAUSTIVE_SIZE] = {0};
    uint64_t last = 0;

    for (size_t i = 0; i < count; i++)
        due[deadlines[i]] += i != left_out;
    while (heap->count) {
        struct heap_node *first = sse_heap_first(heap);

        assert_true(first->deadline >= last);
        last = first->deadline;
        assert_true(due[last] > 0);
        due[last]--;
        sse_heap_remove(heap, first);
    }
    for (size_t i = 0; i < EXHAUSTIVE_SIZE; i++)
        assert_int_equal(due[i], 0);
}

static void check_each_removal_and_update(struct heap *heap, const uint64_t *deadlines, size_t count)
{
    struct heap_node nodes[EXHAUSTIVE_SIZE];

    for (size_t i = 0; i < count; i++) {
        build(heap, nodes, deadlines, count);
        sse_heap_remove(heap, &nodes[i]);
        assert_int_equal(nodes[i].position, HEAP_NOWHERE);
        assert_int_equal(heap->count, count - 1);
        check_order_and_positions(heap);
        expect_drained(heap, deadlines, count, i);

        build(heap, nodes, deadlines, count);
        sse_heap_update(heap, &nodes[i], deadlines[(i + 1) % count]);
        assert_int_equal(heap->count, count);
        check_order_and_positions(heap);
    }
}

/* Every way to fill a heap of up to six nodes, with equal deadlines. With six, a node that replaces another may
 * have to rise. */
static void positions_are_right_after_every_removal(void **state)
{
    struct heap heap = {.count = 0};

    (void)state;
    assert_true(sse_heap_reserve(&heap, EXHAUSTIVE_SIZE, NULL));
    for (size_t count = 1; count <= EXHAUSTIVE_SIZE; count++) {
        size_t ways = 1;

        for (size_t i = 0; i < count; i++)
            ways *= count;
        for (size_t way = 0; way < ways; way++) {
            uint64_t deadlines[EXHAUSTIVE_SIZE];
            size_t rest = way;

            for (size_t i = 0; i < count; i++, rest /= count)
                deadlines[i] = rest % count;
            check_each_removal_and_update(&heap, deadlines, count);
        }
    }
    sse_heap_free(&heap, NULL);
}

static void an_empty_heap_has_no_first(void **state)
{
    struct heap heap = {.count = 0};
    struct heap_node node = {.position = HEAP_NOWHERE};

    (void)state;
    assert_null(sse_heap_first(&heap));
    assert_true(sse_heap_reserve(&heap, 1, NULL));
    assert_null(sse_heap_first(&heap));
    sse_heap_push(&heap, &node, UINT64_MAX);
    assert_ptr_equal(sse_heap_first(&heap), &node);
    sse_heap_remove(&heap, &node);
    assert_null(sse_heap_first(&heap));
    sse_heap_free(&heap, NULL);
    sse_heap_free(&heap, NULL);
}

static void reserved_room_is_enough_without_another_allocation(void **state)
{
    struct counting_platform counting;
    struct heap heap = {.count = 0};
    struct heap_node nodes[NODE_COUNT];

    (void)state;
    counting_platform_init(&counting);
    assert_true(sse_heap_reserve(&heap, 0, &counting.platform));
    for (size_t i = 0; i < NODE_COUNT; i++) {
        size_t allocations;

        assert_true(sse_heap_reserve(&heap, i + 1, &counting.platform));
        assert_true(heap.nodes.capacity >= i + 1);
        allocations = counting.allocations;
        assert_true(sse_heap_reserve(&heap, i, &counting.platform));
        sse_heap_push(&heap, &nodes[i], NODE_COUNT - i);
        assert_int_equal(counting.allocations, allocations);
        assert_int_equal(counting.blocks, 1);
        check_order_and_positions(&heap);
    }
    /* Growing by one at a time needs few allocations. */
    assert_true(counting.allocations <= 32);
    for (size_t i = NODE_COUNT; i-- > 0;) {
        assert_ptr_equal(sse_heap_first(&heap), &nodes[i]);
        sse_heap_remove(&heap, &nodes[i]);
    }
    sse_heap_free(&heap, &counting.platform);
    assert_int_equal(counting.blocks, 0);
    assert_int_equal(heap.nodes.capacity, 0);
    assert_true(sse_heap_reserve(&heap, 1, &counting.platform));
    sse_heap_free(&heap, &counting.platform);
    assert_int_equal(counting.blocks, 0);
}

static void failure_to_reserve_changes_nothing(void **state)
{
    struct counting_platform counting;
    struct heap heap = {.count = 0};
    struct heap_node nodes[NODE_COUNT];
    size_t full;

    (void)state;
    counting_platform_init(&counting);
    counting.exhausted = true;
    assert_false(sse_heap_reserve(&heap, 1, &counting.platform));
    assert_null(sse_heap_first(&heap));
    assert_int_equal(heap.nodes.capacity, 0);

    counting.exhausted = false;
    assert_true(sse_heap_reserve(&heap, 3, &counting.platform));
    full = heap.nodes.capacity;
    assert_true(full < NODE_COUNT);
    for (size_t i = 0; i < full; i++)
        sse_heap_push(&heap, &nodes[i], i);

    counting.exhausted = true;
    assert_false(sse_heap_reserve(&heap, NODE_COUNT, &counting.platform));
    assert_true(sse_heap_reserve(&heap, full, &counting.platform));
    assert_int_equal(heap.count, full);
    assert_int_equal(heap.nodes.capacity, full);
    check_order_and_positions(&heap);
    sse_heap_remove(&heap, &nodes[0]);
    sse_heap_push(&heap, &nodes[0], full);
    assert_ptr_equal(sse_heap_first(&heap), &nodes[1]);

    counting.exhausted = false;
    assert_true(sse_heap_reserve(&heap, NODE_COUNT, &counting.platform));
    assert_int_equal(heap.count, full);
    check_order_and_positions(&heap);
    sse_heap_free(&heap, &counting.platform);
    assert_int_equal(counting.blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_a_sorted_model),
        cmocka_unit_test(positions_are_right_after_every_removal),
        cmocka_unit_test(an_empty_heap_has_no_first),
        cmocka_unit_test(reserved_room_is_enough_without_another_allocation),
        cmocka_unit_test(failure_to_reserve_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
