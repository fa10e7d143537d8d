/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/options.h"

#include <stdlib.h>

/* The sizes of a struct in the oldest version and in this one. */
#define OLDEST 16
#define KNOWN 40

#define CANARY 0xa5

/* The options are in a block of exactly their size, so that sanitizers notice a read past it. */
static unsigned char *given_options(size_t size)
{
    unsigned char *options = calloc(1, size ? size : 1), known[KNOWN];

    assert_non_null(options);
    for (size_t i = 0; i < KNOWN; i++)
        known[i] = (unsigned char)(i + 1);
    memcpy(options, known, size < KNOWN ? size : KNOWN);
    return options;
}

static bool is_untouched(const unsigned char *bytes)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (bytes[i] != CANARY)
            return false;
    return true;
}

static void expect_copy(const unsigned char *options, size_t given)
{
    unsigned char copy[KNOWN + 1];

    memset(copy, CANARY, sizeof(copy));
    assert_true(sse_options_copy(copy, KNOWN, options, given, OLDEST));
    for (size_t i = 0; i < KNOWN; i++)
        assert_int_equal(copy[i], i < given ? i + 1 : 0);
    assert_int_equal(copy[KNOWN], CANARY);
}

static void expect_refusal(const unsigned char *options, size_t given)
{
    unsigned char copy[KNOWN];

    memset(copy, CANARY, sizeof(copy));
    assert_false(sse_options_copy(copy, KNOWN, options, given, OLDEST));
    assert_true(is_untouched(copy));
}

static void every_size_from_the_oldest_is_copied(void **state)
{
    (void)state;
    for (size_t given = OLDEST; given <= OPTIONS_SIZE_MAX; given += given < 2 * KNOWN ? 1 : 4) {
        unsigned char *options = given_options(given);

        expect_copy(options, given);
        free(options);
    }
}

static void smaller_than_the_oldest_is_refused(void **state)
{
    (void)state;
    for (size_t given = 0; given < OLDEST; given++) {
        unsigned char *options = given_options(given);

        expect_refusal(options, given);
        free(options);
    }
}

static void members_that_are_not_known_must_be_zero(void **state)
{
    (void)state;
    for (size_t given = KNOWN + 1; given < 2 * KNOWN; given++) {
        unsigned char *options = given_options(given);

        for (size_t place = KNOWN; place < given; place++) {
            options[place] = place % 2 ? 1 : 0x80;
            expect_refusal(options, given);
            options[place] = 0;
        }
        expect_copy(options, given);
        free(options);
    }
}

/* An uninitialised size is not used to read that far. */
static void huge_sizes_are_refused(void **state)
{
    unsigned char *options = given_options(KNOWN);

    (void)state;
    expect_refusal(options, OPTIONS_SIZE_MAX + 1);
    expect_refusal(options, SIZE_MAX / 2);
    expect_refusal(options, SIZE_MAX);
    free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_from_the_oldest_is_copied),
        cmocka_unit_test(smaller_than_the_oldest_is_refused),
        cmocka_unit_test(members_that_are_not_known_must_be_zero),
        cmocka_unit_test(huge_sizes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
