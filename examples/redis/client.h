/* SPDX-License-Identifier: MIT */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

/** What a node sends to one client on its own account. */

#include <sse/emitter.h>

/** The room for the id that a client sends. A longer id is no id of Redis. */
#define CLIENT_ID_SIZE 256

/** Sends the first event, of the type `ready`. A client that loses its connection before any other event
 *  continues from its id. Errors: those of sse_emitter_send. */
int client_ready(struct sse_emitter *emitter, struct sse_text id);

/**
 * Sends an event of the type `gap`. Its data has two lines: the id that the client has, and the oldest id
 * that follows, empty if none does. `id`, if present, is where the client continues.
 *
 * The registry's own gap event (`gap_type`) would not do: its id is known to this node alone.
 * Errors: those of sse_emitter_send.
 */
int client_gap(struct sse_emitter *emitter, struct sse_text have, struct sse_text oldest, struct sse_text id);

/** Ends the stream gracefully, with a short random `retry`: the client comes back with the id that it has. */
void client_return(struct sse_emitter *emitter);

/** False if the client has left, or reads so slowly that much is queued for it. */
bool client_has_room(struct sse_emitter *emitter);

#endif
