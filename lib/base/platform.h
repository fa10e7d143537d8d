/* SPDX-License-Identifier: MIT */
#ifndef BASE_PLATFORM_H
#define BASE_PLATFORM_H

/** The functions of a platform, or the default for one that is NULL. `platform` may always be NULL. */

#include <sse/platform.h>
#include <stdbool.h>

/** Whether the size is valid, and `allocate` and `deallocate` are both set or both NULL. */
bool sse_platform_is_valid(const struct sse_platform *platform);

void *sse_platform_allocate(const struct sse_platform *platform, size_t size);
void sse_platform_deallocate(const struct sse_platform *platform, void *block);
uint64_t sse_platform_now(const struct sse_platform *platform);

/** Bits that a client cannot guess. This makes system calls if the platform has no function. */
uint64_t sse_platform_secret(const struct sse_platform *platform);

/** Bits that only have to differ between emitters. `salt` must differ between them. */
uint64_t sse_platform_jitter(const struct sse_platform *platform, uint64_t salt);

#endif
