/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RACING_CLIENT_H
#define SUPPORT_RACING_CLIENT_H

/**
 * A client for tests that race threads: an emitter, its output and its callbacks, with a check of every
 * promise that the library makes about them.
 *
 * What only the output touches has no lock, and is also looked at when the library says that the output
 * is not used any more. Where the library fails to keep threads apart, race detectors see it.
 */

#include "loop_thread.h"
#include "numbered_event.h"

#include <sse/registry.h>

/** From where the library calls the test; the first two belong to the output. */
enum racing_place { IN_WRITE, IN_READY, IN_TIMEOUT, IN_ERROR, IN_COMPLETION, IN_RELEASE };

struct racing_client;

struct racing_plan {
    enum sse_output output;
    struct loop_thread *loop; /* NULL: PULL with a thread of its own */
    struct sse_registry *registry;
    const struct sse_text *topics;
    size_t topic_count;
    const struct sse_platform *platform;
    uint64_t seed;
    bool chunked;
    bool has_head;
    bool paused;
    bool owned;    /* FD: the library closes the descriptor */
    bool reliable; /* its output never fails, its queue never overflows, it has no timers */
    bool timers;
    int trap; /* put in the place of a descriptor that was closed: nothing must arrive there */
    /** What the test does inside a callback. */
    void (*visit)(struct racing_client *client, enum racing_place place);
};

struct racing_client {
    struct racing_plan plan;
    struct sse_emitter *emitter; /* valid for whoever holds a reference */

    /* The output's alone. */
    struct schedule_random random;
    size_t entries;

    atomic_bool inside;   /* the write callback or on_ready */
    atomic_bool gone;     /* the output is not used any more */
    atomic_bool generous; /* the output takes everything */
    atomic_bool made;     /* sse_emitter_new has returned */

    atomic_uint timeouts;
    atomic_uint errors;
    atomic_uint completions;
    atomic_uint releases;
    size_t callbacks_run; /* without a lock: callbacks at the end follow one another */
    struct sse_completion completion;
    char last_event_id[32];

    /* What arrived: written by the output for CALLBACK, with `reading` held for FD and PULL. */
    struct numbered_stream stream;
    pthread_mutex_t reading;
    bool peeked;
    bool found_nothing;   /* the last peek or read: on_ready is owed */
    unsigned told_before; /* how often on_ready had run before that */
    atomic_uint told;

    int fd;
    int peer; /* -1 when the client has left */
    bool left;
};

/** Around every call of the library that must not run callbacks, whoever makes it. */
void racing_call_begin(void);
void racing_call_end(void);

/** Makes the client and its emitter. On an error of sse_emitter_new there is none, and no callback may
 *  ever run; the client is to be freed all the same. */
int racing_client_new(struct racing_client **client, const struct racing_plan *plan);

/** Closes the emitter, whose reference of sse_emitter_new is the caller's. `from_outside`: not from inside
 *  an output, so that the promise of sse_emitter_close holds when it returns. */
void racing_client_close(struct racing_client *client, bool from_outside);

/** Lets what is queued arrive, as far as nobody else is doing so: consumes from a PULL emitter, flushes
 *  others, reads from the peer. Above 0 if more may come, 0 if not, or the errno of the end. */
int racing_client_pump(struct racing_client *client, struct schedule_random *random);

/** Waits in a PULL emitter without a loop, and pumps it. The caller is its thread. */
int racing_client_wait(struct racing_client *client, int timeout_ms, struct schedule_random *random);

/** Reads from the peer what is there. With `reading` held, or all other threads at rest. */
void racing_client_receive(struct racing_client *client);

/** From now on the output takes everything. */
void racing_client_be_generous(struct racing_client *client);

/** Whether a reader that found nothing was told of what came. With all other threads at rest. */
void racing_client_check_told(struct racing_client *client);

/** The client closes its side: FD only. */
void racing_client_leave(struct racing_client *client);

bool racing_reason_is_timeout(enum sse_reason reason);
bool racing_reason_is_error(enum sse_reason reason);

/** racing_check.c. When all threads are done and the last reference is released: everything that has to be
 * so. */
void racing_client_check(struct racing_client *client, struct numbered_list *list);

void racing_client_free(struct racing_client *client);

#endif
