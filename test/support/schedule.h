/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_SCHEDULE_H
#define SUPPORT_SCHEDULE_H

/**
 * Random numbers for tests with racing threads. SSE_TEST_SEED repeats a run, as far as the system's scheduler
 * allows. SSE_TEST_ROUNDS is the length of a test in percent of its default: 1 for Helgrind and DRD, thousands for
 * a night.
 *
 * Nothing here orders the memory accesses of one thread after those of another, because race detectors would miss
 * races then.
 */

#include "fake_platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** Aborts with place and seed if the condition is false. The assertions of cmocka work only in one thread. */
#define require(condition) schedule_require((condition), #condition, __FILE__, __LINE__)

/** Whether a race detector runs that understands the order made by atomics. Helgrind and DRD do not, and releasing
 *  the last reference to an object relies on it. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SCHEDULE_ATOMICS_ARE_SEEN true
#endif
#elif defined(__SANITIZE_THREAD__)
#define SCHEDULE_ATOMICS_ARE_SEEN true
#endif
#ifndef SCHEDULE_ATOMICS_ARE_SEEN
#define SCHEDULE_ATOMICS_ARE_SEEN false
#endif

void schedule_require(bool holds, const char *condition, const char *file, int line);

/** Names what is tested, for that message; borrowed. Call it while there is only one thread. */
void schedule_scene(const char *scene);

/** Returns SSE_TEST_SEED, or a new seed. Prints it at the first call. */
uint64_t schedule_seed(void);

/** At least 1. */
unsigned schedule_rounds(unsigned by_default);

struct schedule_random {
    uint64_t state;
};

/** Returns a separate sequence for each `stream` of one seed. */
void schedule_random_init(struct schedule_random *random, uint64_t seed, uint64_t stream);
uint64_t schedule_bits(struct schedule_random *random);
unsigned schedule_below(struct schedule_random *random, unsigned bound);
bool schedule_one_in(struct schedule_random *random, unsigned count);

/** Does nothing, spins for a moment, or yields. */
void schedule_pause(struct schedule_random *random);

/** Lets two threads reach the same code at the same time, again and again. */
struct schedule_gate {
    atomic_uint passed[2];
};

/** Passes for the `nth` time, counted from 1, and waits a moment for the other side to pass too. It does not wait
 *  for long, because the other side may have no processor. */
void schedule_gate_pass(struct schedule_gate *gate, unsigned side, unsigned nth);

/**
 * A platform with the clock of `fake`. With `counting` it also has the allocator of `fake`, which orders the
 * threads that use it. Otherwise memory comes from malloc.
 */
void schedule_platform_init(struct sse_platform *platform, struct fake_platform *fake, bool counting);

#endif
