/* SPDX-License-Identifier: MIT */
#include "failure.h"
#include "exploration.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *pair = "";
static const unsigned long *schedules;
static const unsigned *counts;

noreturn void failure(const char *format, ...)
{
    unsigned self = scheduler_self();
    va_list arguments;

    printf("%s: schedule %lu: ", pair, *schedules);
    if (self < THREADS)
        printf("thread %c: ", (int)('A' + self));
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\nreplay: %s %u%u%u ", pair, counts[0], counts[1], counts[2]);
    exploration_print();
    fflush(stdout);
    _exit(1);
}

void failure_unless(bool holds, const char *condition, const char *file, int line)
{
    if (!holds)
        failure("%s:%d: this does not hold: %s", file, line, condition);
}

/* The process is lost anyway. */
static void crash(int number)
{
    failure("signal %d", number);
}

void failure_open(const char *name, const unsigned long *number, const unsigned *operations)
{
    const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM};
    struct sigaction action = {.sa_flags = (int)SA_RESETHAND};

    pair = name;
    schedules = number;
    counts = operations;
    action.sa_handler = crash;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
}
