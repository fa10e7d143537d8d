/* SPDX-License-Identifier: MIT */
#ifndef HUB_MEMORY_H
#define HUB_MEMORY_H

/** Counts the memory of the library. The counts show that an event is stored once, however many clients it is
 *  queued for. */

#include <sse/platform.h>

struct memory {
    struct sse_platform platform; /**< for the options of the library */
    size_t bytes;                 /**< bytes that the library uses now */
    size_t blocks;
};

/** `memory` must outlive every object that uses its platform. Only for one thread. */
void memory_begin(struct memory *memory);

#endif
