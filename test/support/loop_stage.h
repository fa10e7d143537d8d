/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_LOOP_STAGE_H
#define SUPPORT_LOOP_STAGE_H

/**
 * A registry, a polled loop, and clients at the other end of sockets and pipes. The clock does not move unless a
 * test asks for the real one. Emitters send no heartbeats and have no time limits unless the test sets timers.
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
    size_t descriptors; /* open before the loop was made */
};

enum loop_client_kind { LOOP_CLIENT_TCP, LOOP_CLIENT_UNIX, LOOP_CLIENT_PIPE, LOOP_CLIENT_BLOCKING_PIPE };

/** One client. You may read what the callbacks stored once `completions` is 1. */
struct loop_client {
    struct loop_stage *stage;
    int fd;                      /* the client's own end; -1 once it has disconnected */
    int server_fd;               /* the server's end */
    struct sse_emitter *emitter; /* NULL before it is open and after loop_client_close */
    atomic_int completions;
    atomic_int releases;
    enum sse_reason reason;
    int error;
    pthread_t thread; /* the thread in which on_completion ran */
    /** The test's own actions in on_completion and on_release. */
    void (*when_ended)(struct loop_client *client);
    void (*when_released)(struct loop_client *client);
    void *user;
};

/** Whether the library was built with this poller. */
bool loop_stage_has(enum sse_poller poller);
/** Whether a loop learns that a peer has closed its sending side. With poll(2), not every system reports that. */
bool loop_stage_hears_hangups(enum sse_poller poller);

/** Makes a registry without a loop. `real_time` uses the system's clock. */
void loop_stage_open(struct loop_stage *stage, enum sse_poller poller, bool real_time);
/** Makes the loop too. */
void loop_stage_open_loop(struct loop_stage *stage);
/** Frees both, and checks that no memory and no descriptor is left. Close the clients before. */
void loop_stage_close(struct loop_stage *stage);

/**
 * For cmocka: *state is the kind of poller, and then the stage. The loop's clock does not move, or is the real one,
 * or the stage has no loop.
 */
int loop_stage_set_up(void **state);
int loop_stage_set_up_real_time(void **state);
int loop_stage_set_up_without_loop(void **state);
int loop_stage_tear_down(void **state);

/** Takes one turn without waiting. Aborts on an error. */
void loop_stage_dispatch(struct loop_stage *stage);

/** A thread that runs the loop until it is stopped. */
struct loop_runner {
    struct loop_stage *stage;
    pthread_t thread;
    int result;
    atomic_bool done;
};

void loop_runner_start(struct loop_runner *runner, struct loop_stage *stage);
/** Waits for the thread. Then you may read its `result`. */
void loop_runner_join(struct loop_runner *runner);
/** Stops the loop. Its run must end without an error. */
void loop_runner_stop(struct loop_runner *runner);

/** Only connects the two ends. */
void loop_client_connect(struct loop_client *client, struct loop_stage *stage, enum loop_client_kind kind);
/** Makes the emitter, which writes to the server's end, in the stage's registry and loop. `options` may set timers,
 *  limits and framing, or be NULL. Returns the result of sse_emitter_new. */
int loop_client_try_open(struct loop_client *client, const struct sse_emitter_options *options);
/** The same. Aborts on an error, and receives the comment at the beginning of the stream. Any thread may call
 *  it. */
void loop_client_make_emitter(struct loop_client *client, const struct sse_emitter_options *options);
/** Connects, and makes the emitter. */
void loop_client_open(struct loop_client *client, struct loop_stage *stage, enum loop_client_kind kind,
                      const struct sse_emitter_options *options);

/** The client disconnects: it closes its end. */
void loop_client_leave(struct loop_client *client);
/** The client disconnects with a reset instead of an orderly end. TCP. */
void loop_client_reset(struct loop_client *client);
/** Closes the emitter, disconnects, and lets the loop run until the emitter is released. */
void loop_client_close(struct loop_client *client);
/** The client disconnects, the loop notices it, and the emitter is closed and released. */
void loop_client_depart(struct loop_client *client);

/** Sends an event with these data to this emitter. */
int loop_client_send(struct loop_client *client, const char *data);
/** Sends events of 64 KiB until the output accepts no more. Returns the number of bytes that will arrive. */
size_t loop_client_fill(struct loop_client *client);

/** Lets the loop run until the client has received exactly these bytes. */
void loop_client_expect(struct loop_client *client, const char *bytes);
/** Lets the loop run until the client has received this many bytes. */
void loop_client_drain(struct loop_client *client, size_t size);
/** Whether there is nothing to receive now. */
bool loop_client_is_quiet(struct loop_client *client);
/** Reads until the end of the stream, while the loop need not run. Returns the number of bytes. */
size_t loop_client_read_to_end(struct loop_client *client);

/** For a thread: the client reads as many bytes as its `user` says, and disconnects. */
void *loop_client_read_and_leave(void *client);

/** Dispatches, waiting, until the loop has closed the descriptor and on_completion has run. */
void loop_client_dispatch_to_end(struct loop_client *client);

#endif
