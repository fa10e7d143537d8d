/* SPDX-License-Identifier: MIT */
#ifndef EXHAUSTIVE_H
#define EXHAUSTIVE_H

/**
 * Every text of up to a number of symbols, in each field of an event: the library encodes it, an independent
 * client parses the bytes, and gets what was sent, or the library refuses it exactly if the reference does.
 *
 * The events go through one parser, one after the other, as a stream. What an event leaves behind for the
 * next is so seen too.
 */

#include "event_check.h"

#define SYMBOLS 12
#define LENGTH_MAX 7

/** Texts are numbered, and each process takes those of its part. */
struct share {
    uint64_t part, parts;
};

/** What became of the texts. */
struct tally {
    uint64_t encoded, refused;
};

void tell(const char *name, struct tally tally);

/* check.c */

/** Encodes one event: the bytes are the reference's, and no other is touched. */
void check_bytes(const struct sse_event *event, struct tally *tally);
/** Encodes and parses one event, and looks at its bytes too. */
void check_event(const struct sse_event *event, struct tally *tally);
/** The same without the bytes, for very many. */
void check_event_quickly(const struct sse_event *event, struct tally *tally);
/** Two events in one message. */
void check_batch(const struct sse_event events[2], struct tally *tally);

/* strings.c: one field at a time */

void run_strings(struct share share);

/* combinations.c: all fields at once */

void run_combinations(struct share share);

/* bytes.c: every byte at every offset, all of UTF-8, retry */

void run_offsets(struct share share);
void run_utf8(struct share share);
void run_retry(struct share share);

#endif
