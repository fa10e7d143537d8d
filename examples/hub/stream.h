/* SPDX-License-Identifier: MIT */
#ifndef HUB_STREAM_H
#define HUB_STREAM_H

/** GET /events and GET /watch: where a connection becomes a stream, and its descriptor the library's. */

#include "hub.h"
#include "request.h"
#include "response.h"

/** Whether a request is for /watch: the events of all topics. */
bool stream_watches(const struct request *request);

/**
 * Begins the stream that a request asks for. Returns true if the descriptor is now the library's;
 * otherwise `response` is the answer, and nothing was written.
 */
bool stream_begin(struct hub *hub, int fd, const struct request *request, struct response *response);

/** HEAD /events: what the head of the stream would be. */
void stream_describe(const struct hub *hub, const struct request *request, struct response *response);

/** The answer to a stream that sse_emitter_new refused with `error`: for most of them, that the client
 *  shall come back later. An error status would close an EventSource for good. */
void stream_refuse(struct hub *hub, const struct request *request, int error, struct response *response);

#endif
