/* SPDX-License-Identifier: MIT */
#ifndef BASE_GROWTH_H
#define BASE_GROWTH_H

/** How an array grows that has a place for each client. */

#include <stddef.h>

/* A smaller array doubles. */
#define GROWTH_DOUBLES_UP_TO 16

/** The next capacity. It is an eighth larger, so that few places of a large array are unused. */
static inline size_t growth_after(size_t capacity)
{
    if (!capacity)
        return 1;
    return capacity < GROWTH_DOUBLES_UP_TO ? capacity * 2 : capacity + capacity / 8;
}

#endif
