/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_SENIORITY_H
#define FANOUT_SENIORITY_H

/** A binary heap in an array: the oldest is at place 0. A newcomer goes to the end, because nobody is
 *  younger. */

#include <stdint.h>

struct seniority {
    /** How many had come before the one at this place. */
    uint64_t (*rank)(const void *array, uint32_t place);
    void (*swap)(void *array, uint32_t left, uint32_t right);
};

/** Moves the one at `place` to the end of `count`, where the caller takes it out. */
void sse_seniority_extract(const struct seniority *order, void *array, uint32_t count, uint32_t place);

#endif
