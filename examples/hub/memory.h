/* SPDX-License-Identifier: MIT */
#ifndef HUB_MEMORY_H
#define HUB_MEMORY_H

/** Where the library has its memory from, counted: what an event really costs, however many wait for it. */

#include <sse/host.h>

struct memory {
    struct sse_host host; /**< for the options of the library */
    size_t bytes;         /**< that the library holds at present */
    size_t blocks;
};

/** `memory` must outlive all that is made with its host, and is for one thread. */
void memory_begin(struct memory *memory);

#endif
