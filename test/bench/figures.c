/* SPDX-License-Identifier: MIT */
#include "figures.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t figure_cpu_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

double figure_median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void print(const char *name, double value, const char *unit, const char *sign, double goal, bool met)
{
    printf("%s %.3f %s %s%g %s\n", name, value, unit, sign, goal, met ? "pass" : "miss");
    fflush(stdout);
}

void figure_at_most(const char *name, double value, const char *unit, double goal)
{
    print(name, value, unit, "<=", goal, value <= goal);
}

void figure_at_least(const char *name, double value, const char *unit, double goal)
{
    print(name, value, unit, ">=", goal, value >= goal);
}

void figure_plain(const char *name, double value, const char *unit)
{
    printf("%s %.3f %s - -\n", name, value, unit);
    fflush(stdout);
}
