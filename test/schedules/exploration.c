/* SPDX-License-Identifier: MIT */
#include "exploration.h"
#include "failure.h"
#include "traces.h"

#include <stdio.h>
#include <stdlib.h>

/* A longer schedule means that threads run in circles. */
#define STEPS_MAX 4000

/** A step after which more than one thread could continue. */
struct decision {
    unsigned step;
    unsigned options; /* bits of threads */
    unsigned tried;
    unsigned chosen;
    uint64_t touches; /* by the thread that ran before, if it could have continued */
};

/** The thread that continued, where it is not the usual one. */
struct turn {
    unsigned step;
    unsigned thread;
};

static struct {
    unsigned preemptions_max;
    struct decision decisions[STEPS_MAX];
    unsigned known; /* decisions that are given */

    bool replays;
    struct turn given[STEPS_MAX];
    unsigned given_count;
} plan;

/* The current schedule. */
static struct {
    unsigned steps;
    unsigned preemptions;
    unsigned depth;             /* decisions so far */
    struct decision *went_on;   /* objects of the current step, if they must be recorded there */
    uint64_t sleeping[THREADS]; /* the objects that would wake it; 0: it is awake */
    struct turn turns[STEPS_MAX];
    unsigned turn_count;
} run;

static unsigned bit(unsigned thread)
{
    return 1u << thread;
}

static unsigned first_of(unsigned threads)
{
    unsigned thread = 0;

    while (!(threads & bit(thread)))
        thread++;
    return thread;
}

static void wake(uint64_t touched)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (run.sleeping[i] & touched)
            run.sleeping[i] = 0;
}

static unsigned awake(unsigned threads)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (run.sleeping[i])
            threads &= ~bit(i);
    return threads;
}

void exploration_begin(unsigned preemptions)
{
    plan.preemptions_max = preemptions;
    plan.known = 0;
    plan.replays = false;
    traces_forget();
}

bool exploration_advance(void)
{
    for (plan.known = run.depth; plan.known > 0; plan.known--) {
        struct decision *last = &plan.decisions[plan.known - 1];
        unsigned left = last->options & ~last->tried;

        if (!left)
            continue;
        last->chosen = first_of(left);
        last->tried |= bit(last->chosen);
        return true;
    }
    return false;
}

bool exploration_replay(const char *list)
{
    char *end;

    plan.replays = true;
    for (plan.given_count = 0; *list && *list != '-'; list = end + (*end == ',')) {
        struct turn *turn = &plan.given[plan.given_count++];

        turn->step = (unsigned)strtoul(list, &end, 10);
        if (end == list || *end < 'A' || *end >= 'A' + THREADS || plan.given_count == STEPS_MAX)
            return false;
        turn->thread = (unsigned)(*end++ - 'A');
    }
    return true;
}

void exploration_start(void)
{
    run.steps = 0;
    run.preemptions = 0;
    run.depth = 0;
    run.went_on = NULL;
    run.turn_count = 0;
    for (unsigned i = 0; i < THREADS; i++)
        run.sleeping[i] = 0;
    traces_start();
}

static unsigned choose_given(unsigned usual, unsigned ready)
{
    unsigned chosen = usual;

    for (unsigned i = 0; i < plan.given_count; i++)
        if (plan.given[i].step == run.steps)
            chosen = plan.given[i].thread;
    if (!(ready & bit(chosen)))
        failure("step %u: thread %c cannot go on: this is no schedule of this program", run.steps,
                (int)('A' + chosen));
    return chosen;
}

static struct decision *decide(unsigned options, unsigned first)
{
    struct decision *decision = &plan.decisions[run.depth++];

    if (run.depth > plan.known)
        *decision =
            (struct decision){.step = run.steps, .options = options, .tried = bit(first), .chosen = first};
    else if (decision->step != run.steps || decision->options != options)
        failure("the same decisions have led to something else: the test is at fault");
    return decision;
}

/* The possible choices depend on this, in addition to what has happened. */
static uint64_t situation(unsigned current, bool can_go_on)
{
    uint64_t all = (uint64_t)current << 1 | can_go_on;

    for (unsigned i = 0; i < THREADS; i++)
        all = all * UINT64_C(0x9e3779b97f4a7c15) + run.sleeping[i];
    return all;
}

static unsigned explore(unsigned current, unsigned ready)
{
    bool can_go_on = current != NOBODY && ready & bit(current);
    unsigned options = awake(ready);
    struct decision *decision;

    if (can_go_on && run.preemptions == plan.preemptions_max)
        options = bit(current);
    if (!options)
        return NOBODY;
    if (!(options & (options - 1)))
        return first_of(options);
    if (run.depth >= plan.known && traces_have_been_here(situation(current, can_go_on), run.preemptions))
        return NOBODY;
    decision = decide(options, can_go_on ? current : first_of(options));
    if (decision->chosen == current) {
        run.went_on = decision;
    } else if (can_go_on) {
        run.preemptions++;
        run.sleeping[current] = decision->touches;
    }
    return decision->chosen;
}

unsigned exploration_choose(unsigned current, unsigned ready, uint64_t waits_for)
{
    bool can_go_on = current != NOBODY && ready & bit(current);
    unsigned usual, chosen;

    if (!ready)
        return NOBODY;
    if (++run.steps == STEPS_MAX)
        failure("the threads do not come to an end");
    if (!can_go_on)
        wake(waits_for);
    usual = can_go_on ? current : first_of(ready);
    chosen = plan.replays ? choose_given(usual, ready) : explore(current, ready);
    if (chosen != usual && chosen != NOBODY)
        run.turns[run.turn_count++] = (struct turn){.step = run.steps, .thread = chosen};
    return chosen;
}

void exploration_end_step(unsigned thread, uint64_t touches)
{
    traces_add(thread, touches);
    if (run.went_on)
        run.went_on->touches = touches;
    run.went_on = NULL;
    wake(touches);
}

unsigned exploration_steps(void)
{
    return run.steps;
}

void exploration_print(void)
{
    for (unsigned i = 0; i < run.turn_count; i++)
        printf("%s%u%c", i ? "," : "", run.turns[i].step, (int)('A' + run.turns[i].thread));
    printf("%s\n", run.turn_count ? "" : "-");
}
