/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_SCHEDULER_H
#define SCHEDULES_SCHEDULER_H

/**
 * Three threads, of which only one runs at a time. Before each step, exploration.h decides whether this thread or
 * another one continues. A step is an action that other threads can notice: taking a lock, waiting, touching an
 * atomic, entering an output, calling the system. Between two steps a thread runs alone, and its actions there
 * belong to the first of the two.
 *
 * The locks and conditions of the library are not the system's: see locks.c.
 */

#include <stdbool.h>
#include <stdint.h>

#define THREADS 3
#define MAIN_THREAD THREADS /* it sets up and checks, while no other thread runs */
#define ALL_THREADS (THREADS + 1)
#define NOBODY UINT32_MAX

/** The call that has led to this step, not the code after it. */
#define CALLER ((const void *)((const char *)__builtin_return_address(0) - 1))

/** The next step of a thread. */
struct step {
    const char *what;
    const void *object;
    /** Bits of the objects that it touches. Two steps without a common bit are independent. */
    uint64_t touches;
    /** Whether it is possible now; called with `of`. NULL: always. */
    bool (*is_ready)(const void *of);
    const void *of;
    const void *place; /* in the code; NULL: not known */
};

/* Reserved bits. objects_bit assigns the others. */
#define TOUCHES_SYSTEM UINT64_C(1)
#define TOUCHES_ENDS UINT64_C(2) /* for a thread that has finished, or waits for the others to finish */

extern _Thread_local unsigned scheduler_thread;

/** Returns the calling thread: 0 and up, or MAIN_THREAD. */
static inline unsigned scheduler_self(void)
{
    return scheduler_thread;
}

/** Returns when it is the calling thread's turn. */
void scheduler_step(const struct step *step);

/** Adds objects to the current step. Other threads must not notice anything else that it does. */
void scheduler_touch(uint64_t touches);

/** Returns how many steps there have been in this schedule. */
unsigned scheduler_steps(void);

bool scheduler_has_finished(unsigned thread);

/** Starts the threads of the process. Each calls `run` in every schedule. */
void scheduler_open(void (*run)(unsigned thread));

/** Runs one schedule. Returns false if it was given up, because it shows nothing new. Then the threads have been
 *  taken out of their calls. */
bool scheduler_run(void);

/** Prints every step. */
void scheduler_trace(void);

/** If every step is printed, prints that the calling thread begins another operation. */
void scheduler_trace_operation(unsigned number);

#endif
