/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAKE_CLIENT_H
#define SUPPORT_FAKE_CLIENT_H

/**
 * A client of the server under test: an emitter that writes to a fake sink or is pulled from, what
 * it was sent, and what its hooks said. Timers are off unless a test sets them.
 */

#include "fake_host.h"
#include "fake_sink.h"

#include <sse/emitter.h>

struct fake_client {
    struct fake_sink sink; /* what was pulled lands here too */
    struct sse_emitter_options options;
    struct sse_emitter *emitter;
    char *text;

    unsigned ready;
    unsigned blocked;
    unsigned timeouts;
    unsigned errors;
    unsigned completions;
    unsigned releases;
    int error;                        /* that on_error was given */
    struct sse_completion completion; /* its id is not valid any longer */
    char last_id[128];                /* but this one is */

    /** Called in on_ready and on_blocked. */
    void (*act)(struct fake_client *client, void *user);
    void *act_user;
};

/** Sets the options; a test may change them before it opens the client. */
void fake_client_init(struct fake_client *client, struct fake_host *host, enum sse_drain drain);

/** Makes the emitter; aborts on an error. */
void fake_client_open(struct fake_client *client);

/** Both. */
void fake_client_new(struct fake_client *client, struct fake_host *host, enum sse_drain drain);

/** Pulls all there is. Returns what the last read did: 0, or how the stream ended. */
ssize_t fake_client_pull(struct fake_client *client);

/** What it was sent since the last fake_client_forget, with a NUL behind it. */
const char *fake_client_text(struct fake_client *client);
void fake_client_forget(struct fake_client *client);

/** Gives the sink room for so many bytes more, SIZE_MAX for no end, and flushes. */
void fake_client_make_room(struct fake_client *client, size_t room);

struct sse_emitter_info fake_client_info(const struct fake_client *client);

/** Detaches the emitter, as the owner of a connection does, and gives all memory back. */
void fake_client_free(struct fake_client *client);

/** Those of `count` clients that are there. */
void fake_clients_free(struct fake_client *clients, size_t count);

#endif
