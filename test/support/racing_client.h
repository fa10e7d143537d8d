/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RACING_CLIENT_H
#define SUPPORT_RACING_CLIENT_H

/**
 * A client for tests that race threads: an emitter, its sink and its hooks, with a check of every
 * promise that the library makes about them.
 *
 * What only the sink touches has no lock, and is also looked at when the library says that the sink
 * is done with: where the library fails to keep threads apart, race detectors see it.
 */

#include "numbered_event.h"
#include "schedule.h"

#include <pthread.h>
#include <sse/emitter.h>

/** From where the library calls the test; the first three belong to the sink. */
enum racing_place { IN_WRITE, IN_READY, IN_BLOCKED, IN_TIMEOUT, IN_ERROR, IN_COMPLETION, IN_RELEASE };

struct racing_client;

struct racing_plan {
    enum sse_drain drain;
    const struct sse_host *host;
    uint64_t seed;
    bool chunked;
    bool has_head;
    bool reliable; /* its sink never fails, its queue never overflows, it has no timers */
    bool timers;
    int trap; /* put in the place of a descriptor that was given back: nothing must arrive there */
    /** What the test wants done from inside a callback. */
    void (*visit)(struct racing_client *client, enum racing_place place);
};

struct racing_client {
    struct racing_plan plan;
    struct sse_emitter *emitter; /* valid for who holds a reference */

    /* The sink's alone. */
    struct schedule_random random;
    size_t entries;

    atomic_bool inside;   /* the sink, on_ready or on_blocked */
    atomic_bool gone;     /* the sink was given back */
    atomic_bool generous; /* the sink takes everything */
    atomic_bool made;     /* sse_emitter_new has returned */

    atomic_uint timeouts;
    atomic_uint errors;
    atomic_uint completions;
    atomic_uint releases;
    size_t hooks_run; /* without a lock: hooks at the end follow one another */
    struct sse_completion completion;
    char last_event_id[32];

    /* What arrived: written by the sink for CALLBACK, with `reading` held for FD and PULL. */
    struct numbered_stream stream;
    pthread_mutex_t reading;
    pthread_mutex_t waiting; /* one at a time waits */
    bool peeked;
    bool found_nothing;   /* the last peek or read: so on_ready is owed */
    unsigned told_before; /* how often on_ready had run before that */
    atomic_uint told;

    int fd;
    int peer; /* -1 when the client has left */
    bool left;
    bool replaced; /* the trap is in the place of the descriptor */
    pthread_mutex_t replacing;
};

/** Makes the client and its emitter. On an error of sse_emitter_new there is none, and no hook may
 *  ever run; the client is to be freed all the same. */
int racing_client_new(struct racing_client **client, const struct racing_plan *plan);

/** The sink was given back: after a detach, called from outside of it. */
void racing_client_gone(struct racing_client *client);

/** Lets what waits arrive, as far as nobody else is doing so: takes bytes from a PULL emitter,
 *  flushes others, reads from the peer. Above 0 if more may come, 0 if not, or the end's errno. */
int racing_client_pump(struct racing_client *client, struct schedule_random *random);

/** Pumps until nothing waits, with a sink that takes everything. */
void racing_client_drain(struct racing_client *client, struct schedule_random *random);

/** Whether a reader that found nothing was told of what came. With all other threads at rest. */
void racing_client_check_told(struct racing_client *client);

/** The client closes its side: FD only. */
void racing_client_leave(struct racing_client *client);

/** When all threads are done and the last reference was given back: everything that has to be so. */
void racing_client_check(struct racing_client *client, struct numbered_list *list);

void racing_client_free(struct racing_client *client);

#endif
