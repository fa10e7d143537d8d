/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

/** Clock, medians, and the lines that a bench prints. */

#include <stddef.h>
#include <stdint.h>

#define FIGURE_ROUNDS_MAX 64

/** Nanoseconds of the CPU time of this thread. */
uint64_t figure_cpu_now(void);

/** Sorts the values. */
double figure_median(double *values, size_t count);

/** Prints "name value unit <=goal pass|miss". */
void figure_at_most(const char *name, double value, const char *unit, double goal);
void figure_at_least(const char *name, double value, const char *unit, double goal);
/** Prints a figure without a goal: "name value unit - -". */
void figure_plain(const char *name, double value, const char *unit);

#endif
