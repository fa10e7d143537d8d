/* SPDX-License-Identifier: MIT */
#ifndef HUB_CLOCK_H
#define HUB_CLOCK_H

#include <stdint.h>

/** A moment that never comes. */
#define CLOCK_NEVER INT64_MAX

/** Milliseconds of a clock that never goes back. */
int64_t clock_now_ms(void);

#endif
