/* SPDX-License-Identifier: MIT */
#ifndef EXHAUSTIVE_H
#define EXHAUSTIVE_H

/**
 * Tests every text of up to a number of symbols, in each field of an event. The library encodes it, and an
 * independent client parses the bytes and must report the event. Or the library refuses it, exactly if the
 * reference does.
 *
 * The events go through one parser, one after the other, as a stream, so the effect of an event on the next one is
 * tested too.
 */

#include "event_check.h"

#define SYMBOLS 12
#define LENGTH_MAX 7

/** Texts are numbered, and each process tests those of its part. */
struct share {
    uint64_t part, parts;
};

/** How many texts were encoded and refused. */
struct tally {
    uint64_t encoded, refused;
};

void tell(const char *name, struct tally tally);

/* check.c */

/** Encodes one event. The bytes must be the reference's, and no other byte may be touched. */
void check_bytes(const struct sse_event *event, struct tally *tally);
/** Encodes and parses one event, and checks its bytes too. */
void check_event(const struct sse_event *event, struct tally *tally);
/** Does the same without the bytes, for very many texts. */
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
