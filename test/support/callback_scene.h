/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_CALLBACK_SCENE_H
#define SUPPORT_CALLBACK_SCENE_H

/**
 * One emitter, one registry and one driven loop for tests that act inside a chosen callback: the thread stays
 * there, closes the emitter, or is cancelled.
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

/* The action in one of the callbacks, once. Most members have no lock, because the library itself must keep the
 * threads apart. */
struct scene {
    struct fake_platform fake;
    struct sse_platform platform;
    struct sse_emitter *emitter;
    struct sse_registry *registry;
    struct sse_loop *loop;
    enum scene_place place;
    void (*act)(struct scene *scene);
    bool ready; /* the next callback acts */
    bool acted;
    bool left;      /* the callback that acted has returned, or is about to */
    bool full;      /* the output accepts nothing */
    bool refuses;   /* the output accepts nothing once */
    bool cancelled; /* and continued */
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

/** An emitter that is a member and whose first bytes have been written. For IN_BLOCKED its output is full. */
struct scene *scene_open(enum scene_place place, void (*act)(struct scene *scene));

/** The same with a socket, in the same loop. No callback acts. */
struct scene *scene_open_descriptor(void);

/** From now on the chosen callback acts. */
void scene_begin(struct scene *scene);

/** Frees loop and registry, if the test has not, and checks callbacks and memory. Close the emitter before. */
void scene_close(struct scene *scene);

/** Call it in the function that replaces the callback in this place. */
void scene_enter(struct scene *scene, enum scene_place place);

int scene_send(struct scene *scene);
int scene_publish(struct scene *scene);
/** Takes one turn of the loop and returns its result. */
int scene_turn(struct scene *scene);
/** Takes turns until no work is left. */
void scene_settle(struct scene *scene);

void scene_unref_registry(struct scene *scene);
void scene_free_loop(struct scene *scene);

struct sse_emitter_info scene_info(struct scene *scene);
enum sse_state scene_state(struct scene *scene);

/** Causes the callback in which the scene acts, in the calling thread. */
void scene_bring_about(struct scene *scene);

/** A possible `act`: stays in the callback until the test lets it leave. */
void scene_stay(struct scene *scene);
void scene_say_inside(struct scene *scene);
void scene_wait_until_inside(struct scene *scene);
void scene_let_leave(struct scene *scene);

#endif
