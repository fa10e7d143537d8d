/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAKE_CLIENT_H
#define SUPPORT_FAKE_CLIENT_H

/**
 * A client of the tested server: an emitter with a fake output, or with output PULL; the bytes that it received;
 * and a record of its callbacks. Timers are off unless a test sets them.
 *
 * It aborts if a callback runs in another thread than its owner's, or, with a loop, outside of a turn.
 */

#include "fake_loop.h"
#include "fake_output.h"

#include <sse/emitter.h>

struct fake_client {
    struct fake_output output; /* pulled bytes are stored here too */
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    struct sse_replay replay; /* how its subscription began */
    /** Set it before you open the client, instead of options.loop. NULL: the client has its own thread ... */
    struct fake_loop *loop;
    /** ... this one, which called fake_client_init. */
    pthread_t owner;
    char *text;

    char log[32]; /* a letter for each callback, in order: r and b for on_ready, t, e, c and x */
    unsigned readable;
    unsigned blocked;
    unsigned timeouts;
    unsigned errors;
    unsigned completions;
    unsigned releases;
    enum sse_reason timeout;          /* the argument of on_timeout */
    int error;                        /* the argument of on_error */
    struct sse_completion completion; /* the id in it is not valid any more */
    char last_id[512];                /* the copy of the id, which stays valid */

    /** Called in on_ready. */
    void (*act)(struct fake_client *client, void *user);
    void *act_user;
};

/** Sets the options; a test may change them before it opens the client. */
void fake_client_init(struct fake_client *client, struct fake_platform *fake, enum sse_output output);

/** Makes the emitter. Returns the result of sse_emitter_new. */
int fake_client_try_open(struct fake_client *client);

/** The same; aborts on an error. */
void fake_client_open(struct fake_client *client);

/** Initializes and opens it. `loop` may be NULL. */
void fake_client_new(struct fake_client *client, struct fake_platform *fake, enum sse_output output,
                     struct fake_loop *loop);

/** Pulls all bytes. Returns the result of the last read: 0, or how the stream ended. */
ssize_t fake_client_pull(struct fake_client *client);

/** Returns what the client received since the last fake_client_forget. A NUL follows. */
const char *fake_client_text(struct fake_client *client);
/** Returns the same without the comment at the beginning of a raw stream. */
const char *fake_client_events(struct fake_client *client);
void fake_client_forget(struct fake_client *client);

/** Gives the output room for this many more bytes, or without limit for SIZE_MAX. Then flushes; with a loop, in a
 *  turn. */
void fake_client_make_room(struct fake_client *client, size_t room);

struct sse_emitter_info fake_client_info(const struct fake_client *client);

/** Closes the emitter, as the owner of a connection does, takes the turns that release it, and frees all memory. */
void fake_client_free(struct fake_client *client);

/** Calls fake_client_end for those of `count` clients that are open. */
void fake_clients_free(struct fake_client *clients, size_t count);

#endif
