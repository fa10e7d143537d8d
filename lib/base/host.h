/* SPDX-License-Identifier: MIT */
#ifndef BASE_HOST_H
#define BASE_HOST_H

/** The host's functions, or their defaults where it gave none. `host` may be NULL throughout. */

#include <sse/host.h>
#include <stdbool.h>

/** Whether the size is known and allocate and release come together. */
bool sse_host_is_valid(const struct sse_host *host);

void *sse_host_allocate(const struct sse_host *host, size_t size);
void sse_host_release(const struct sse_host *host, void *block);
uint64_t sse_host_now(const struct sse_host *host);

/** Bits that a client cannot guess; costs system calls where the host gave no function. */
uint64_t sse_host_secret(const struct sse_host *host);

/** Bits that only have to differ between emitters: `salt` tells them apart. */
uint64_t sse_host_jitter(const struct sse_host *host, uint64_t salt);

#endif
