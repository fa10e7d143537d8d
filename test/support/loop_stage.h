/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_LOOP_STAGE_H
#define SUPPORT_LOOP_STAGE_H

/**
 * A registry, a polled loop, and clients at the other end of sockets and pipes. The clock stands still
 * unless a test asks for the real one. The emitters keep quiet unless the test gives timers.
 */

#include "descriptor_pair.h"
#include "fake_platform.h"

#include <pthread.h>
#include <sse/loop.h>
#include <sse/registry.h>
#include <sys/socket.h>

struct loop_stage {
    struct fake_platform fake;
    enum sse_poller poller;
    struct sse_registry *registry;
    struct sse_loop *loop;
    size_t descriptors; /* open before there was a loop */
};

enum loop_client_kind { LOOP_CLIENT_TCP, LOOP_CLIENT_UNIX, LOOP_CLIENT_PIPE, LOOP_CLIENT_BLOCKING_PIPE };

/** One client. What the callbacks saw is there to be read once `completions` is 1. */
struct loop_client {
    struct loop_stage *stage;
    int fd;                      /* the client's own end; -1 once it has left */
    int server_fd;               /* the server's */
    struct sse_emitter *emitter; /* NULL before it is open and after loop_client_close */
    atomic_int completions;
    atomic_int releases;
    enum sse_reason reason;
    int error;
    pthread_t thread; /* that on_completion ran in */
    /** What a test does in on_completion and on_release. */
    void (*when_ended)(struct loop_client *client);
    void (*when_released)(struct loop_client *client);
    void *user;
};

/** Whether the library was built with this poller. */
bool loop_stage_has(enum sse_poller poller);
/** Whether a loop is told that a peer closed its sending side: poll(2) does not tell it everywhere. */
bool loop_stage_hears_hangups(enum sse_poller poller);

/** A registry without a loop; `real_time` for the system's clock. */
void loop_stage_open(struct loop_stage *stage, enum sse_poller poller, bool real_time);
/** And the loop. */
void loop_stage_open_loop(struct loop_stage *stage);
/** Frees both, and checks that no memory and no descriptor is left. The clients are to be closed first. */
void loop_stage_close(struct loop_stage *stage);

/**
 * For cmocka: *state is the kind of poller, and then the stage. A loop that stands still, one in real
 * time, and a stage without a loop.
 */
int loop_stage_set_up(void **state);
int loop_stage_set_up_real_time(void **state);
int loop_stage_set_up_without_loop(void **state);
int loop_stage_tear_down(void **state);

/** One turn, without waiting; aborts on an error. */
void loop_stage_dispatch(struct loop_stage *stage);

/** A thread that runs the loop until it is stopped. */
struct loop_runner {
    struct loop_stage *stage;
    pthread_t thread;
    int result;
    atomic_bool done;
};

void loop_runner_start(struct loop_runner *runner, struct loop_stage *stage);
/** Waits for the thread; its `result` is there to be read. */
void loop_runner_join(struct loop_runner *runner);
/** Stops the loop, whose run must end without an error. */
void loop_runner_stop(struct loop_runner *runner);

/** Connects the two ends and no more. */
void loop_client_connect(struct loop_client *client, struct loop_stage *stage, enum loop_client_kind kind);
/** Makes the emitter, which writes to the server's end, in the stage's registry and loop. `options` may
 *  give timers, limits and framing; or NULL. Returns what sse_emitter_new returned. */
int loop_client_try_open(struct loop_client *client, const struct sse_emitter_options *options);
/** The same; aborts on an error, and receives the comment that the stream begins with. Any thread. */
void loop_client_make_emitter(struct loop_client *client, const struct sse_emitter_options *options);
/** Connects and makes it. */
void loop_client_open(struct loop_client *client, struct loop_stage *stage, enum loop_client_kind kind,
                      const struct sse_emitter_options *options);

/** The client goes: closes its end. */
void loop_client_leave(struct loop_client *client);
/** The same, with a reset in place of an orderly end. TCP. */
void loop_client_reset(struct loop_client *client);
/** Closes the emitter, leaves, and lets the loop run until it is released. */
void loop_client_close(struct loop_client *client);
/** The client goes, the loop notices, the emitter is closed and released. */
void loop_client_depart(struct loop_client *client);

/** Sends an event with the data, to this emitter. */
int loop_client_send(struct loop_client *client, const char *data);
/** Sends events of 64 KiB until the output takes no more. Returns the bytes that will arrive. */
size_t loop_client_fill(struct loop_client *client);

/** Lets the loop run until the client has received exactly these bytes. */
void loop_client_expect(struct loop_client *client, const char *bytes);
/** Lets the loop run until the client has received so many bytes, whatever they are. */
void loop_client_drain(struct loop_client *client, size_t size);
/** Whether there is nothing to receive now. */
bool loop_client_is_quiet(struct loop_client *client);
/** Reads until the end of the stream; the loop need not run. Returns the bytes read. */
size_t loop_client_read_to_end(struct loop_client *client);

/** For a thread: the client reads as many bytes as its `user` says, a number, and leaves. */
void *loop_client_read_and_leave(void *client);

/** Dispatches, waiting, until the loop has closed the descriptor and on_completion has run. */
void loop_client_dispatch_to_end(struct loop_client *client);

#endif
