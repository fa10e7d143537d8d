/* SPDX-License-Identifier: MIT */
#ifndef HUB_ENDING_H
#define HUB_ENDING_H

/** The end of all streams: a farewell, a time to come back for each client, a deadline, a report. */

#include <sse/registry.h>
#include <stdbool.h>

struct options;

/** All members zero: it has not begun. */
struct ending {
    struct sse_registry *registry;
    bool is_over; /**< every stream has ended */
    int64_t begun_ms;
    int64_t over_ms;
};

/** Begins it and returns at once; the loop goes on until it is over. Returns 0 or a negative errno. */
int ending_begin(struct ending *ending, struct sse_registry *registry, const struct options *options);

/** Sees whether it is over. */
void ending_check(struct ending *ending);

/** Prints one line that tells what became of the streams; nothing if it has not begun. */
void ending_report(struct ending *ending);

#endif
