/* SPDX-License-Identifier: MIT */
#ifndef REDIS_LIMITS_H
#define REDIS_LIMITS_H

/** Computes how many connections fit into the process's limit of descriptors, so that descriptors for Redis are
 *  always free. */

#include <stddef.h>

struct limits {
    size_t requests; /**< connections that are being read or answered */
    size_t streams;
};

/** Asks the system for more descriptors, and divides them. Returns 0 or a negative errno. */
int limits_find(struct limits *limits);

#endif
