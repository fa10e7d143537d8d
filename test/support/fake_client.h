/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAKE_CLIENT_H
#define SUPPORT_FAKE_CLIENT_H

/**
 * A client of the server under test: an emitter that writes to a fake output or is pulled from, what
 * it was sent, and what its callbacks said. Timers are off unless a test sets them.
 *
 * It aborts if a callback runs in another thread than its owner's, or, with a loop, outside of a turn.
 */

#include "fake_loop.h"
#include "fake_output.h"

#include <sse/emitter.h>

struct fake_client {
    struct fake_output output; /* what was pulled lands here too */
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    struct sse_replay replay; /* how its subscription began */
    /** Set before it is opened, in place of options.loop; NULL: it has a thread of its own ... */
    struct fake_loop *loop;
    /** ... this one: the one that called fake_client_init. */
    pthread_t owner;
    char *text;

    char log[32]; /* a letter for each callback, in order: r and b for on_ready, t, e, c and x */
    unsigned readable;
    unsigned blocked;
    unsigned timeouts;
    unsigned errors;
    unsigned completions;
    unsigned releases;
    enum sse_reason timeout;          /* that on_timeout was given */
    int error;                        /* that on_error was given */
    struct sse_completion completion; /* its id is not valid any longer */
    char last_id[512];                /* but this one is */

    /** Called in on_ready. */
    void (*act)(struct fake_client *client, void *user);
    void *act_user;
};

/** Sets the options; a test may change them before it opens the client. */
void fake_client_init(struct fake_client *client, struct fake_platform *fake, enum sse_output output);

/** Makes the emitter and returns what sse_emitter_new returned. */
int fake_client_try_open(struct fake_client *client);

/** The same; aborts on an error. */
void fake_client_open(struct fake_client *client);

/** Initializes and opens it. `loop` may be NULL. */
void fake_client_new(struct fake_client *client, struct fake_platform *fake, enum sse_output output,
                     struct fake_loop *loop);

/** Pulls all there is. Returns what the last read did: 0, or how the stream ended. */
ssize_t fake_client_pull(struct fake_client *client);

/** What it was sent since the last fake_client_forget, with a NUL behind it. */
const char *fake_client_text(struct fake_client *client);
/** The same, without the comment that a raw stream begins with. */
const char *fake_client_events(struct fake_client *client);
void fake_client_forget(struct fake_client *client);

/** Gives the output room for so many bytes more, SIZE_MAX for no end, and flushes; with a loop, in a turn. */
void fake_client_make_room(struct fake_client *client, size_t room);

struct sse_emitter_info fake_client_info(const struct fake_client *client);

/** Closes the emitter, as the owner of a connection does, takes the turns that release it, and gives all
 *  memory back. */
void fake_client_free(struct fake_client *client);

/** Those of `count` clients that are there. */
void fake_clients_free(struct fake_client *clients, size_t count);

#endif
