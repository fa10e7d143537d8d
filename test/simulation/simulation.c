/* SPDX-License-Identifier: MIT */
#include "simulation.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 *     simulation FIRST COUNT      runs the seeds FIRST to FIRST + COUNT - 1
 *     simulation random COUNT     the same, from a first seed drawn from the clock
 *     simulation --seed N         runs one seed and tells what happens
 */

static const char *program;
static volatile uint64_t current_seed;

static struct world *world_new(void)
{
    struct world *world = malloc(sizeof(*world));

    if (!world)
        abort();
    return world;
}

static void tell_how_to_repeat(FILE *stream, uint64_t seed)
{
    fprintf(stream, "reproduce with: %s --seed %" PRIu64 "\n", program, seed);
}

/* Runs the seed again and prints what happens. The failed run is not changed. */
static void repeat(uint64_t seed)
{
    struct world *world = world_new();

    world->verbose = true;
    printf("what happened in seed %" PRIu64 ":\n", seed);
    world_run(world, seed);
    printf("the second run of seed %" PRIu64 " went well: the first depended on more than the seed\n", seed);
}

void expect(struct world *world, bool holds, const char *format, ...)
{
    va_list arguments;

    if (holds)
        return;
    if (!world->verbose)
        repeat(world->seed);
    printf("VIOLATION in seed %" PRIu64 ", step %u (%s): ", world->seed, world->step, world->doing);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    tell_how_to_repeat(stdout, world->seed);
    exit(1);
}

void expect_equal(struct world *world, uint64_t expected, uint64_t actual, const char *what)
{
    expect(world, expected == actual, "%s: %" PRId64 " expected, is %" PRId64, what, (int64_t)expected,
           (int64_t)actual);
}

void narrate(const struct world *world, const char *format, ...)
{
    va_list arguments;

    if (!world->verbose)
        return;
    printf("%*s", (int)(2 + 2 * world->depth), "");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

/* SplitMix64. */
uint64_t chance_bits(struct world *world)
{
    uint64_t bits = world->chance += UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

size_t chance_below(struct world *world, size_t bound)
{
    return (size_t)((chance_bits(world) >> 32) % bound);
}

bool chance_percent(struct world *world, unsigned percent)
{
    return chance_below(world, 100) < percent;
}

uint64_t world_now(const struct world *world)
{
    return atomic_load(&world->fake.now);
}

void fail_begin(struct world *world)
{
    size_t nth;

    if (world->depth)
        return;
    world->failed = false;
    world->readings = 0;
    world->calls_before = world->calls;
    if (!chance_percent(world, world->scenario.fails))
        return;
    /* Draws one after the other, so that every compiler gets the same numbers. */
    nth = 1 + chance_below(world, 6);
    fake_platform_fail_at(&world->fake, nth, chance_percent(world, 50));
    narrate(world, "memory is short");
}

void fail_suspend(struct world *world)
{
    size_t nth = atomic_load(&world->fake.fail_at);

    world->failed |= nth && atomic_load(&world->fake.attempts) >= nth;
    fake_platform_fail_at(&world->fake, 0, false);
}

bool fail_end(struct world *world)
{
    if (world->depth)
        return false;
    fail_suspend(world);
    expect(world, world->readings <= 1 || world->reads_often || world->calls != world->calls_before,
           "the clock was read %u times in one call", world->readings);
    world->reads_often = false;
    return world->failed;
}

bool memory_is_short(const struct world *world)
{
    size_t nth = atomic_load(&world->fake.fail_at);

    return world->failed || (nth && atomic_load(&world->fake.attempts) >= nth);
}

bool same_text(struct sse_text left, struct sse_text right)
{
    return left.len == right.len && (!left.len || !memcmp(left.ptr, right.ptr, left.len));
}

static void on_crash(int number)
{
    char text[64] = "simulation: crashed in seed ";
    size_t at = strlen(text), digits = at;
    uint64_t seed = current_seed;

    do
        text[digits++] = (char)('0' + seed % 10);
    while (seed /= 10);
    for (size_t left = at, right = digits - 1; left < right; left++, right--) {
        char digit = text[left];

        text[left] = text[right];
        text[right] = digit;
    }
    text[digits++] = '\n';
    if (write(STDERR_FILENO, text, digits) < 0)
        _exit(3);
    signal(number, SIG_DFL);
    raise(number);
}

static void add_totals(struct totals *sum, const struct totals *one)
{
    sum->events += one->events;
    sum->reconnects += one->reconnects;
    sum->gaps += one->gaps;
    sum->filled += one->filled;
    sum->drops += one->drops;
    sum->turns += one->turns;
}

static void run(uint64_t first, uint64_t count)
{
    struct world *world = world_new();
    struct totals totals = {.events = 0};

    world->verbose = false;
    for (uint64_t seed = first; seed - first < count; seed++) {
        current_seed = seed;
        world_run(world, seed);
        add_totals(&totals, &world->totals);
    }
    free(world);
    printf("seeds %" PRIu64 "..%" PRIu64 ", %" PRIu64 " events, %" PRIu64 " reconnects, %" PRIu64
           " gaps, %" PRIu64 " filled, %" PRIu64 " drops, %" PRIu64 " turns, 0 violations\n",
           first, first + count - 1, totals.events, totals.reconnects, totals.gaps, totals.filled,
           totals.drops, totals.turns);
}

static int run_one(const char *seed)
{
    struct world *world = world_new();

    current_seed = strtoull(seed, NULL, 10);
    world->verbose = true;
    world_run(world, current_seed);
    free(world);
    printf("seed %s: 0 violations\n", seed);
    return 0;
}

/* Seeds after the fixed ones. */
static uint64_t draw_first_seed(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return UINT64_C(1000000000) +
           ((uint64_t)now.tv_sec * 1000000007 + (uint64_t)now.tv_nsec) % UINT64_C(1000000000000);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc != 3) {
        fprintf(stderr, "usage: %s FIRST COUNT | random COUNT | --seed N\n", program);
        return 2;
    }
    signal(SIGABRT, on_crash);
    history_learn_costs();
    if (!strcmp(argv[1], "--seed"))
        return run_one(argv[2]);
    run(!strcmp(argv[1], "random") ? draw_first_seed() : strtoull(argv[1], NULL, 10),
        strtoull(argv[2], NULL, 10));
    return 0;
}
