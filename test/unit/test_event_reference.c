/* SPDX-License-Identifier: MIT */
/* Compares the encoder with one that handles single bytes, around the boundaries of words and blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event_reference.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RANDOM_EVENTS 60000
#define TEXT_MAX 700
/* Longer than two of the largest blocks that the encoder handles at once. */
#define OFFSET_MAX 300

static const unsigned char canary = 0xa5;

/* Encodes into memory of exactly `room` bytes, so that sanitizers notice a write past its end. */
static void expect_in_room(const struct sse_event *event, const struct event_source_text *wire, size_t room)
{
    unsigned char *bytes = malloc(room ? room : 1);

    assert_non_null(bytes);
    memset(bytes, canary, room);
    assert_int_equal(sse_event_encode(event, bytes, room), wire->length);
    if (room >= wire->length)
        assert_memory_equal(bytes, wire->bytes, wire->length);
    for (size_t i = room >= wire->length ? wire->length : 0; i < room; i++)
        assert_int_equal(bytes[i], canary);
    free(bytes);
}

static void expect_error(const struct sse_event *event, int error)
{
    unsigned char bytes[64];

    memset(bytes, canary, sizeof(bytes));
    assert_int_equal(sse_event_encode(event, NULL, 0), error);
    assert_int_equal(sse_event_encode(event, bytes, sizeof(bytes)), error);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], canary);
}

static void expect_as_reference(const struct sse_event *event)
{
    static struct event_source_text wire;
    int error = event_reference_error(event);

    if (error) {
        expect_error(event, error);
        return;
    }
    event_source_text_clear(&wire);
    event_reference_encode(&wire, event);
    expect_in_room(event, &wire, wire.length);
    expect_in_room(event, &wire, wire.length - 1);
    expect_in_room(event, &wire, wire.length + 1);
}

static uint64_t random_state;

/* The test's own random numbers, so that a failure is the same everywhere. */
static unsigned next_random(unsigned below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % below;
}

/* The pieces of texts: rare symbols among common ones. */
static const char *const common[] = {"a", " ", "x", "{", "~", "0"};
static const char *const lines[] = {"\n", "\r", "\r\n", "\n\n", "\n\r"};
static const char *const odd[] = {"\t", "\x01", "\x0b", "\x0e", "\x1f", "\x7f"};
static const char *const wide[] = {"\xc3\xa9", "\xe2\x82\xac", "\xe2\x80\xa8", "\xf0\x9f\x98\x80"};
static const char *const broken[] = {"\x80",         "\xc3",     "\xe2\x82", "\xed\xa0\x80",
                                     "\xf0\x9f\x98", "\xc0\xaf", "\xff"};

static const struct {
    const char *const *symbols;
    unsigned count;
} kinds[] = {{common, COUNT(common)},
             {lines, COUNT(lines)},
             {odd, COUNT(odd)},
             {wide, COUNT(wide)},
             {broken, COUNT(broken)}};

static unsigned random_length(void)
{
    static const unsigned around[] = {0, 4, 8, 16, 32, 40, 64, 96, 128, 160, 256, 512, 640};
    unsigned middle = around[next_random(COUNT(around))];

    return middle + next_random(9) - (middle ? 4 : 0);
}

/* A third of the texts are absent. Half of the others have only common letters. */
static struct sse_text random_text(void)
{
    unsigned length = random_length(), rarity = 1 + next_random(60), at = 0;
    unsigned kind = next_random(2) ? 0 : next_random(COUNT(kinds));
    char *text;

    if (!next_random(3))
        return (struct sse_text){.ptr = NULL};
    text = malloc(length ? length : 1);
    assert_non_null(text);
    while (at < length) {
        unsigned from = next_random(rarity) ? 0 : kind;
        const char *symbol = kinds[from].symbols[next_random(kinds[from].count)];
        size_t size = strlen(symbol);

        if (size > length - at) {
            symbol = "z";
            size = 1;
        }
        memcpy(text + at, symbol, size);
        at += (unsigned)size;
    }
    return (struct sse_text){.ptr = text, .len = length};
}

static void free_text(struct sse_text text)
{
    free((char *)(uintptr_t)text.ptr);
}

static void random_events(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < RANDOM_EVENTS; seed++) {
        struct sse_event event;

        random_state = seed;
        event = (struct sse_event){
            .id = next_random(2) ? random_text() : (struct sse_text){.ptr = NULL},
            .type = next_random(2) ? random_text() : (struct sse_text){.ptr = NULL},
            .data = random_text(),
            .comment = next_random(4) ? (struct sse_text){.ptr = NULL} : random_text(),
            .retry_ms = next_random(8) ? 0 : (int64_t)next_random(1u << 31),
            .trusted_utf8 = !next_random(8),
        };
        expect_as_reference(&event);
        free_text(event.id);
        free_text(event.type);
        free_text(event.data);
        free_text(event.comment);
    }
}

/* A page between two pages that must not be touched. */
static char *map_guarded_page(size_t *page_size)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    int fd = open("/dev/zero", O_RDONLY);
    char *pages;

    assert_true(fd >= 0);
    pages = mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE, fd, 0);
    close(fd);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + size, size, PROT_READ | PROT_WRITE), 0);
    *page_size = size;
    return pages + size;
}

static void expect_in_each_field(struct sse_text text)
{
    expect_as_reference(&(struct sse_event){.data = text});
    expect_as_reference(&(struct sse_event){.comment = text});
    expect_as_reference(&(struct sse_event){.id = text});
    expect_as_reference(&(struct sse_event){.type = text, .data = sse_str("x")});
    expect_as_reference(&(struct sse_event){.data = text, .trusted_utf8 = true});
}

/* Puts the symbol into a text of letters that ends at the end of the page, and into one that begins at its
 * start. */
static void expect_at_the_edges(char *page, size_t page_size, const char *symbol, size_t before, size_t after)
{
    size_t size = strlen(symbol), length = before + size + after;

    memset(page, 'a', page_size);
    memcpy(page + page_size - after - size, symbol, size);
    expect_in_each_field((struct sse_text){.ptr = page + page_size - length, .len = length});
    memcpy(page + before, symbol, size);
    expect_in_each_field((struct sse_text){.ptr = page, .len = length});
}

static void each_symbol_at_each_offset(void **state)
{
    static const size_t afters[] = {0, 1, 7, 8, 31, 33};
    size_t page_size;
    char *page = map_guarded_page(&page_size);

    (void)state;
    for (size_t kind = 1; kind < COUNT(kinds); kind++)
        for (size_t i = 0; i < kinds[kind].count; i++)
            for (size_t before = 0; before <= OFFSET_MAX; before += before < 80 ? 1 : 3)
                for (size_t after = 0; after < COUNT(afters); after++)
                    expect_at_the_edges(page, page_size, kinds[kind].symbols[i], before, afters[after]);
    assert_int_equal(munmap(page - page_size, 3 * page_size), 0);
}

/* Lines of each length, with each form of line end, from each offset. */
static void lines_of_each_length(void **state)
{
    (void)state;
    for (size_t form = 0; form < COUNT(lines); form++)
        for (size_t length = 1; length < 140; length++) {
            static char text[TEXT_MAX];
            size_t size = strlen(lines[form]);

            memset(text, 'b', sizeof(text));
            for (size_t at = length % 7; at + size <= sizeof(text); at += length + size)
                memcpy(text + at, lines[form], size);
            for (size_t end = sizeof(text) - 4; end <= sizeof(text); end++)
                expect_in_each_field((struct sse_text){.ptr = text, .len = end});
        }
}

/* The count of line ends in a block fits into its type. */
static void nothing_but_line_ends(void **state)
{
    static char text[TEXT_MAX];

    (void)state;
    for (size_t form = 0; form < COUNT(lines); form++) {
        size_t size = strlen(lines[form]);

        for (size_t at = 0; at < sizeof(text); at++)
            text[at] = lines[form][at % size];
        for (size_t length = 0; length <= sizeof(text); length++)
            expect_in_each_field((struct sse_text){.ptr = text, .len = length});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_events),
        cmocka_unit_test(each_symbol_at_each_offset),
        cmocka_unit_test(lines_of_each_length),
        cmocka_unit_test(nothing_but_line_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
