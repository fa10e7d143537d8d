/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_MEMORY_H
#define SCHEDULES_MEMORY_H

/**
 * The memory of the library. No byte is used twice in one schedule, so that whoever uses what was freed is
 * found out. The library is compiled with -fsanitize=thread, which makes it call accesses.c at each access;
 * this program supplies what it calls in place of the sanitizer's runtime.
 *
 * It is a failure to touch what is not allocated, and to touch what another thread touches unless a lock or
 * an atomic puts one before the other: then no order of steps would tell what happens.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A new schedule: everything is free. */
void memory_clear(void);

void *memory_allocate(size_t size, void *user);
void memory_deallocate(void *block, void *user);

/** Blocks that are allocated. */
size_t memory_blocks(void);

/** Where `address` is in this memory, or SIZE_MAX. */
size_t memory_place(const void *address);

/** An access of the library. `code`: where. */
void memory_expect_allocated(const void *address, const void *code);
void memory_access(const void *address, size_t size, bool writes, const void *code);

#endif
