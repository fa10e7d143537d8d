/* SPDX-License-Identifier: MIT */
#ifndef SOAK_LEDGER_H
#define SOAK_LEDGER_H

/** The counters of a soak test, and the checks that nothing grows. */

#include <sse/sse.h>
#include <stdbool.h>

struct ledger {
    struct sse_platform platform; /* counts the blocks and bytes of the library; for one thread */
    uint64_t now;                 /* nanoseconds; moved by hand if `own_clock` */
    uint64_t random;
    size_t blocks;
    size_t bytes;
    uint64_t opened;
    uint64_t completed; /* on_completion */
    uint64_t released;  /* on_release */
};

void ledger_init(struct ledger *ledger, bool own_clock, uint64_t seed);

/** Returns a number below `limit`. */
uint64_t ledger_random(struct ledger *ledger, uint64_t limit);

/** Prints the message and ends the program. */
void ledger_fail(const char *message, uint64_t number);

void ledger_check(int error, const char *what);

/** Call it when nothing is open: compares ends, blocks, descriptors and, with a small tolerance, resident memory
 *  with its first call. */
void ledger_compare(struct ledger *ledger, struct sse_registry *registry);

/** Does the same when all objects of the library are freed. */
void ledger_close(const struct ledger *ledger);

#endif
