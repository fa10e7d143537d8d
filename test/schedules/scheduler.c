/* SPDX-License-Identifier: MIT */
#include "scheduler.h"
#include "exploration.h"
#include "failure.h"
#include "objects.h"
#include "order.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdio.h>

struct thread {
    pthread_t id;
    sem_t go;
    jmp_buf begin;
    const struct step *next; /* the next step; NULL: it has not begun */
    bool finished;
};

_Thread_local unsigned scheduler_thread = MAIN_THREAD;
static struct thread threads[ALL_THREADS];
static void (*run_thread)(unsigned thread);
static uint64_t touched; /* by the current step */
static bool given_up;
static bool traces;

void scheduler_touch(uint64_t touches)
{
    touched |= touches;
}

unsigned scheduler_steps(void)
{
    return exploration_steps();
}

bool scheduler_has_finished(unsigned thread)
{
    return threads[thread].finished;
}

void scheduler_trace(void)
{
    traces = true;
}

void scheduler_trace_operation(unsigned number)
{
    if (traces)
        printf("       %c  operation %u\n", (int)('A' + scheduler_self()), number);
}

static void post(unsigned thread)
{
    sem_post(&threads[thread].go);
}

static void sleep_until_posted(void)
{
    while (sem_wait(&threads[scheduler_self()].go))
        continue;
}

static bool is_ready(const struct thread *thread)
{
    const struct step *next = thread->next;

    return !thread->finished && (!next || !next->is_ready || next->is_ready(next->of));
}

static unsigned find_ready(void)
{
    unsigned ready = 0;

    for (unsigned i = 0; i < THREADS; i++)
        ready |= (unsigned)is_ready(&threads[i]) << i;
    return ready;
}

static bool all_have_finished(void)
{
    bool all = true;

    for (unsigned i = 0; i < THREADS; i++)
        all = all && threads[i].finished;
    return all;
}

static void print_waiting(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (!threads[i].finished && threads[i].next)
            printf("thread %c waits: %s %s\n", (int)('A' + i), threads[i].next->what,
                   objects_name_of(threads[i].next->object));
}

/* Descriptors that a given-up schedule has left behind. */
static unsigned first_unfinished(void)
{
    unsigned thread = 0;

    while (thread < MAIN_THREAD && threads[thread].finished)
        thread++;
    return thread;
}

/* Chooses the thread that continues. The calling thread is about to take a step, or has finished: NULL. */
static unsigned choose(const struct step *step)
{
    bool is_main = scheduler_self() == MAIN_THREAD;
    unsigned ready, next;

    if (given_up)
        return first_unfinished();
    if (!is_main)
        exploration_end_step(scheduler_self(), touched);
    touched = 0;
    ready = find_ready();
    if (!ready && all_have_finished())
        return MAIN_THREAD;
    next = exploration_choose(is_main ? NOBODY : scheduler_self(), ready, step ? step->touches : 0);
    if (next != NOBODY)
        return next;
    if (!ready) {
        print_waiting();
        failure("every thread waits for another one");
    }
    given_up = true;
    return first_unfinished();
}

static void trace(const struct step *step)
{
    printf("%5u  %c  %s %s", exploration_steps(), (int)('A' + scheduler_self()), step->what,
           objects_name_of(step->object));
    if (step->place)
        printf("  [%p]", step->place);
    printf("\n");
}

void scheduler_step(const struct step *step)
{
    unsigned next;

    if (scheduler_self() == MAIN_THREAD) {
        if (step->is_ready && !step->is_ready(step->of))
            failure("the only thread waits: %s %s", step->what, objects_name_of(step->object));
        return;
    }
    threads[scheduler_self()].next = step;
    next = choose(step);
    if (next != scheduler_self()) {
        post(next);
        sleep_until_posted();
    }
    if (given_up)
        longjmp(threads[scheduler_self()].begin, 1);
    touched |= step->touches;
    if (traces)
        trace(step);
}

static void take_part(void)
{
    if (!setjmp(threads[scheduler_self()].begin) && !given_up)
        run_thread(scheduler_self());
    threads[scheduler_self()].finished = true;
    touched |= TOUCHES_ENDS;
    post(choose(NULL));
}

static void *thread_main(void *number)
{
    scheduler_thread = (unsigned)(uintptr_t)number;
    for (;;) {
        sleep_until_posted();
        take_part();
    }
    return NULL;
}

void scheduler_open(void (*run)(unsigned thread))
{
    run_thread = run;
    sem_init(&threads[MAIN_THREAD].go, 0, 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        sem_init(&threads[i].go, 0, 0);
        require(pthread_create(&threads[i].id, NULL, thread_main, (void *)i) == 0);
    }
}

bool scheduler_run(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i].finished = false;
        threads[i].next = NULL;
    }
    given_up = false;
    touched = 0;
    order_fork();
    exploration_start();
    post(choose(NULL));
    sleep_until_posted();
    order_join();
    return !given_up;
}
