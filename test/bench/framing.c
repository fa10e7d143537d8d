/* SPDX-License-Identifier: MIT */
/* The cost of encoding an event, compared with libc for the same bytes. Medians of alternating rounds. */
#include "figures.h"

#include <sse/sse.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 21
#define SMALL_REPEATS 20000
#define LARGE_REPEATS 200
#define LARGE_SIZE 65536
#define BUFFER_SIZE (2 * LARGE_SIZE)
#define PAGE 4096

/* On AMD's Zen 4, memcpy is sixteen times slower if source and destination are a few bytes apart within their
 * pages. The figures must not depend on where the linker puts them. */
static _Alignas(PAGE) char text[LARGE_SIZE + 1];
static _Alignas(PAGE) char lines[LARGE_SIZE];
static _Alignas(PAGE) char memory[PAGE / 2 + BUFFER_SIZE];
static char cyrillic[101];
static char *const buffer = memory + PAGE / 2;

/* Keeps the compiler from removing unused results and repeated work. */
static volatile size_t sink;
static char *volatile from = text;
static char *volatile to = memory + PAGE / 2;

static void encode_small(void)
{
    const struct sse_event event = {
        .id = sse_str("1234567"), .type = sse_str("alarm"), .data = {.ptr = text, .len = 100}};

    for (size_t i = 0; i < SMALL_REPEATS; i++)
        sink = (size_t)sse_event_encode(&event, buffer, BUFFER_SIZE);
}

/* Letters of two bytes, and some spaces. */
static void encode_cyrillic(void)
{
    const struct sse_event event = {
        .id = sse_str("1234567"), .type = sse_str("alarm"), .data = sse_str(cyrillic)};

    for (size_t i = 0; i < SMALL_REPEATS; i++)
        sink = (size_t)sse_event_encode(&event, buffer, BUFFER_SIZE);
}

static void print_small(void)
{
    for (size_t i = 0; i < SMALL_REPEATS; i++)
        sink = (size_t)snprintf(buffer, BUFFER_SIZE, "event: %s\ndata: %.*s\nid: %s\n\n", "alarm", 100, text,
                                "1234567");
}

static void copy_small(void)
{
    for (size_t i = 0; i < SMALL_REPEATS; i++) {
        memcpy(to, from, 140);
        sink = (unsigned char)to[i % 140];
    }
}

static void encode_large(const char *data)
{
    const struct sse_event event = {.data = {.ptr = data, .len = LARGE_SIZE}};

    for (size_t i = 0; i < LARGE_REPEATS; i++)
        sink = (size_t)sse_event_encode(&event, buffer, BUFFER_SIZE);
}

static void encode_one_line(void)
{
    encode_large(text);
}

static void encode_many_lines(void)
{
    encode_large(lines);
}

/* The least possible cost of splitting at CR and LF and copying. */
static void scan_and_copy(void)
{
    for (size_t i = 0; i < LARGE_REPEATS; i++) {
        const char *source = from;

        sink = (size_t)(memchr(source, '\n', LARGE_SIZE) != NULL);
        sink = (size_t)(memchr(source, '\r', LARGE_SIZE) != NULL);
        memcpy(to, source, LARGE_SIZE);
        sink = (unsigned char)to[i];
    }
}

/* The cost of finding and copying line by line, without checks and without measuring first. */
static void copy_each_line(void)
{
    for (size_t i = 0; i < LARGE_REPEATS; i++) {
        const char *line = lines, *end = lines + LARGE_SIZE, *line_feed;
        char *at = to;

        for (; (line_feed = memchr(line, '\n', (size_t)(end - line))); line = line_feed + 1) {
            memcpy(at, "data: ", 6);
            memcpy(at + 6, line, (size_t)(line_feed + 1 - line));
            at += 6 + (line_feed + 1 - line);
        }
        sink = (size_t)(at - to);
    }
}

enum step { SMALL, CYRILLIC, SNPRINTF, MEMCPY, ONE_LINE, MANY_LINES, SCAN_AND_COPY, COPY_EACH_LINE, STEPS };

static const struct {
    void (*run)(void);
    double repeats;
} steps[STEPS] = {
    [SMALL] = {encode_small, SMALL_REPEATS},          [CYRILLIC] = {encode_cyrillic, SMALL_REPEATS},
    [SNPRINTF] = {print_small, SMALL_REPEATS},        [MEMCPY] = {copy_small, SMALL_REPEATS},
    [ONE_LINE] = {encode_one_line, LARGE_REPEATS},    [MANY_LINES] = {encode_many_lines, LARGE_REPEATS},
    [SCAN_AND_COPY] = {scan_and_copy, LARGE_REPEATS}, [COPY_EACH_LINE] = {copy_each_line, LARGE_REPEATS},
};

int main(void)
{
    static double times[STEPS][ROUNDS];
    double medians[STEPS];

    memset(text, 'x', LARGE_SIZE);
    for (size_t i = 0; i < LARGE_SIZE; i++)
        lines[i] = i % 64 == 63 ? '\n' : 'x';
    for (size_t i = 0; i + 5 <= sizeof(cyrillic) - 1; i += 5)
        memcpy(cyrillic + i, "\xd1\x8f\xd0\xb6 ", 5);
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < STEPS; i++) {
            uint64_t begin = figure_cpu_now();

            steps[i].run();
            times[i][round] = (double)(figure_cpu_now() - begin) / steps[i].repeats;
        }
    for (size_t i = 0; i < STEPS; i++)
        medians[i] = figure_median(times[i], ROUNDS);
    figure_at_most("framing_of_id_type_and_100_bytes", medians[SMALL], "ns", 25);
    figure_plain("framing_of_the_same_in_Cyrillic", medians[CYRILLIC], "ns");
    figure_plain("snprintf_of_the_same", medians[SNPRINTF], "ns");
    figure_plain("memcpy_of_as_much", medians[MEMCPY], "ns");
    figure_plain("framing_over_snprintf", medians[SMALL] / medians[SNPRINTF], "ratio");
    figure_at_least("framing_of_64_KiB_in_speed_of_memchr_twice_and_memcpy",
                    medians[SCAN_AND_COPY] / medians[ONE_LINE], "ratio", 0.5);
    figure_at_least("framing_with_a_line_end_every_64_bytes_in_speed_of_one_line",
                    medians[ONE_LINE] / medians[MANY_LINES], "ratio", 0.8);
    figure_plain("the_same_in_speed_of_memchr_and_memcpy_for_each_line",
                 medians[COPY_EACH_LINE] / medians[MANY_LINES], "ratio");
    return 0;
}
