/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_MEMORY_H
#define SCHEDULES_MEMORY_H

/**
 * The memory of the library. No byte is used twice in one schedule, so every use after free is found. The library
 * is compiled with -fsanitize=thread, so it calls accesses.c at each access. This program replaces the sanitizer's
 * runtime.
 *
 * Touching memory that is not allocated is a failure. So is a data race, in which no lock or atomic orders the
 * accesses of two threads, because then no order of steps determines the result.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Begins a new schedule with all memory free. */
void memory_clear(void);

void *memory_allocate(size_t size, void *user);
void memory_deallocate(void *block, void *user);

/** Returns the number of allocated blocks. */
size_t memory_blocks(void);

/** Returns the offset of `address` in this memory, or SIZE_MAX. */
size_t memory_place(const void *address);

/** Checks an access of the library. `code` is its place. */
void memory_expect_allocated(const void *address, const void *code);
void memory_access(const void *address, size_t size, bool writes, const void *code);

#endif
