/* SPDX-License-Identifier: MIT */
/* What it costs to encode an event, beside what libc needs for the same bytes: medians of rounds in turn. */
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

/* With AMD's Zen 4 memcpy takes sixteen times as long where source and destination lie a few bytes apart
 * within their pages; where the linker puts them must not decide about the figures. */
static _Alignas(PAGE) char text[LARGE_SIZE + 1];
static _Alignas(PAGE) char lines[LARGE_SIZE];
static _Alignas(PAGE) char memory[PAGE / 2 + BUFFER_SIZE];
static char *const buffer = memory + PAGE / 2;

/* Keep the compiler from leaving out what nobody reads, or what is the same in every round. */
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

/* The least that splitting at CR and LF and copying can cost. */
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

static const struct {
    void (*run)(void);
    double repeats;
} steps[] = {
    {encode_small, SMALL_REPEATS},    {print_small, SMALL_REPEATS},       {copy_small, SMALL_REPEATS},
    {encode_one_line, LARGE_REPEATS}, {encode_many_lines, LARGE_REPEATS}, {scan_and_copy, LARGE_REPEATS},
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

int main(void)
{
    static double times[STEPS][ROUNDS];
    double medians[STEPS];

    memset(text, 'x', LARGE_SIZE);
    for (size_t i = 0; i < LARGE_SIZE; i++)
        lines[i] = i % 64 == 63 ? '\n' : 'x';
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < STEPS; i++) {
            uint64_t begin = figure_cpu_now();

            steps[i].run();
            times[i][round] = (double)(figure_cpu_now() - begin) / steps[i].repeats;
        }
    for (size_t i = 0; i < STEPS; i++)
        medians[i] = figure_median(times[i], ROUNDS);
    figure_at_most("framing_of_id_type_and_100_bytes", medians[0], "ns", 25);
    figure_plain("snprintf_of_the_same", medians[1], "ns");
    figure_plain("memcpy_of_as_much", medians[2], "ns");
    figure_plain("framing_over_snprintf", medians[0] / medians[1], "ratio");
    figure_at_least("framing_of_64_KiB_in_speed_of_memchr_twice_and_memcpy", medians[5] / medians[3], "ratio",
                    0.5);
    figure_at_least("framing_with_a_line_end_every_64_bytes_in_speed_of_one_line", medians[3] / medians[4],
                    "ratio", 0.8);
    return 0;
}
