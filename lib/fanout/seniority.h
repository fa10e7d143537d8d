/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_SENIORITY_H
#define FANOUT_SENIORITY_H

/** A binary heap in an array, whose oldest element is at place 0. A new element goes to the end, because it is the
 *  youngest. */

#include <stdint.h>

struct seniority {
    /** How many had been added before the element at this place. */
    uint64_t (*rank)(const void *array, uint32_t place);
    void (*swap)(void *array, uint32_t left, uint32_t right);
};

/** Moves the element at `place` to the end, where the caller removes it. */
void sse_seniority_extract(const struct seniority *order, void *array, uint32_t count, uint32_t place);

#endif
