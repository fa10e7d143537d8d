/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_SCHEDULER_H
#define SCHEDULES_SCHEDULER_H

/**
 * Three threads, of which one runs at a time. Before each step a thread lets exploration.h decide who goes
 * on: it, or another one. A step is what other threads can notice: taking a lock, waiting, touching an
 * atomic, entering an output, calling the system. Between two steps a thread runs alone, and what it does
 * there belongs to the first of them.
 *
 * The locks and conditions of the library are not the system's: see locks.c.
 */

#include <stdbool.h>
#include <stdint.h>

#define THREADS 3
#define MAIN_THREAD THREADS /* it sets up and checks, while no other thread runs */
#define ALL_THREADS (THREADS + 1)
#define NOBODY UINT32_MAX

/** The call that has led here, not what follows it. */
#define CALLER ((const void *)((const char *)__builtin_return_address(0) - 1))

/** What a thread is about to do. */
struct step {
    const char *what;
    const void *object;
    /** Bits of the objects that it touches. Two steps without a bit in common can change places. */
    uint64_t touches;
    /** Whether it can be done now; called with `of`. NULL: always. */
    bool (*is_ready)(const void *of);
    const void *of;
    const void *place; /* in the code; NULL: not known */
};

/* Bits that are taken; the others are given out by objects_bit. */
#define TOUCHES_SYSTEM UINT64_C(1)
#define TOUCHES_ENDS UINT64_C(2) /* who has finished, or waits for the others to */

extern _Thread_local unsigned scheduler_thread;

/** The calling thread: 0 and up, or MAIN_THREAD. */
static inline unsigned scheduler_self(void)
{
    return scheduler_thread;
}

/** Comes back when it is the calling thread's turn. */
void scheduler_step(const struct step *step);

/** The step that runs touches more: what it does beside that must not matter to other threads. */
void scheduler_touch(uint64_t touches);

/** How many steps there have been in this schedule. */
unsigned scheduler_steps(void);

bool scheduler_has_finished(unsigned thread);

/** Starts the threads of the process. `run` is what each does in every schedule. */
void scheduler_open(void (*run)(unsigned thread));

/** One schedule. False if it was given up, because it shows nothing that an earlier one has not shown. Then
 *  the threads have been torn out of their calls. */
bool scheduler_run(void);

/** Prints every step. */
void scheduler_trace(void);

/** Prints that the calling thread begins with another operation, if every step is printed. */
void scheduler_trace_operation(unsigned number);

#endif
