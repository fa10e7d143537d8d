/* SPDX-License-Identifier: MIT */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

/** SipHash-1-3 (Aumasson and Bernstein): a keyed hash that a client cannot make collide. */

#include <stddef.h>
#include <stdint.h>

uint64_t sse_siphash(const uint64_t secret[2], const void *bytes, size_t size);

#endif
