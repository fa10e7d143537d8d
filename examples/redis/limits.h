/* SPDX-License-Identifier: MIT */
#ifndef REDIS_LIMITS_H
#define REDIS_LIMITS_H

/** How many connections the descriptors of the process are enough for, so that the connections to Redis
 * always have theirs. */

#include <stddef.h>

struct limits {
    size_t requests; /**< connections whose request or answer is under way */
    size_t streams;
};

/** Asks the system for more descriptors, and divides what it gives. Returns 0 or a negative errno. */
int limits_find(struct limits *limits);

#endif
