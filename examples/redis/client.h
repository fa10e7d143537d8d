/* SPDX-License-Identifier: MIT */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

/** The events that a node itself sends to one client. */

#include <sse/emitter.h>

/** The room for the id that a client sends. A longer id cannot be from Redis. */
#define CLIENT_ID_SIZE 256

/** Sends the first event, of the type `ready`. If the client loses its connection before any other event, it
 *  continues from the id of this one. Errors: those of sse_emitter_send. */
int client_ready(struct sse_emitter *emitter, struct sse_text id);

/**
 * Sends an event of the type `gap`. Its data has two lines: the client's last id, and the oldest id that follows,
 * or an empty line if none follows. `id`, if present, is the id from which the client continues.
 *
 * The registry's own gap event (`gap_type`) is not suitable, because only this node knows its id.
 * Errors: those of sse_emitter_send.
 */
int client_gap(struct sse_emitter *emitter, struct sse_text have, struct sse_text oldest, struct sse_text id);

/** Ends the stream gracefully, with a short random `retry`. The client reconnects with the id that it has. */
void client_return(struct sse_emitter *emitter);

/** Returns false if the client has disconnected, or reads so slowly that much is queued for it. */
bool client_has_room(struct sse_emitter *emitter);

#endif
