/* SPDX-License-Identifier: MIT */
#ifndef COMPLEXITY_SCENE_H
#define COMPLEXITY_SCENE_H

/**
 * A registry, a driven loop whose turns the case takes, and any number of emitters. There is one scene at a time.
 * An error ends the program with a message.
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
    bool full; /* the write callbacks accept nothing */
};

extern struct scene scene;
extern const struct sse_text absent;

void scene_check(bool holds, const char *what);

/** `options` may be NULL; size and platform are set. */
void scene_open(const struct sse_registry_options *options);
/** Opens a scene with a polled loop of this kind. */
void scene_open_polled(const struct sse_registry_options *options, enum sse_poller poller);
void scene_close(void);

/** Options of an emitter of the scene; with a write callback. */
struct sse_emitter_options scene_options(void);

/** Makes an emitter, which scene_close closes. `topics`: `count` of them. */
struct sse_emitter *scene_add(const struct sse_emitter_options *options, const struct sse_text *topics,
                              size_t count);

/** Makes `count` emitters, each with this topic, or with none if it is absent. */
void scene_add_many(const struct sse_emitter_options *options, size_t count, struct sse_text topic);

/** Takes turns until no work is left. */
void scene_settle(void);

/** From now on the outputs accept nothing. The library knows that for emitters with a queue. */
void scene_block(void);

/** Publishes, and returns the steps. */
uint64_t scene_publish(struct sse_text topic, const char *data);
uint64_t scene_publish_event(struct sse_text topic, const struct sse_event *event);

/** Publishes `count` events. Returns the sum of the steps. `*worst`, if not NULL, receives the most steps of
 *  one. */
uint64_t scene_publish_many(struct sse_text topic, size_t count, uint64_t *worst);

/** Whether the names have something in common. */
enum names {
    NAMES_APART,
    NAMES_ALIKE,     /* they share their first 200 bytes */
    NAMES_COLLIDING, /* they collide in a hash table of 256 places whose secret is known */
    NAMES_THE_SAME   /* one name, repeated */
};

/** `count` names, valid until scene_close. */
const struct sse_text *scene_names(enum names kind, size_t count);

/** The id that the registry has assigned to an event, if its prefix is "E". Valid until the next call. */
struct sse_text scene_id(size_t number);

/** Whether the system allows this many descriptors. */
bool scene_has_descriptors(size_t count);

/** Returns a descriptor with a new number, valid until scene_close: one end of a pair of connected sockets that all
 *  share. scene_peer is the other end. */
int scene_descriptor(void);
int scene_peer(void);

/** Reads the bytes that were written to the descriptors. */
void scene_drain(void);

#endif
