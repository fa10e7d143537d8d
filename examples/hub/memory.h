/* SPDX-License-Identifier: MIT */
#ifndef HUB_MEMORY_H
#define HUB_MEMORY_H

/** The memory of the library, counted: it shows that an event is stored once, however many clients it
 *  is queued for. */

#include <sse/platform.h>

struct memory {
    struct sse_platform platform; /**< for the options of the library */
    size_t bytes;                 /**< that the library uses now */
    size_t blocks;
};

/** `memory` must outlive everything that is made with its platform. It is not for several threads. */
void memory_begin(struct memory *memory);

#endif
