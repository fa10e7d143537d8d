/* SPDX-License-Identifier: MIT */
/* Scanning a text by words gives the same result as by bytes. */
#include "wire/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define LENGTH_MAX 100

struct range {
    unsigned lowest, highest;
};

/* The ranges that the library uses, and the widest and the narrowest. */
static const struct range ranges[] = {{0x0e, 0x7f}, {0x21, 0x7e}, {0, 0x7f}, {0x30, 0x30}};

static bool is_within(const struct range *range, unsigned byte)
{
    return byte >= range->lowest && byte <= range->highest;
}

static bool word_is_within(const struct range *range, const char *bytes)
{
    return !(sse_word_outside(sse_word_at(bytes), range->lowest, range->highest) & WORD_TOP_BITS);
}

/* A subtraction borrows from the next byte, and a sum carries into it. */
static void every_two_bytes_side_by_side(const struct range *range)
{
    char bytes[sizeof(uint64_t)];

    for (unsigned pair = 0; pair < 0x10000; pair++) {
        unsigned first = pair & 0xff, second = pair >> 8;

        for (size_t at = 0; at + 1 < sizeof(bytes); at++) {
            memset(bytes, '0', sizeof(bytes));
            bytes[at] = (char)first;
            bytes[at + 1] = (char)second;
            if (word_is_within(range, bytes) != (is_within(range, first) && is_within(range, second)))
                fail_msg("%02x %02x at %zu, from %02x to %02x", first, second, at, range->lowest,
                         range->highest);
        }
    }
}

static void no_pair_of_bytes_hides_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        every_two_bytes_side_by_side(&ranges[i]);
}

/* The text ends where its block ends, so that sanitizers notice every read past it. */
static void one_byte_in_a_text(const struct range *range, size_t length, size_t where, unsigned byte)
{
    char *block = malloc(length);

    assert_non_null(block);
    memset(block, '0', length);
    block[where] = (char)byte;
    if (sse_words_within((struct sse_text){block, length}, range->lowest, range->highest) !=
        is_within(range, byte))
        fail_msg("%02x at %zu of %zu, from %02x to %02x", byte, where, length, range->lowest, range->highest);
    free(block);
}

static void one_byte_is_found_wherever_it_is(void **state)
{
    const unsigned bytes[] = {0, 0x0d, 0x0e, 0x20, 0x21, 0x2f, 0x31, 0x7e, 0x7f, 0x80, 0xff};

    (void)state;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        for (size_t length = 1; length <= LENGTH_MAX; length++)
            for (size_t where = 0; where < length; where++)
                for (size_t byte = 0; byte < sizeof(bytes) / sizeof(bytes[0]); byte++)
                    one_byte_in_a_text(&ranges[i], length, where, bytes[byte]);
    assert_true(sse_words_within((struct sse_text){NULL, 0}, 0x21, 0x7e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_pair_of_bytes_hides_another),
        cmocka_unit_test(one_byte_is_found_wherever_it_is),
    };

    return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
