/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_CALLBACK_SCENE_H
#define SUPPORT_CALLBACK_SCENE_H

/**
 * One emitter and one registry for tests in which something is done inside a chosen callback: it
 * stays there, detaches, is cancelled.
 */

#include "schedule.h"

#include <pthread.h>
#include <sse/registry.h>

enum scene_place {
    IN_WRITE,
    IN_BLOCKED,
    IN_READY,
    IN_TIMEOUT,
    IN_ERROR,
    IN_COMPLETION,
    IN_RELEASE,
    IN_WAKE,
    IN_VISIT,
    PLACES
};

/* An emitter and a registry, and what is done in one of their callbacks, once. Without a lock, but
 * for the last members: the library itself has to keep the threads apart. */
struct scene {
    struct fake_host fake;
    struct sse_host host;
    struct sse_emitter *emitter;
    struct sse_registry *registry;
    enum scene_place place;
    void (*act)(struct scene *scene);
    bool ready; /* it is to act from now on */
    bool acted;
    bool left;      /* the callback that acted has returned, or nearly */
    bool full;      /* the sink takes nothing */
    bool refuses;   /* the sink takes nothing this once */
    bool cancelled; /* and went on */
    size_t calls[PLACES];
    struct sse_completion completion;
    int fd; /* -1: the sink is a callback, or the test */
    int peer;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool inside;
    bool may_leave;
    atomic_uint returned;
};

/** An emitter that is no member yet, and a registry. IN_READY has a PULL emitter, the others a write
 *  callback, which is full for IN_BLOCKED and IN_WAKE. */
struct scene *scene_open(enum scene_place place, void (*act)(struct scene *scene));

/** The same with a socket; nobody acts. */
struct scene *scene_open_descriptor(void);

/** From now on it acts: a member's first deadline has been told of by then. */
void scene_begin(struct scene *scene, bool as_member);

/** The references to both must have been given back: checks the hooks and the memory. */
void scene_close(struct scene *scene);

/** To be called by whatever stands for the callback in this place. */
void scene_enter(struct scene *scene, enum scene_place place);

int scene_send(struct scene *scene);
int scene_broadcast(struct scene *scene);
/** Gives the reference to the registry back. */
void scene_unref_registry(struct scene *scene);

enum sse_state scene_state(struct scene *scene);

/** Brings the callback about in which the scene acts. */
void scene_bring_about(struct scene *scene);

/** What `act` may be: stays until it is told that it may leave. */
void scene_stay(struct scene *scene);
void scene_say_inside(struct scene *scene);
void scene_wait_until_inside(struct scene *scene);
void scene_let_leave(struct scene *scene);

#endif
