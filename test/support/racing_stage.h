/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RACING_STAGE_H
#define SUPPORT_RACING_STAGE_H

/**
 * What threads race on: two registries, places for clients that come and go, and clients that
 * stay from beginning to end and must receive everything. The test supplies what the threads do.
 */

#include "racing_client.h"

#include <sse/registry.h>

#define STAGE_REGISTRIES 2
#define STAGE_TOPICS 4
#define STAGE_RELIABLE 3 /* clients that stay, one of each drain */
#define STAGE_SLOTS 9    /* places of those that come and go */
#define STAGE_CLIENTS_MAX 400
#define STAGE_WORKERS 9 /* the last is the main thread, which sets up and clears away */
#define STAGE_WAITERS 2
#define STAGE_VISITS_MAX 200

extern const char *const stage_topics[STAGE_TOPICS];

/** A place; `lock` guards the pointer, never a call of the library. */
struct stage_slot {
    pthread_mutex_t lock;
    struct racing_client *client; /* with a reference to its emitter */
};

/** One event that a worker published or sent. */
struct stage_event {
    struct numbered_key key;
    const struct racing_client *recipient; /* of a direct send */
    bool accepted;
};

struct racing_stage;

struct stage_worker {
    struct racing_stage *stage;
    unsigned number; /* as a publisher too */
    struct schedule_random random;
    unsigned depth;             /* callbacks inside callbacks */
    unsigned in_sink;           /* of these, callbacks that belong to a sink */
    struct racing_client *lent; /* callbacks may give back this reference of a call under way */
    unsigned visits;            /* what it may still do from inside callbacks: that ends some time */
    struct stage_event *events;
    unsigned event_count;
    pthread_t thread;
};

/** The worker that this thread is. */
extern _Thread_local struct stage_worker *stage_self;

/** A thread that blocks in sse_emitter_wait. */
struct stage_waiter {
    struct stage_worker worker;
    pthread_mutex_t lock;
    struct sse_emitter *emitter; /* the one that it waits for */
    bool closing;
};

struct stage_callbacks {
    void (*visit)(struct racing_client *client, enum racing_place place);
    void (*on_wake)(struct sse_registry *registry, void *stage);
};

struct racing_stage {
    struct fake_host fake;
    struct sse_host host;
    struct stage_callbacks callbacks;
    struct sse_registry *registries[STAGE_REGISTRIES];
    atomic_bool waking[STAGE_REGISTRIES];
    size_t wakes[STAGE_REGISTRIES]; /* without a lock: on_wake is entered by one at a time */
    struct stage_slot slots[STAGE_SLOTS + STAGE_RELIABLE];

    pthread_mutex_t clients_lock;
    struct racing_client *clients[STAGE_CLIENTS_MAX];
    size_t client_count;
    unsigned detached_at[STAGE_CLIENTS_MAX]; /* 0: not yet */
    atomic_uint detaches;

    struct stage_worker workers[STAGE_WORKERS];
    struct stage_waiter waiters[STAGE_WAITERS];
    int trap[2];
    bool stingy; /* allocations fail now and then, and nobody is reliable */
    bool calm;   /* callbacks do nothing more; set with all threads at rest */
};

enum stage_memory { STAGE_MALLOC, STAGE_COUNTED, STAGE_STINGY };

struct racing_stage *racing_stage_open(uint64_t seed, enum stage_memory memory,
                                       const struct stage_callbacks *callbacks);

/** Runs all workers, and the waiters meanwhile; then everything is calm. */
void racing_stage_run(struct racing_stage *stage, void *(*work)(void *worker), void *(*wait)(void *waiter));

/** Ends everybody, checks everything, and frees it. */
void racing_stage_close(struct racing_stage *stage);

/** A new client, or NULL if its sink or the memory failed. */
struct racing_client *stage_add_client(struct racing_plan *plan);

/** The client in a place, with a reference to its emitter, or NULL. */
struct racing_client *stage_borrow(struct stage_slot *slot);
void stage_give_back(struct racing_client *client);

/** Puts another client, or NULL, in the place. The caller gets the old one with its reference. */
struct racing_client *stage_exchange(struct stage_slot *slot, struct racing_client *client);

/** Gives back the reference that keeps this client in its place, if it still is there. */
void stage_drop(struct racing_client *client);

/** Detaches; outside of the sinks it also checks what that promises. */
void stage_detach(struct racing_client *client);

/** The number of a detach after which the client was never to be seen again, or 0. */
unsigned stage_detached_at(const struct racing_client *client);

/** Tells, and asks, what a waiter waits for: false when it is to stop. */
bool stage_note_waiting(struct stage_waiter *waiter, struct sse_emitter *emitter);

#endif
