/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_SCHEDULE_H
#define SUPPORT_SCHEDULE_H

/**
 * Chance for tests that race threads. SSE_TEST_SEED repeats what a run did, as far as the
 * scheduler of the system goes along. SSE_TEST_ROUNDS says how long a test goes on, in percent of
 * its default: 1 for Helgrind and DRD, thousands for a night.
 *
 * Nothing here orders one thread's memory after another's, or race detectors would see less.
 */

#include "fake_host.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** Aborts with place and seed if it is not so: cmocka's assertions are for one thread alone. */
#define require(condition) schedule_require((condition), #condition, __FILE__, __LINE__)

/** Whether a race detector looks on that knows the order which atomics make: Helgrind and DRD do
 *  not, and the last reference to an object goes by such an order alone. */
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

/** What goes on, for that message; borrowed. With only one thread. */
void schedule_scene(const char *scene);

/** SSE_TEST_SEED, or a new seed; printed when it is first asked for. */
uint64_t schedule_seed(void);

/** At least 1. */
unsigned schedule_rounds(unsigned by_default);

struct schedule_random {
    uint64_t state;
};

/** A sequence of its own for each `stream` of one seed. */
void schedule_random_init(struct schedule_random *random, uint64_t seed, uint64_t stream);
uint64_t schedule_bits(struct schedule_random *random);
unsigned schedule_below(struct schedule_random *random, unsigned bound);
bool schedule_one_in(struct schedule_random *random, unsigned count);

/** Nothing, a few turns of an empty loop, or another thread's turn. */
void schedule_pause(struct schedule_random *random);

/** Lets two threads run into the same code at the same time, again and again. */
struct schedule_gate {
    atomic_uint passed[2];
};

/** Comes for the `nth` time, counted from 1, and waits a moment for the other side to have done so
 *  too: not for long, because it may have no processor. */
void schedule_gate_pass(struct schedule_gate *gate, unsigned side, unsigned nth);

/**
 * A host with the clock of `fake`. `counting` adds its allocator, which orders the threads that
 * use it; without, memory is malloc's.
 */
void schedule_host_init(struct sse_host *host, struct fake_host *fake, bool counting);

#endif
