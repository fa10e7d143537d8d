/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RACING_STAGE_H
#define SUPPORT_RACING_STAGE_H

/**
 * What threads race on: two registries, two loops with a thread each, places for clients that come and go,
 * and clients that stay from beginning to end and must receive everything. The test supplies what the
 * threads do.
 */

#include "racing_client.h"

#define STAGE_REGISTRIES 2
#define STAGE_LOOPS 2 /* one driven, one polled */
#define STAGE_TOPICS 4
#define STAGE_RELIABLE 4 /* clients that stay */
#define STAGE_SLOTS 9    /* places of those that come and go */
#define STAGE_WAITERS 2  /* threads that have an emitter of their own, and its place */
#define STAGE_PLACES (STAGE_SLOTS + STAGE_RELIABLE + STAGE_WAITERS)
#define STAGE_CLIENTS_MAX 600
#define STAGE_WORKERS 9 /* the last is the main thread, which sets up and clears away */
#define STAGE_THREADS (STAGE_WORKERS + STAGE_WAITERS + STAGE_LOOPS)
#define STAGE_VISITS_MAX 200

extern const struct sse_text stage_topics[STAGE_TOPICS];

/** A place; `lock` guards the pointer, never a call of the library. Whoever takes a client out closes it. */
struct stage_slot {
    pthread_mutex_t lock;
    struct racing_client *client;
};

/** One event that a thread published or sent. */
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
    unsigned in_output; /* it is inside a write callback or on_ready */
    unsigned visits;    /* what it may still do from inside callbacks: that ends some time */
    struct stage_event *events;
    unsigned event_count;
    pthread_t thread;
};

/** The worker that this thread is. */
struct stage_worker *stage_self(void);
/** Says so. The threads of the loops need not. */
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
    atomic_bool stopping;                       /* the waiters are to end */
    int trap[2];
    bool stingy; /* allocations fail now and then, and nobody is reliable */
    bool calm;   /* callbacks do nothing more; set with all threads at rest */
};

enum stage_memory { STAGE_MALLOC, STAGE_COUNTED, STAGE_STINGY };

struct racing_stage *racing_stage_open(uint64_t seed, enum stage_memory memory,
                                       const struct stage_callbacks *callbacks);

/** Runs the loops, all workers, and the waiters meanwhile; then everything is calm. */
void racing_stage_run(struct racing_stage *stage, void *(*work)(void *worker), void *(*wait)(void *worker));

/** Ends everybody, checks everything, and frees it. */
void racing_stage_close(struct racing_stage *stage);

/** A new client, or NULL if the memory failed. */
struct racing_client *stage_add_client(struct racing_plan *plan);

/** The client in a place, with a reference to its emitter, or NULL. */
struct racing_client *stage_borrow(struct stage_slot *slot);
void stage_give_back(struct racing_client *client);

/** Puts another client, or NULL, in the place. The caller gets the old one, which it is to close. */
struct racing_client *stage_exchange(struct stage_slot *slot, struct racing_client *client);

/** Closes this client if it still is in a place of those that come and go. */
void stage_close_client(struct racing_client *client);

#endif
