/* SPDX-License-Identifier: MIT */
#ifndef COMPLEXITY_COSTS_H
#define COMPLEXITY_COSTS_H

/** The cost of a call as something grows: a row of the table in lib/README.md. */

#include <stddef.h>
#include <stdint.h>

enum growth { CONSTANT, LOGARITHMIC, LINEAR, LINEARITHMIC };

/** One row of the table with one input. It is measured once with n and once with 4 n of something. */
struct cost {
    const char *name; /* of the input */
    const char *operation;
    const char *grows_with;
    enum growth growth;
    size_t n;
    uint64_t (*steps)(size_t n); /* returns 0 if the system does not allow so many descriptors */
};

#define COST(operation, grows_with, growth, n, function)                                                     \
    {                                                                                                        \
#function, operation, grows_with, growth, n, function                                                \
    }

/* Operations that several files measure. */
#define PUBLISH "registry_publish, publish_message"
#define JOIN "emitter_new; registry_subscribe"
#define END "emitter_abort, complete, close"

/** The last element has no name. */
extern const struct cost costs_of_publishing[];
extern const struct cost costs_of_queues[];
extern const struct cost costs_of_histories[];
extern const struct cost costs_of_members[];
extern const struct cost costs_of_topics[];
extern const struct cost costs_of_reading[];
extern const struct cost costs_of_loops[];
extern const struct cost costs_of_texts[];

#endif
