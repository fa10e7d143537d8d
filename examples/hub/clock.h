/* SPDX-License-Identifier: MIT */
#ifndef HUB_CLOCK_H
#define HUB_CLOCK_H

#include <stdint.h>

/** The time in milliseconds. The clock never goes back. */
int64_t clock_now_ms(void);

#endif
