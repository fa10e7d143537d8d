/* SPDX-License-Identifier: MIT */
#ifndef SCHEDULES_SCENE_H
#define SCHEDULES_SCENE_H

/**
 * The objects of a schedule: a registry, loops, and clients, each with an emitter, its output and its callbacks.
 * Every guarantee of the library about them is checked during the schedule and after it.
 */

#include "fake_platform.h"
#include "scheduler.h"

#include <sse/sse.h>

#define LOOPS 2
#define CLIENTS 4
#define EVENTS_MAX 32
#define LOG_SIZE 1024
#define CODE_SIZE 3
#define HEARTBEAT_MS 1000

/** A loop, and the event loop of the server around it. */
struct server_loop {
    struct sse_loop *loop;
    bool polled;
    int descriptor;  /* polled: readable when a turn is due */
    bool woken;      /* on_wake has run since the last turn began */
    uint64_t next;   /* the time of the next turn, as the last turn returned it */
    unsigned inside; /* the thread that takes a turn or frees it, or NOBODY */
    bool is_ending;  /* sse_loop_free has been called */
    bool is_freed;
};

/** Every member except the kind may be zero. */
struct plan {
    enum sse_output output;
    struct server_loop *loop;
    const struct sse_text *topics;
    size_t topic_count;
    size_t queue_messages;
    bool paused;
    bool owned;        /* FD: the library closes it */
    bool full;         /* the output accepts nothing at first */
    bool is_forgotten; /* sse_emitter_new gets no pointer */
    const char *after; /* the Last-Event-ID */
};

struct client {
    struct plan plan;
    struct sse_emitter *emitter;
    unsigned references; /* references of the test */
    bool is_made;
    bool must_end;     /* a call that ends it has succeeded */
    bool is_closing;   /* sse_emitter_close has been called ... */
    bool is_closed;    /* ... and has returned */
    bool is_full;      /* the output accepts nothing */
    bool is_asleep;    /* the reader has found nothing and waits for on_ready */
    bool has_read_all; /* the reader has seen the end */
    unsigned inside;   /* the thread in its output, or NOBODY */
    int descriptor;
    int peer;
    unsigned completions;
    unsigned releases;
    struct sse_completion completion;
    char log[LOG_SIZE]; /* the bytes that its output accepted */
    size_t log_size;
};

/** An event that a thread published or sent. */
struct sent_event {
    char code[CODE_SIZE];
    bool is_published;
    size_t accepted; /* queued for this many */
    char id[SSE_ASSIGNED_ID_SIZE];
};

struct scene {
    struct fake_platform fake;
    struct sse_platform platform;
    struct sse_registry *registry;
    unsigned registry_references; /* that the test holds */
    struct server_loop loops[LOOPS];
    struct client clients[CLIENTS];
    unsigned client_count;
    struct sent_event events[EVENTS_MAX];
    unsigned event_count;
    unsigned sent_by[ALL_THREADS];
    bool has_descriptors;
    bool is_shut_down;
};

extern struct scene scene;
extern const struct sse_text first_topic;
extern const struct sse_text second_topic;

/** Begins a new schedule without any object. */
void scene_open(void);

void scene_add_registry(const struct sse_registry_options *options);
void scene_add_loop(unsigned number, bool polled);

/** Makes an emitter, in the registry if there is one. Returns the result of sse_emitter_new. */
int scene_add_client(const struct plan *plan);

/** Whether a turn is due, because the loop was woken or its time has come. */
bool loop_is_due(const struct server_loop *loop);
/** Takes a turn in the loop's thread, whether it is due or not. */
void loop_turn(struct server_loop *loop);
void loop_free(struct server_loop *loop);

/** Returns the calling thread's next event: "A1", "A2" ... */
struct sent_event *scene_next_event(void);

/** Closes the emitter. Its output must not be touched after that. */
void client_close(struct client *client);
void client_unref(struct client *client);

/** Sets whether its output accepts nothing. */
void client_set_full(struct client *client, bool is_full);

/** PULL: reads until nothing is there, or `peeks` pieces. Returns the last result of peek. */
int client_read(struct client *client, unsigned peeks);

/** FD: copies what has arrived to the log. */
void client_receive(struct client *client);

/** Call it when all threads have finished. Finishes and ends everything, and checks every guarantee. */
void scene_check(void);

/** Call it after a schedule that was given up. */
void scene_forget(void);

#endif
