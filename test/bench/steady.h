/* SPDX-License-Identifier: MIT */
#ifndef BENCH_STEADY_H
#define BENCH_STEADY_H

/**
 * Emitters that take all they are given at once: what a call costs when nothing is in its way. Their
 * descriptors are shared socket pairs, which are emptied behind every event, or their write callback
 * only counts.
 */

#include <sse/sse.h>
#include <stdbool.h>
#include <stdint.h>

#define STEADY_PAIRS 10

struct steady {
    struct sse_registry *registry;
    struct sse_loop *loop; /* driven */
    struct sse_emitter **emitters;
    size_t count;
    int pairs[STEADY_PAIRS][2];
    bool sockets;
    uint64_t taken; /* bytes, by the callback or from the sockets */
};

/** What the emitters of a stage are. */
struct steady_options {
    size_t count;
    bool sockets; /* else write callbacks */
    const struct sse_platform *platform;
    struct sse_history_limits history;
    bool topics; /* each is subscribed to one of its own, "topic-N" */
};

/** Ends the program with a message if there is no memory. */
void steady_open(struct steady *steady, const struct steady_options *options);
void steady_close(struct steady *steady);

/** Reads what has been written to the sockets. */
void steady_drain(struct steady *steady);

/** The name of the topic of an emitter; `text` has room for 32 bytes. */
struct sse_text steady_topic(size_t index, char *text);

/** Lets the loop write all that is queued. */
void steady_turn(struct steady *steady);

/** Ends the program with a message if `error` is not 0. */
void steady_check(int error, const char *what);

#endif
