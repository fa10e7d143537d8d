/* SPDX-License-Identifier: MIT */
/*
 * Without arguments: the names of the pairs.
 *
 * PAIR: its schedules, see pairs.h.
 *
 * PAIR COUNTS PREEMPTIONS: its schedules with up to that many preemptions and that many operations of each thread
 * (321: three of A, two of B, one of C). With 333 and 3 they are two million in all, and take some minutes.
 *
 * PAIR replay COUNTS LIST: one schedule, step by step, as a failure has printed it.
 */
#include "exploration.h"
#include "failure.h"
#include "pairs.h"
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>

static const struct pair *pair;
static unsigned long schedules;
static unsigned counts[THREADS]; /* of operations */

static void run_thread(unsigned thread)
{
    for (unsigned i = 0; i < counts[thread]; i++) {
        scheduler_trace_operation(i + 1);
        if (pair->operations[thread][i])
            pair->operations[thread][i]();
    }
}

noreturn static void fail(const char *what, const char *argument)
{
    fprintf(stderr, "schedules: %s: %s\n", what, argument);
    exit(2);
}

/* Returns false if it was given up. */
static bool run_schedule(void)
{
    schedules++;
    scene_open();
    operations_clear();
    pair->set_up();
    if (!scheduler_run()) {
        scene_forget();
        return false;
    }
    scene_check();
    return true;
}

static void explore(unsigned preemptions)
{
    unsigned long whole = 0, before = schedules;

    exploration_begin(preemptions);
    do
        whole += run_schedule();
    while (exploration_advance());
    printf("%s: %lu schedules of %u, %u, %u operations, up to %u preemptions; %lu began like another one\n",
           pair->name, whole, counts[0], counts[1], counts[2], preemptions, schedules - before - whole);
    fflush(stdout);
}

static void set_counts(const char *given)
{
    for (unsigned i = 0; i < THREADS; i++) {
        if (given[i] < '0' || given[i] > '0' + OPERATIONS || given[THREADS])
            fail("these are no counts", given);
        counts[i] = (unsigned)(given[i] - '0');
    }
}

static void explore_up_to(unsigned preemptions)
{
    for (unsigned i = 0; i <= preemptions; i++)
        explore(i);
}

static void explore_all(void)
{
    set_counts("333");
    explore_up_to(PREEMPTIONS_MAX - 1);
    set_counts(pair->fewer);
    explore(PREEMPTIONS_MAX);
}

static const struct pair *find_pair(const char *name)
{
    for (unsigned i = 0; i < pairs_count; i++)
        if (!strcmp(pairs[i].name, name))
            return &pairs[i];
    fail("there is no such pair", name);
}

static void replay(const char *list)
{
    if (!exploration_replay(list))
        fail("this is no list of decisions", list);
    scheduler_trace();
    (void)run_schedule();
    printf("nothing is wrong with this schedule\n");
}

static void list_pairs(void)
{
    for (unsigned i = 0; i < pairs_count; i++)
        printf("%s\n", pairs[i].name);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        list_pairs();
        return 0;
    }
    pair = find_pair(argv[1]);
    failure_open(pair->name, &schedules, counts);
    scheduler_open(run_thread);
    if (argc == 2) {
        explore_all();
    } else if (argc == 4) {
        set_counts(argv[2]);
        explore_up_to((unsigned)strtoul(argv[3], NULL, 10));
    } else if (argc == 5) {
        set_counts(argv[3]);
        replay(argv[4]);
    } else {
        fail("there are no such arguments", argv[2]);
    }
    return 0;
}
