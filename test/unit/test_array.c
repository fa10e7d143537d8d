/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

#define PLACES (20 * ARRAY_SEGMENT)
/* The most that one more or one less place may cost: a new segment, and a new list of all segments. */
#define BYTES_MAX (2 * ARRAY_SEGMENT * sizeof(void *))

/* Counts its blocks and the bytes of the current call. Fails once `left` is 0. */
struct counting_platform {
    struct sse_platform platform;
    size_t blocks;
    size_t bytes;
    size_t releases;
    size_t left;
};

static void *allocate(size_t size, void *user)
{
    struct counting_platform *counting = user;

    if (!counting->left)
        return NULL;
    counting->left--;
    counting->blocks++;
    counting->bytes += size;
    return malloc(size);
}

static void deallocate(void *block, void *user)
{
    struct counting_platform *counting = user;

    counting->blocks--;
    counting->releases++;
    free(block);
}

static void counting_platform_init(struct counting_platform *counting)
{
    *counting = (struct counting_platform){
        .platform = {.size = sizeof(struct sse_platform),
                     .allocate = allocate,
                     .deallocate = deallocate,
                     .user = counting},
        .left = SIZE_MAX,
    };
}

static void *pointer_of(size_t position)
{
    static char marks[PLACES];

    return &marks[position];
}

static void check_places(const struct array *array, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(*sse_array_pointer(array, i), pointer_of(i));
}

static void append(struct array *array, size_t position, const struct sse_platform *platform)
{
    assert_true(sse_array_reserve(array, sizeof(void *), position + 1, platform));
    *sse_array_pointer(array, position) = pointer_of(position);
}

/* However long the array is. */
static void one_place_more_costs_no_more_than_a_segment(void **state)
{
    struct counting_platform counting;
    struct array array = {.capacity = 0};

    (void)state;
    counting_platform_init(&counting);
    for (size_t i = 0; i < PLACES; i++) {
        counting.bytes = 0;
        append(&array, i, &counting.platform);
        assert_true(counting.bytes <= BYTES_MAX);
        assert_true(array.capacity <= 2 * i + 1 && array.capacity <= i + ARRAY_SEGMENT);
        if (i % 97 == 0)
            check_places(&array, i + 1);
    }
    check_places(&array, PLACES);
    sse_array_free(&array, &counting.platform);
    assert_int_equal(counting.blocks, 0);
    assert_int_equal(array.capacity, 0);
    sse_array_free(&array, &counting.platform);
}

static void one_place_less_gives_back_no_more_than_a_segment(void **state)
{
    struct counting_platform counting;
    struct array array = {.capacity = 0};

    (void)state;
    counting_platform_init(&counting);
    for (int round = 0; round < 2; round++) {
        for (size_t i = round ? 3 * ARRAY_SEGMENT : 0; i < PLACES; i++)
            append(&array, i, &counting.platform);
        for (size_t i = PLACES; i-- > 3 * ARRAY_SEGMENT;) {
            counting.releases = 0;
            sse_array_trim(&array, i, &counting.platform);
            assert_true(counting.releases <= 1);
            assert_true(array.capacity >= i && array.capacity < i + 2 * ARRAY_SEGMENT);
        }
        check_places(&array, 3 * ARRAY_SEGMENT);
    }
    for (size_t i = 3 * ARRAY_SEGMENT; i-- > 0;)
        sse_array_trim(&array, i, &counting.platform);
    assert_true(counting.blocks <= 3);
    sse_array_free(&array, &counting.platform);
    assert_int_equal(counting.blocks, 0);
}

/* Places of any size are contiguous up to a segment, and none is lost. */
static void places_have_the_size_asked_for(void **state)
{
    static const size_t sizes[] = {1, 12, 16, 40};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct array array = {.capacity = 0};

        for (size_t at = 0; at < 3 * ARRAY_SEGMENT; at++) {
            assert_true(sse_array_reserve(&array, sizes[i], at + 1, NULL));
            memset(sse_array_at(&array, sizes[i], at), (int)(at % 251), sizes[i]);
        }
        for (size_t at = 0; at < 3 * ARRAY_SEGMENT; at++) {
            const unsigned char *place = sse_array_at(&array, sizes[i], at);

            for (size_t byte = 0; byte < sizes[i]; byte++)
                assert_int_equal(place[byte], at % 251);
        }
        sse_array_free(&array, NULL);
    }
}

/* First one block that doubles, then segments. */
static void many_places_are_reserved_at_once(void **state)
{
    static const size_t counts[] = {1, 3, 64, ARRAY_SEGMENT - 1, ARRAY_SEGMENT, ARRAY_SEGMENT + 1, PLACES};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct counting_platform counting;
        struct array array = {.capacity = 0};

        counting_platform_init(&counting);
        assert_true(sse_array_reserve(&array, sizeof(void *), counts[i], &counting.platform));
        assert_true(array.capacity >= counts[i] && array.capacity < counts[i] + ARRAY_SEGMENT);
        for (size_t at = 0; at < counts[i]; at++)
            *sse_array_pointer(&array, at) = pointer_of(at);
        check_places(&array, counts[i]);
        sse_array_free(&array, &counting.platform);
        assert_int_equal(counting.blocks, 0);
    }
}

static void too_many_places_are_refused(void **state)
{
    struct array array = {.capacity = 0};

    (void)state;
    assert_false(sse_array_reserve(&array, 1, (size_t)ARRAY_COUNT_MAX + 1, NULL));
    assert_int_equal(array.capacity, 0);
}

/* At each place that allocates, each of its allocations fails. */
static void failure_to_reserve_loses_nothing(void **state)
{
    struct counting_platform counting;
    struct array array = {.capacity = 0};

    (void)state;
    counting_platform_init(&counting);
    for (size_t i = 0; i < PLACES; i++) {
        for (size_t left = 0; left < 2; left++) {
            size_t blocks = counting.blocks;

            counting.left = left;
            if (sse_array_reserve(&array, sizeof(void *), i + 1, &counting.platform))
                break;
            assert_int_equal(counting.blocks, blocks);
            check_places(&array, i);
        }
        counting.left = SIZE_MAX;
        append(&array, i, &counting.platform);
    }
    check_places(&array, PLACES);
    sse_array_free(&array, &counting.platform);
    assert_int_equal(counting.blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_place_more_costs_no_more_than_a_segment),
        cmocka_unit_test(one_place_less_gives_back_no_more_than_a_segment),
        cmocka_unit_test(places_have_the_size_asked_for),
        cmocka_unit_test(many_places_are_reserved_at_once),
        cmocka_unit_test(too_many_places_are_refused),
        cmocka_unit_test(failure_to_reserve_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
