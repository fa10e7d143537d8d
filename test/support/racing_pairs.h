/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RACING_PAIRS_H
#define SUPPORT_RACING_PAIRS_H

/**
 * The calls that two threads make at the same time on one emitter, its registry and its loop.
 */

#include "racing_client.h"

extern const struct sse_text pairs_topic;

/** The objects of a pair. Each thread has a reference to the emitter and to the registry. */
struct subject {
    struct racing_client *client;
    struct sse_registry *registry;
    struct loop_thread loop;
};

/** The role of one thread. */
struct part {
    struct subject *subject;
    struct schedule_random random;
    unsigned number; /* its number as a publisher */
    unsigned attempts;
    unsigned accepted;
    bool closed; /* it has closed the emitter */
    bool gave_emitter_back;
    bool gave_registry_back;
};

/** The kinds of emitters. */
enum kind { CALLBACK, KEPT_FD, OWNED_FD, POLLED_FD, PULL, PULL_ALONE, KINDS };

struct operation {
    const char *name;
    void (*run)(struct part *part);
    unsigned kinds; /* a bit for each kind of emitter that has the call */
    unsigned needs; /* the bits below */
};

#define NEEDS_EMITTER 1u
#define NEEDS_REGISTRY 2u
#define IS_TURNER 4u    /* one thread at a time: the thread of the loop, or of the emitter */
#define IS_CLOSER 8u    /* only one of the two threads may make it */
#define IS_NEWCOMER 16u /* another emitter joins ... */
#define COUNTS 32u      /* ... and would be counted by this call */

#define PAIRS_OPERATIONS 27

extern const struct operation pairs_operations[PAIRS_OPERATIONS];

/** Whether two threads may make these calls at the same time. */
bool pairs_may_meet(const struct operation *one, const struct operation *other, enum kind kind);

/* Functions that the test also calls itself. */
void pairs_send(struct part *part);
void pairs_pump(struct part *part);
void pairs_unref(struct part *part);
void pairs_unref_registry(struct part *part);

#endif
