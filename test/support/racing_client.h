/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_RACING_CLIENT_H
#define SUPPORT_RACING_CLIENT_H

/**
 * A client for tests with racing threads: an emitter, its output and its callbacks. It checks every guarantee of
 * the library about them.
 *
 * Members that only the output uses have no lock. They are also read when the library says that the output is not
 * used any more. So if the library fails to keep threads apart, race detectors notice it.
 */

#include "loop_thread.h"
#include "numbered_event.h"

#include <sse/registry.h>

/** The places from which the library calls the test. The first two belong to the output. */
enum racing_place { IN_WRITE, IN_READY, IN_TIMEOUT, IN_ERROR, IN_COMPLETION, IN_RELEASE };

struct racing_client;

struct racing_plan {
    enum sse_output output;
    struct loop_thread *loop; /* NULL: PULL with its own thread */
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
    int trap; /* replaces a descriptor that was closed; no byte may arrive there */
    /** The test's action inside a callback. */
    void (*visit)(struct racing_client *client, enum racing_place place);
};

struct racing_client {
    struct racing_plan plan;
    struct sse_emitter *emitter; /* valid while you hold a reference */

    /* Only the output uses these. */
    struct schedule_random random;
    size_t entries;

    atomic_bool inside;   /* inside the write callback or on_ready */
    atomic_bool gone;     /* the output is not used any more */
    atomic_bool generous; /* the output accepts everything */
    atomic_bool made;     /* sse_emitter_new has returned */

    atomic_uint timeouts;
    atomic_uint errors;
    atomic_uint completions;
    atomic_uint releases;
    size_t callbacks_run; /* without a lock, because the callbacks at the end run one after the other */
    struct sse_completion completion;
    char last_event_id[32];

    /* The bytes that arrived. CALLBACK: written by the output. FD and PULL: written with `reading` locked. */
    struct numbered_stream stream;
    pthread_mutex_t reading;
    bool peeked;
    bool found_nothing;   /* the last peek or read returned 0, so on_ready must follow */
    unsigned told_before; /* how often on_ready had run before that */
    atomic_uint told;

    int fd;
    int peer; /* -1 once the client has disconnected */
    bool left;
};

/** Surrounds every call of the library that must not run callbacks, in any thread. */
void racing_call_begin(void);
void racing_call_end(void);

/** Makes the client and its emitter. If sse_emitter_new fails, there is no emitter, and no callback may ever run.
 *  You must free the client in any case. */
int racing_client_new(struct racing_client **client, const struct racing_plan *plan);

/** Closes the emitter and releases the caller's reference of sse_emitter_new. `from_outside`: the call is not
 *  inside an output, so the guarantee of sse_emitter_close holds when it returns. */
void racing_client_close(struct racing_client *client, bool from_outside);

/** Moves queued bytes to the client, if no other thread does: consumes from a PULL emitter, flushes others, reads
 *  from the peer. Returns above 0 if more may come, 0 if not, or the errno of the end. */
int racing_client_pump(struct racing_client *client, struct schedule_random *random);

/** Waits in a PULL emitter without a loop, and pumps it. The caller is its thread. */
int racing_client_wait(struct racing_client *client, int timeout_ms, struct schedule_random *random);

/** Reads from the peer. Call it with `reading` locked, or while no other thread runs. */
void racing_client_receive(struct racing_client *client);

/** From now on the output accepts everything. */
void racing_client_be_generous(struct racing_client *client);

/** Whether a reader that found nothing was notified of later bytes. Call it while no other thread runs. */
void racing_client_check_told(struct racing_client *client);

/** The client closes its side: FD only. */
void racing_client_leave(struct racing_client *client);

bool racing_reason_is_timeout(enum sse_reason reason);
bool racing_reason_is_error(enum sse_reason reason);

/** In racing_check.c. Checks everything, after all threads have ended and the last reference was released. */
void racing_client_check(struct racing_client *client, struct numbered_list *list);

void racing_client_free(struct racing_client *client);

#endif
