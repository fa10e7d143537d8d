/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/utf8.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORD_SIZE 8

/* Follows only the tables of RFC 3629 section 3: the bits of the lead byte give the length, then the character's
 * number is computed and checked. Returns the number of bytes, or 0 if they are not valid. */
static size_t decode(const unsigned char *bytes, size_t length)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t lowest;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    size_t form = 0;
    uint32_t number;

    while (form < COUNT(forms) && (bytes[0] & forms[form].mask) != forms[form].lead)
        form++;
    if (form == COUNT(forms) || length < form + 1)
        return 0;
    number = bytes[0] & (unsigned char)~forms[form].mask;
    for (size_t i = 1; i <= form; i++) {
        if (bytes[i] / 64 != 2)
            return 0;
        number = number * 64 + bytes[i] % 64;
    }
    if (number < forms[form].lowest || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff))
        return 0;
    return form + 1;
}

static bool is_valid(const unsigned char *bytes, size_t length)
{
    while (length > 0) {
        size_t taken = decode(bytes, length);

        if (!taken)
            return false;
        bytes += taken;
        length -= taken;
    }
    return true;
}

static void expect_same(const unsigned char *bytes, size_t length)
{
    if (sse_utf8_is_valid(bytes, length) != is_valid(bytes, length))
        fail_msg("%zu bytes: %02x %02x %02x %02x: not %d", length, bytes[0], length > 1 ? bytes[1] : 0,
                 length > 2 ? bytes[2] : 0, length > 3 ? bytes[3] : 0, is_valid(bytes, length));
}

static unsigned char *allocate(size_t size)
{
    unsigned char *bytes = malloc(size ? size : 1);

    assert_non_null(bytes);
    return bytes;
}

static void all_texts_of_up_to_two_bytes(void **state)
{
    unsigned char *one = allocate(1);
    unsigned char *two = allocate(2);

    (void)state;
    for (unsigned first = 0; first <= UCHAR_MAX; first++) {
        one[0] = (unsigned char)first;
        expect_same(one, 1);
        for (unsigned second = 0; second <= UCHAR_MAX; second++) {
            two[0] = (unsigned char)first;
            two[1] = (unsigned char)second;
            expect_same(two, 2);
        }
    }
    free(one);
    free(two);
}

static void all_texts_of_three_bytes(void **state)
{
    unsigned char *bytes = allocate(3);

    (void)state;
    for (unsigned number = 0; number < 1u << 24; number++) {
        bytes[0] = (unsigned char)(number >> 16);
        bytes[1] = (unsigned char)(number >> 8);
        bytes[2] = (unsigned char)number;
        expect_same(bytes, 3);
    }
    free(bytes);
}

/* All first and second bytes; of the third and fourth those around every limit. */
static void four_bytes_by_lead_and_second(void **state)
{
    static const unsigned char later[] = {0x00, 0x41, 0x7f, 0x80, 0x9f, 0xbf, 0xc0, 0xff};
    unsigned char *bytes = allocate(4);

    (void)state;
    for (unsigned number = 0; number < 1u << 16; number++) {
        bytes[0] = (unsigned char)(number >> 8);
        bytes[1] = (unsigned char)number;
        for (size_t third = 0; third < sizeof(later); third++) {
            for (size_t fourth = 0; fourth < sizeof(later); fourth++) {
                bytes[2] = later[third];
                bytes[3] = later[fourth];
                expect_same(bytes, 4);
            }
        }
    }
    free(bytes);
}

/* Every scalar value in its own form is valid. Every surrogate and every larger number is not. */
static void every_scalar_value_is_valid(void **state)
{
    unsigned char *bytes = allocate(4);

    (void)state;
    for (uint32_t number = 0x10000; number < 0x200000; number++) {
        bytes[0] = (unsigned char)(0xf0 | number >> 18);
        bytes[1] = (unsigned char)(0x80 | (number >> 12 & 0x3f));
        bytes[2] = (unsigned char)(0x80 | (number >> 6 & 0x3f));
        bytes[3] = (unsigned char)(0x80 | (number & 0x3f));
        if (sse_utf8_is_valid(bytes, 4) != (number <= 0x10ffff))
            fail_msg("U+%X", number);
    }
    free(bytes);
}

static const struct {
    const char *bytes;
    bool valid;
} sequences[] = {
    {"\x7f", true},
    {"\xc2\x80", true},
    {"\xdf\xbf", true},
    {"\xe0\xa0\x80", true},
    {"\xe2\x80\xa8", true},
    {"\xed\x9f\xbf", true},
    {"\xee\x80\x80", true},
    {"\xef\xbb\xbf", true},
    {"\xf0\x90\x80\x80", true},
    {"\xf4\x8f\xbf\xbf", true},
    {"\xc2\x80\xe2\x80\xa8\xf0\x9f\x98\x80", true},
    {"\x80", false},
    {"\xbf", false},
    {"\xc0\x80", false},
    {"\xc1\xbf", false},
    {"\xc2", false},
    {"\xc2\x41", false},
    {"\xe0\x9f\xbf", false},
    {"\xe2\x80", false},
    {"\xe2\x41\x80", false},
    {"\xed\xa0\x80", false},
    {"\xf0\x8f\xbf\xbf", false},
    {"\xf0\x9f\x98", false},
    {"\xf0\x9f\x98\x41", false},
    {"\xf4\x90\x80\x80", false},
    {"\xf5\x80\x80\x80", false},
    {"\xf8\x88\x80\x80\x80", false},
    {"\xfe", false},
    {"\xff", false},
};

/* The text ends where its memory ends, and begins at each offset in a word. */
static void check_in_ascii(const char *sequence, bool valid, size_t before, size_t after, size_t alignment)
{
    size_t size = strlen(sequence);
    size_t length = before + size + after;
    unsigned char *memory = allocate(alignment + length);
    unsigned char *text = memory + alignment;

    memset(memory, 0xff, alignment);
    memset(text, 'a', length);
    memcpy(text + before, sequence, size);
    if (sse_utf8_is_valid(text, length) != valid)
        fail_msg("%zu bytes before, %zu after, from offset %zu: not %d", before, after, alignment, valid);
    free(memory);
}

static void sequences_are_found_at_every_offset(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sequences); i++) {
        assert_int_equal(is_valid((const unsigned char *)sequences[i].bytes, strlen(sequences[i].bytes)),
                         sequences[i].valid);
        for (size_t before = 0; before <= 2 * WORD_SIZE + 1; before++) {
            for (size_t after = 0; after <= WORD_SIZE + 1; after++) {
                for (size_t alignment = 0; alignment < WORD_SIZE; alignment++)
                    check_in_ascii(sequences[i].bytes, sequences[i].valid, before, after, alignment);
            }
        }
    }
}

/* A text that ends inside a sequence is not valid, wherever that is, and no byte is read past its end. */
static void every_beginning_of_a_text(void **state)
{
    static const char text[] =
        "seven--\xc3\xa9 \xe2\x82\xac-eight--\xf0\x9f\x98\x80\xf0\x9f\x98\x80 end of it";

    (void)state;
    for (size_t start = 0; start < sizeof(text); start++) {
        for (size_t length = 0; start + length <= sizeof(text) - 1; length++) {
            unsigned char *copy = allocate(length);

            memcpy(copy, text + start, length);
            assert_int_equal(sse_utf8_is_valid(copy, length), is_valid(copy, length));
            free(copy);
        }
    }
}

static void ascii_is_valid_at_every_length(void **state)
{
    (void)state;
    for (size_t length = 0; length <= 4 * WORD_SIZE; length++) {
        for (size_t alignment = 0; alignment < WORD_SIZE; alignment++) {
            unsigned char *memory = allocate(alignment + length);
            unsigned char *text = memory + alignment;

            for (size_t i = 0; i < length; i++)
                text[i] = (unsigned char)(i % 2 ? 0x7f : 0);
            assert_true(sse_utf8_is_valid(text, length));
            for (size_t i = 0; i < length; i++) {
                text[i] |= 0x80;
                assert_false(sse_utf8_is_valid(text, length));
                text[i] &= 0x7f;
            }
            free(memory);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_texts_of_up_to_two_bytes),
        cmocka_unit_test(all_texts_of_three_bytes),
        cmocka_unit_test(four_bytes_by_lead_and_second),
        cmocka_unit_test(every_scalar_value_is_valid),
        cmocka_unit_test(sequences_are_found_at_every_offset),
        cmocka_unit_test(every_beginning_of_a_text),
        cmocka_unit_test(ascii_is_valid_at_every_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
