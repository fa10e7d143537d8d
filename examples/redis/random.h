/* SPDX-License-Identifier: MIT */
#ifndef REDIS_RANDOM_H
#define REDIS_RANDOM_H

/** Random numbers for delays and marks. Do not use them for secrets. Any thread may call these functions. */

#include <stdint.h>

/** Call it once, before you start threads. */
void random_open(void);

uint64_t random_bits(void);

/** From `minimum` to `maximum`. */
int64_t random_between(int64_t minimum, int64_t maximum);

#endif
