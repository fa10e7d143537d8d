/* SPDX-License-Identifier: MIT */
#ifndef REDIS_RANDOM_H
#define REDIS_RANDOM_H

/** Random numbers, for delays and for marks. Not for secrets. Any thread. */

#include <stdint.h>

/** Call it once, before threads start. */
void random_open(void);

uint64_t random_bits(void);

/** From `minimum` to `maximum`. */
int64_t random_between(int64_t minimum, int64_t maximum);

#endif
