/* SPDX-License-Identifier: MIT */
#ifndef REDIS_PLACE_H
#define REDIS_PLACE_H

/**
 * The place of an entry in the stream, which is the id of its event: "<milliseconds>-<sequence>-<mark>".
 *
 * The first two numbers are the id that Redis assigns. The mark is random. Redis may lose its last entries: a
 * replica without them takes over, Redis loads an older file, or someone deletes the key. If the clock is behind
 * after that, Redis assigns the same ids again, and only the mark distinguishes the new entry from the lost one.
 */

#include <sse/base.h>
#include <stdbool.h>

/** Two numbers of 20 digits, a mark of 8, two dashes and a NUL. */
#define PLACE_SIZE 51

struct place {
    uint64_t milliseconds;
    uint64_t sequence;
    uint32_t mark; /**< 0: none; the program that added the entry sets no mark */
};

/** Reads a complete id, with or without a mark. Returns false for everything else, also for "5" and "$", which
 *  Redis itself accepts. */
bool place_parse(struct sse_text text, struct place *place);

/** Reads the 8 digits of a mark. */
bool place_parse_mark(struct sse_text text, uint32_t *mark);

/** Writes the id to `text`, which has PLACE_SIZE bytes, and returns it. */
const char *place_format(struct place place, char *text);

/** Writes the id without the mark, as Redis uses it. */
const char *place_format_for_redis(struct place place, char *text);

/** Compares only the order. Returns a number below, equal to or above 0, as strcmp does. */
int place_compare(struct place left, struct place right);

/** Returns whether both are the same entry. */
bool place_is_same(struct place left, struct place right);

/** Returns the place before this one. No entry is there. `place` must not be the very first one. */
struct place place_before(struct place place);

#endif
