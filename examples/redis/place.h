/* SPDX-License-Identifier: MIT */
#ifndef REDIS_PLACE_H
#define REDIS_PLACE_H

/** The id of an entry of a Redis stream, "<milliseconds>-<sequence>", which is its place in the stream. */

#include <sse/base.h>
#include <stdbool.h>

/** Both numbers, the dash and a NUL. */
#define PLACE_SIZE 42

struct place {
    uint64_t milliseconds;
    uint64_t sequence;
};

/** Reads a complete id. Everything else is false, "5" and "$" too, which Redis itself accepts. */
bool place_parse(struct sse_text text, struct place *place);

/** Writes a string to `text`, PLACE_SIZE bytes, and returns it. */
const char *place_format(struct place place, char *text);

/** Returns a number below, equal to or above 0, as strcmp. */
int place_compare(struct place left, struct place right);

/** The place before one that is not the very first. */
struct place place_before(struct place place);

#endif
