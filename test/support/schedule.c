/* SPDX-License-Identifier: MIT */
#include "schedule.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed;
static const char *scene = "";
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static uint64_t mix(uint64_t bits)
{
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

static void choose_seed(void)
{
    const char *text = getenv("SSE_TEST_SEED");
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    seed = mix((uint64_t)now.tv_nsec ^ mix((uint64_t)now.tv_sec) ^ (uint64_t)getpid()) >> 32;
    if (text)
        seed = strtoull(text, NULL, 10);
    fprintf(stderr, "SSE_TEST_SEED=%" PRIu64 "\n", seed);
}

uint64_t schedule_seed(void)
{
    pthread_once(&seed_once, choose_seed);
    return seed;
}

void schedule_scene(const char *new_scene)
{
    scene = new_scene ? new_scene : "";
}

void schedule_require(bool holds, const char *condition, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: this does not hold: %s (SSE_TEST_SEED=%" PRIu64 ") %s\n", file, line, condition,
            schedule_seed(), scene);
    abort();
}

unsigned schedule_rounds(unsigned by_default)
{
    const char *text = getenv("SSE_TEST_ROUNDS");
    unsigned long percent = text ? strtoul(text, NULL, 10) : 100;
    unsigned long rounds = by_default * percent / 100;

    require(percent > 0 && percent <= 1000000);
    return rounds ? (unsigned)rounds : 1;
}

void schedule_random_init(struct schedule_random *random, uint64_t from, uint64_t stream)
{
    random->state = mix(from ^ mix(stream + UINT64_C(0x9e3779b97f4a7c15)));
}

uint64_t schedule_bits(struct schedule_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(random->state);
}

unsigned schedule_below(struct schedule_random *random, unsigned bound)
{
    return (unsigned)(schedule_bits(random) % bound);
}

bool schedule_one_in(struct schedule_random *random, unsigned count)
{
    return schedule_below(random, count) == 0;
}

static void spin(unsigned turns)
{
    for (volatile unsigned i = 0; i < turns;)
        i = i + 1;
}

void schedule_pause(struct schedule_random *random)
{
    unsigned choice = schedule_below(random, 16);

    if (choice == 0)
        sched_yield();
    else if (choice < 8)
        spin(schedule_below(random, 1u << choice));
}

void schedule_gate_pass(struct schedule_gate *gate, unsigned side, unsigned nth)
{
    (void)atomic_exchange_explicit(&gate->passed[side], nth, memory_order_relaxed);
    for (unsigned turn = 1; turn < 4096; turn++) {
        if (atomic_load_explicit(&gate->passed[!side], memory_order_relaxed) >= nth)
            return;
        if (turn % 1024 == 0)
            sched_yield();
    }
}

static uint64_t relaxed_now(void *user)
{
    return atomic_load_explicit(&((struct fake_platform *)user)->now, memory_order_relaxed);
}

static uint64_t relaxed_random(void *user)
{
    struct fake_platform *fake = user;

    return mix(atomic_fetch_add_explicit(&fake->random, UINT64_C(0x9e3779b97f4a7c15), memory_order_relaxed));
}

void schedule_platform_init(struct sse_platform *platform, struct fake_platform *fake, bool counting)
{
    *platform = fake->platform;
    platform->now = relaxed_now;
    platform->random = relaxed_random;
    if (counting)
        return;
    platform->allocate = NULL;
    platform->deallocate = NULL;
}
