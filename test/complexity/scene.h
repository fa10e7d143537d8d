/* SPDX-License-Identifier: MIT */
#ifndef COMPLEXITY_SCENE_H
#define COMPLEXITY_SCENE_H

/**
 * A registry, a driven loop whose turns the case takes, and as many emitters as it wants. There is one scene
 * at a time. What goes wrong in it ends the program with a message.
 */

#include "costs.h"
#include "steps.h"

#include <sse/sse.h>
#include <stdio.h>
#include <stdlib.h>

struct scene {
    struct sse_registry *registry;
    struct sse_loop *loop;
    struct sse_emitter **emitters;
    size_t count;
    bool full; /* the write callbacks take nothing */
};

extern struct scene scene;
extern const struct sse_text absent;

void scene_check(bool holds, const char *what);

/** `options` may be NULL; size and platform are set. */
void scene_open(const struct sse_registry_options *options);
/** The same with a polled loop of this kind. */
void scene_open_polled(const struct sse_registry_options *options, enum sse_poller poller);
void scene_close(void);

/** Options of an emitter of the scene; with a write callback. */
struct sse_emitter_options scene_options(void);

/** A new emitter, which scene_close closes. `topics`: `count` of them. */
struct sse_emitter *scene_add(const struct sse_emitter_options *options, const struct sse_text *topics,
                              size_t count);

/** `count` emitters, each with the same topic, or with none if it is absent. */
void scene_add_many(const struct sse_emitter_options *options, size_t count, struct sse_text topic);

/** Turns until nothing is left to do. */
void scene_settle(void);

/** From now on the outputs take nothing, and the library knows it of those that have something queued. */
void scene_block(void);

/** Publishes, and returns the steps of it. */
uint64_t scene_publish(struct sse_text topic, const char *data);
uint64_t scene_publish_event(struct sse_text topic, const struct sse_event *event);

/** `count` events; returns the sum of the steps, and with *worst, if not NULL, those of the dearest. */
uint64_t scene_publish_many(struct sse_text topic, size_t count, uint64_t *worst);

/** Whether the names have something in common. */
enum names {
    NAMES_APART,
    NAMES_ALIKE,     /* their first 200 bytes are the same */
    NAMES_COLLIDING, /* in a hash table of 256 places whose secret is known */
    NAMES_THE_SAME   /* one name over and over */
};

/** `count` names, valid until scene_close. */
const struct sse_text *scene_names(enum names kind, size_t count);

/** The id that the registry has assigned to an event, if its prefix is "E". Valid until the next call. */
struct sse_text scene_id(size_t number);

/** Whether the system allows so many descriptors. */
bool scene_has_descriptors(size_t count);

/** A descriptor with another number, until scene_close: one end of a pair of connected sockets that all
 *  share. scene_peer is the other end. */
int scene_descriptor(void);
int scene_peer(void);

/** Reads what was written to the descriptors. */
void scene_drain(void);

#endif
