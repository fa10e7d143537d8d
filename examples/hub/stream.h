/* SPDX-License-Identifier: MIT */
#ifndef HUB_STREAM_H
#define HUB_STREAM_H

/** GET /events and GET /watch: a connection becomes a stream, and the library takes over its descriptor. */

#include "hub.h"
#include "request.h"
#include "response.h"

/** Whether a request is for /watch: the events of all topics. */
bool stream_watches(const struct request *request);

/**
 * Begins the stream that a request asks for. Returns true if the library now owns the descriptor. Otherwise
 * `response` is the answer, and nothing was written.
 */
bool stream_begin(struct hub *hub, int fd, const struct request *request, struct response *response);

/** HEAD /events: the head that the stream would have. */
void stream_describe(const struct hub *hub, const struct request *request, struct response *response);

/** The answer when sse_emitter_new has returned `error`. Mostly it tells the client to reconnect later, because an
 *  error status would close an EventSource for good. */
void stream_refuse(struct hub *hub, const struct request *request, int error, struct response *response);

#endif
