/* SPDX-License-Identifier: MIT */
#ifndef REDIS_CLIENT_H
#define REDIS_CLIENT_H

/** What a node itself has to say to a client, and to ask of it. */

#include "place.h"

#include <sse/emitter.h>

/** What a client's queue must hold: the crowd, and a page of the largest events. */
#define CLIENT_QUEUE_BYTES ((size_t)8 << 20)

/** The longest id that a client may ask for. */
#define CLIENT_ID_MAX 256

/** The first event, of the type `ready`: from its id a client goes on that loses the connection before
 *  it has received anything. Errors: those of sse_emitter_send. */
int client_ready(struct sse_emitter *emitter, struct place place);

/** An event of the type `gap`, as the library's own: the id asked for, the oldest held or an empty line, and
 *  if `place` is not NULL an id to go on from. The library's would have an id of this node's alone. Errors:
 *  those of sse_emitter_send. */
int client_gap(struct sse_emitter *emitter, struct sse_str asked, struct sse_str oldest,
               const struct place *place);

/** Ends the stream gracefully with a `retry` of the client's own: it comes back soon, with its id. */
void client_return(struct sse_emitter *emitter);

/** False for one that reads so slowly that its queue would be full soon, or that has left. */
bool client_has_room(struct sse_emitter *emitter);

#endif
