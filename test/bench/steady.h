/* SPDX-License-Identifier: MIT */
#ifndef BENCH_STEADY_H
#define BENCH_STEADY_H

/**
 * Emitters whose outputs accept everything at once, to measure the undisturbed cost of a call. Their descriptors
 * are shared socket pairs, which are emptied after every event, or their write callback only counts.
 */

#include <sse/sse.h>
#include <stdbool.h>
#include <stdint.h>

#define STEADY_PAIRS 10

struct steady {
    struct sse_registry *registry;
    struct sse_loop *loop;
    struct sse_emitter **emitters;
    size_t count;
    int pairs[STEADY_PAIRS][2];
    bool sockets;
    bool polled;
    uint64_t taken; /* bytes, by the callback or from the sockets */
};

/** Properties of the emitters of a stage. */
struct steady_options {
    size_t count;
    bool sockets; /* else write callbacks */
    const struct sse_platform *platform;
    struct sse_history_limits history;
    bool polled; /* the library runs the loop, which writes to no socket; otherwise the loop is driven */
    bool topics; /* each is subscribed to its own topic, "topic-N" */
};

/** Ends the program with a message if there is no memory. */
void steady_open(struct steady *steady, const struct steady_options *options);
void steady_close(struct steady *steady);

/** Reads the bytes that were written to the sockets. */
void steady_drain(struct steady *steady);

/** Writes the name of an emitter's topic to `text`, which has room for 32 bytes. */
struct sse_text steady_topic(size_t index, char *text);

/** Lets the loop write everything that is queued. */
void steady_turn(struct steady *steady);

/** If `error` is not 0, ends the program with a message. */
void steady_check(int error, const char *what);

#endif
