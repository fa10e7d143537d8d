/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_CALLBACK_SCENE_H
#define SUPPORT_CALLBACK_SCENE_H

/**
 * One emitter, one registry and one driven loop for tests in which something is done inside a chosen
 * callback: it stays there, closes the emitter, is cancelled.
 */

#include "schedule.h"

#include <pthread.h>
#include <sse/loop.h>
#include <sse/registry.h>

enum scene_place {
    IN_WRITE,
    IN_READY,   /* SSE_READABLE: the emitter is PULL */
    IN_BLOCKED, /* SSE_BLOCKED */
    IN_TIMEOUT,
    IN_ERROR,
    IN_COMPLETION,
    IN_RELEASE,
    IN_WAKE,
    IN_VISIT,
    PLACES
};

/* What is done in one of the callbacks, once. Without a lock, but for the last members: the library itself
 * has to keep the threads apart. */
struct scene {
    struct fake_platform fake;
    struct sse_platform platform;
    struct sse_emitter *emitter;
    struct sse_registry *registry;
    struct sse_loop *loop;
    enum scene_place place;
    void (*act)(struct scene *scene);
    bool ready; /* it is to act from now on */
    bool acted;
    bool left;      /* the callback that acted has returned, or nearly */
    bool full;      /* the output takes nothing */
    bool refuses;   /* the output takes nothing this once */
    bool cancelled; /* and went on */
    size_t calls[PLACES];
    struct sse_completion completion;
    int fd; /* -1: the output is a callback, or the test */
    int peer;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool inside;
    bool may_leave;
    atomic_uint returned;
};

/** An emitter whose beginning has been written, and that is a member. Its output is full for IN_BLOCKED. */
struct scene *scene_open(enum scene_place place, void (*act)(struct scene *scene));

/** The same with a socket, in the same loop; nobody acts. */
struct scene *scene_open_descriptor(void);

/** From now on it acts. */
void scene_begin(struct scene *scene);

/** Frees loop and registry, if the test has not, and checks callbacks and memory. The emitter must have been
 *  closed. */
void scene_close(struct scene *scene);

/** To be called by whatever stands for the callback in this place. */
void scene_enter(struct scene *scene, enum scene_place place);

int scene_send(struct scene *scene);
int scene_publish(struct scene *scene);
/** One turn of the loop; what it returned. */
int scene_turn(struct scene *scene);
/** Turns until nothing is left. */
void scene_settle(struct scene *scene);

void scene_unref_registry(struct scene *scene);
void scene_free_loop(struct scene *scene);

struct sse_emitter_info scene_info(struct scene *scene);
enum sse_state scene_state(struct scene *scene);

/** Brings the callback about in which the scene acts, in the calling thread. */
void scene_bring_about(struct scene *scene);

/** What `act` may be: stays until it is told that it may leave. */
void scene_stay(struct scene *scene);
void scene_say_inside(struct scene *scene);
void scene_wait_until_inside(struct scene *scene);
void scene_let_leave(struct scene *scene);

#endif
