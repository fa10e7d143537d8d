/* SPDX-License-Identifier: MIT */
#ifndef REDIS_PLACE_H
#define REDIS_PLACE_H

/**
 * The place of an entry in the stream, which is the id of its event: "<milliseconds>-<sequence>-<mark>".
 *
 * The first two numbers are the id that Redis gives. The mark is random. Redis may lose its last entries: a
 * replica takes over that did not have them, an older file is loaded, the key is deleted. If its clock is
 * behind then, it gives the same ids once more, and the mark tells the new entry from the lost one.
 */

#include <sse/base.h>
#include <stdbool.h>

/** Two numbers of 20 digits, a mark of 8, two dashes and a NUL. */
#define PLACE_SIZE 51

struct place {
    uint64_t milliseconds;
    uint64_t sequence;
    uint32_t mark; /**< 0: none; the entry is of a program that sets no mark */
};

/** Reads a complete id, with or without a mark. Everything else is false, "5" and "$" too, which Redis itself
 *  accepts. */
bool place_parse(struct sse_text text, struct place *place);

/** Reads the 8 digits of a mark. */
bool place_parse_mark(struct sse_text text, uint32_t *mark);

/** Writes the id to `text`, PLACE_SIZE bytes, and returns it. */
const char *place_format(struct place place, char *text);

/** The same without the mark, as Redis has it. */
const char *place_format_for_redis(struct place place, char *text);

/** Compares the order only. Returns a number below, equal to or above 0, as strcmp. */
int place_compare(struct place left, struct place right);

/** Whether both are the same entry. */
bool place_is_same(struct place left, struct place right);

/** The place before one that is not the very first. No entry is there. */
struct place place_before(struct place place);

#endif
