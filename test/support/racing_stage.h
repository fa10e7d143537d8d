/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RACING_STAGE_H
#define SUPPORT_RACING_STAGE_H

/**
 * The objects of racing threads: two registries, two loops with a thread each, places for clients that come and go,
 * and clients that stay from beginning to end and must receive everything. The test supplies the actions of the
 * threads.
 */

#include "racing_client.h"

#define STAGE_REGISTRIES 2
#define STAGE_LOOPS 2 /* one driven, one polled */
#define STAGE_TOPICS 4
#define STAGE_RELIABLE 4 /* clients that stay */
#define STAGE_SLOTS 9    /* places for clients that come and go */
#define STAGE_WAITERS 2  /* threads that each have their own emitter, and its place */
#define STAGE_PLACES (STAGE_SLOTS + STAGE_RELIABLE + STAGE_WAITERS)
#define STAGE_CLIENTS_MAX 600
#define STAGE_WORKERS 9 /* the last one is the main thread, which sets up and clears away */
#define STAGE_THREADS (STAGE_WORKERS + STAGE_WAITERS + STAGE_LOOPS)
#define STAGE_VISITS_MAX 200

extern const struct sse_text stage_topics[STAGE_TOPICS];

/** A place. `lock` guards only the pointer, never a call of the library. The thread that takes a client out must
 *  close it. */
struct stage_slot {
    pthread_mutex_t lock;
    struct racing_client *client;
};

/** One event that a thread published or sent. */
struct stage_event {
    struct numbered_key key;
    const struct racing_client *recipient; /* the emitter of a direct send */
    bool accepted;
};

struct racing_stage;

struct stage_worker {
    struct racing_stage *stage;
    unsigned number; /* also its number as a publisher */
    struct schedule_random random;
    unsigned in_output; /* it is inside a write callback or on_ready */
    unsigned visits;    /* how many more actions it may do inside callbacks, so that they end some time */
    struct stage_event *events;
    unsigned event_count;
    pthread_t thread;
};

/** Returns the worker that this thread is. */
struct stage_worker *stage_self(void);
/** Registers this thread as a worker. The threads of the loops need not call it. */
void racing_stage_enter(struct stage_worker *worker);

struct stage_callbacks {
    void (*visit)(struct racing_client *client, enum racing_place place);
};

struct racing_stage {
    struct fake_platform fake;
    struct sse_platform platform;
    struct stage_callbacks callbacks;
    struct sse_registry *registries[STAGE_REGISTRIES];
    struct loop_thread loops[STAGE_LOOPS];
    struct stage_slot slots[STAGE_PLACES];

    pthread_mutex_t clients_lock;
    struct racing_client *clients[STAGE_CLIENTS_MAX];
    size_t client_count;

    struct stage_worker workers[STAGE_THREADS]; /* workers, waiters, loops */
    atomic_bool stopping;                       /* the waiters must end */
    int trap[2];
    bool stingy; /* allocations fail now and then, and no client is reliable */
    bool calm;   /* callbacks do nothing more; set while no other thread runs */
};

enum stage_memory { STAGE_MALLOC, STAGE_COUNTED, STAGE_STINGY };

struct racing_stage *racing_stage_open(uint64_t seed, enum stage_memory memory,
                                       const struct stage_callbacks *callbacks);

/** Runs the loops, all workers, and the waiters. When it returns, the workers have ended. */
void racing_stage_run(struct racing_stage *stage, void *(*work)(void *worker), void *(*wait)(void *worker));

/** Ends everything, checks everything, and frees it. */
void racing_stage_close(struct racing_stage *stage);

/** Returns a new client, or NULL if an allocation failed. */
struct racing_client *stage_add_client(struct racing_plan *plan);

/** Returns the client in a place, with a reference to its emitter, or NULL. */
struct racing_client *stage_borrow(struct stage_slot *slot);
void stage_give_back(struct racing_client *client);

/** Puts another client, or NULL, into the place. Returns the old one, which the caller must close. */
struct racing_client *stage_exchange(struct stage_slot *slot, struct racing_client *client);

/** Closes this client if it still is in a place for clients that come and go. */
void stage_close_client(struct racing_client *client);

#endif
