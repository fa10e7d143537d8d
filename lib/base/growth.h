/* SPDX-License-Identifier: MIT */
#ifndef BASE_GROWTH_H
#define BASE_GROWTH_H

/** How arrays grow that have a place for each client. */

#include <stddef.h>

/* Up to here an array doubles. */
#define GROWTH_DOUBLES_UP_TO 16

/** The next capacity: an eighth more, so that few places of a large array are unused. */
static inline size_t growth_after(size_t capacity)
{
    if (!capacity)
        return 1;
    return capacity < GROWTH_DOUBLES_UP_TO ? capacity * 2 : capacity + capacity / 8;
}

#endif
