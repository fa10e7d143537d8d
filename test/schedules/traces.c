/* SPDX-License-Identifier: MIT */
#include "traces.h"
#include "scheduler.h"

#include <string.h>

#define OBJECTS 64
#define STATES_MAX (1u << 22)
#define STATES_MASK (2 * STATES_MAX - 1)

/* The last step of each thread, and the last one that touched each object, each with all steps before it. */
static uint64_t threads[THREADS];
static uint64_t objects[OBJECTS];

/* A hash set; 0 is a free place. When it is full, more schedules are run than necessary. */
static uint64_t states[STATES_MASK + 1];
static unsigned count;

static uint64_t mix(uint64_t bits)
{
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

static unsigned lowest(uint64_t bits)
{
    return (unsigned)__builtin_ctzll(bits);
}

void traces_start(void)
{
    memset(objects, 0, sizeof(objects));
    for (unsigned i = 0; i < THREADS; i++)
        threads[i] = i + 1;
}

void traces_add(unsigned thread, uint64_t touches)
{
    uint64_t step = mix(threads[thread] + touches);

    for (uint64_t left = touches; left; left &= left - 1)
        step = mix(step ^ (objects[lowest(left)] + lowest(left)));
    for (uint64_t left = touches; left; left &= left - 1)
        objects[lowest(left)] = step;
    threads[thread] = step;
}

void traces_forget(void)
{
    memset(states, 0, sizeof(states));
    count = 0;
}

static bool find_or_add(uint64_t state, bool add)
{
    uint64_t place = state & STATES_MASK;

    while (states[place] && states[place] != state)
        place = (place + 1) & STATES_MASK;
    if (states[place])
        return true;
    if (add && count < STATES_MAX) {
        states[place] = state;
        count++;
    }
    return false;
}

bool traces_have_been_here(uint64_t situation, unsigned preemptions)
{
    uint64_t state = mix(situation);
    bool been_here = false;

    for (unsigned i = 0; i < THREADS; i++)
        state = mix(state ^ (threads[i] + i));
    for (unsigned i = 0; i <= preemptions && !been_here; i++)
        been_here = find_or_add(mix(state + i) | 1, i == preemptions);
    return been_here;
}
