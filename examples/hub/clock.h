/* SPDX-License-Identifier: MIT */
#ifndef HUB_CLOCK_H
#define HUB_CLOCK_H

#include <stdint.h>

/** Milliseconds of a clock that never goes back. */
int64_t clock_now_ms(void);

#endif
