/* SPDX-License-Identifier: MIT */
#ifndef BASE_PLATFORM_H
#define BASE_PLATFORM_H

/** The platform's functions, or their defaults where it gave none. `platform` may be NULL throughout. */

#include <sse/platform.h>
#include <stdbool.h>

/** Whether the size is known and allocate and release come together. */
bool sse_platform_is_valid(const struct sse_platform *platform);

void *sse_platform_allocate(const struct sse_platform *platform, size_t size);
void sse_platform_deallocate(const struct sse_platform *platform, void *block);
uint64_t sse_platform_now(const struct sse_platform *platform);

/** Bits that a client cannot guess; costs system calls where the platform gave no function. */
uint64_t sse_platform_secret(const struct sse_platform *platform);

/** Bits that only have to differ between emitters: `salt` tells them apart. */
uint64_t sse_platform_jitter(const struct sse_platform *platform, uint64_t salt);

#endif
