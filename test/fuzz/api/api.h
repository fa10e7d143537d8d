/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_API_H
#define FUZZ_API_H

/**
 * Interprets the bytes of an input as a program that uses the whole library: registries, loops, emitters with every
 * output, messages, time, failing outputs and memory, and callbacks that continue the program. The rules of the
 * headers are checked during the run:
 *
 * - A callback runs only inside a call that may run it, and only at permitted times.
 * - Every emitter ends once and is released once, and its completion record matches its bytes.
 * - The bytes are chunks and events for this client, in order and once.
 * - An error has a reason, and changes nothing.
 * - In the end nothing is left: no memory, no descriptor, no emitter.
 */

#include "descriptor_pair.h"
#include "event_source_parser.h"
#include "fake_platform.h"
#include "input.h"

#include <sse/sse.h>

#define LOOPS_MAX 3
#define REGISTRIES_MAX 2
#define CLIENTS_MAX 24
#define MESSAGES_MAX 4
#define TOPICS 4
#define IDS_MAX 8
#define DEPTH_MAX 3 /* of callbacks */
#define FRAMES_MAX 64
#define NO_REGISTRY SIZE_MAX
#define OUTPUT_SIZE_MAX ((size_t)1 << 22)

struct world;

/** The calls that the program is inside of, the innermost last. */
enum frame_kind {
    IN_OTHER,    /* a call that runs no callback */
    IN_TURN,     /* of a loop: turn, dispatch, run */
    IN_FREE,     /* of a loop */
    IN_CALL,     /* of an emitter */
    IN_READING,  /* of an emitter: the calls of a reader, close and unref */
    IN_WALK,     /* sse_registry_each */
    IN_CALLBACK, /* of an emitter */
};

struct frame {
    enum frame_kind kind;
    const void *subject;
};

struct loop {
    struct world *world;
    struct sse_loop *loop; /* NULL: there is none */
    bool driven;
    bool inside; /* a turn, or its end */
    bool freeing;
    bool finishing;
    bool woken; /* since the last turn began */
    bool again; /* the last turn returned 0 */
    uint64_t due;
};

struct registry {
    struct world *world;
    struct sse_registry *registry; /* NULL: there is none */
    size_t number;                 /* no other ever has it */
    unsigned inside;               /* walks: they hold the program's reference */
    bool has_history;
    bool shut_down;
    uint64_t added, published, queued;
};

enum chunk_state { CHUNK_SIZE, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_CR, CHUNK_LF, LAST_CR, LAST_LF, NO_MORE };

/** The result of parsing a client's bytes. */
struct stream {
    struct sse_text head; /* that comes first */
    size_t head_read;
    bool chunked;
    enum chunk_state chunk_state;
    size_t chunk_left;
    bool ended; /* the last chunk */
    struct event_source_parser *parser;
    uint64_t bytes, events;
    uint64_t last_published, last_sent;
};

enum mood { FAST, SLOW, STUCK, BROKEN };

/** An emitter and its expected state. It lives as long as the world. */
struct client {
    struct world *world;
    size_t number;
    struct sse_emitter *emitter; /* NULL once the program may not use it any more */
    unsigned references;         /* references of the program */
    bool owned;                  /* the reference of sse_emitter_new is one of them */
    bool made, closed;
    struct loop *loop; /* NULL: none, or it is freed */
    bool looped;
    size_t registry_number; /* NO_REGISTRY: none */
    enum sse_output output;
    unsigned topics; /* topics that it ever had */
    bool disordered; /* older events may come after newer ones */
    enum mood mood;  /* of the write callback */
    bool watches;    /* a socket that is not written to */
    bool keeps;      /* the descriptor is the program's */
    bool gone;       /* the client's end is closed */
    struct descriptor_pair pair;
    struct stream stream;

    bool disturbed; /* something happened inside its output, so it may have ended during a write */
    bool in_output, in_callback, has_all_callbacks;
    bool peeked;
    struct iovec shown[4];
    int shown_count;
    struct sse_text shown_copy;

    enum sse_state state; /* the last that was seen */
    unsigned timeouts, errors, completions, releases;
    struct sse_completion completion;
    struct sse_text last_event_id; /* of the completion record */
};

struct world {
    struct fuzz_input input;
    struct fuzz_texts texts;
    struct fake_platform fake;
    struct loop loops[LOOPS_MAX];
    struct registry registries[REGISTRIES_MAX];
    struct client *clients[CLIENTS_MAX];
    size_t client_count;
    size_t registry_count; /* that there ever were */
    struct sse_message *messages[MESSAGES_MAX];
    char ids[IDS_MAX][SSE_ASSIGNED_ID_SIZE]; /* that were assigned */
    size_t id_count;
    struct frame frames[FRAMES_MAX];
    size_t depth;
    unsigned callbacks; /* calls that it is inside of */
    uint64_t sequence;
    unsigned order; /* the call in which everything ends */
    bool ending;    /* callbacks do nothing any more */

    /* The faults of the program's next own call. */
    unsigned fail_at;
    bool fail_for_good;
    int faulty_call, faulty_error; /* -1: none */
    unsigned faulty_first, faulty_times;
    bool may_fail; /* in the current call, or the last one */
};

/* frames.c */

/** Surround each call of the library. Memory and system calls fail only between them. With SSE_FUZZ_TRACE in the
 *  environment each call and callback is printed. */
void enter(struct world *world, enum frame_kind kind, const void *subject, const char *call);
void narrate(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void leave(struct world *world);
/** The result must be 0, or one of the errors of a list that ends with 0. -ENOMEM is permitted only if something
 *  may fail. */
void expect_result(struct world *world, const char *call, long result, const int *errors);
/** Whether a call may be made with this emitter. */
bool is_usable(const struct client *client);
/** Continues the program inside a callback. */
void callback_begin(struct world *world, struct client *client);
void callback_end(struct world *world);
void callbacks_install(struct sse_emitter_options *options, struct client *client, unsigned mask);
void on_wake(struct sse_loop *loop, void *user);

/* stream.c */

void stream_begin(struct client *client, const struct sse_emitter_options *options);
/** Parses the next bytes that the output accepted. */
void stream_feed(struct client *client, const void *bytes, size_t size);
/** Compares with the completion record. */
void stream_check_end(struct client *client);
void stream_free(struct client *client);

/* making.c */

void make_emitter(struct world *world);
struct sse_text draw_topic(struct world *world, unsigned *mask);
struct sse_text draw_id(struct world *world);

/* events.c */

/** Makes an event whose data show where it belongs: "p" to a registry and topic, "s" to a client, "m" anywhere.
 *  Returns its error, or 0. */
int draw_event(struct world *world, struct sse_event *event, char kind, size_t subject, unsigned topic);

/* calls.c: one emitter */

/** Checks the state, which never goes back. */
struct sse_emitter_info look(struct client *client);
/** Returns the result of calls from now on; 0: it is open. */
int end_error(const struct sse_emitter_info *info);
void close_emitter(struct client *client);
void release_reference(struct client *client);
void flush(struct client *client);
void call_emitter(struct client *client);

/* reading.c */

void read_emitter(struct client *client, size_t size);
void call_reader(struct client *client);
/** Reads from the client's end of a socket. */
void receive(struct client *client, size_t size);

/* registries.c */

void call_registry(struct world *world);
/** Compares its counts at the end, and releases it. */
void registry_end(struct registry *registry);

/* loops.c */

void call_loop(struct world *world);
void turn(struct loop *loop);
/** Whether the library has asked for a turn. */
bool loop_is_due(const struct loop *loop);
void loop_free(struct loop *loop);

/* ending.c */

/** Ends everything, and compares. */
void world_end(struct world *world);

/* fuzz_api.c */

/** Executes one action of the program. */
void step(struct world *world, struct client *self);

#endif
