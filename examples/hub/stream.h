/* SPDX-License-Identifier: MIT */
#ifndef HUB_STREAM_H
#define HUB_STREAM_H

/**
 * GET /events: the emitter of a connection. The connection owns the descriptor, and closes it when
 * it finds that the emitter has ended; the hooks only leave marks. All members zero is no stream.
 */

#include "hub.h"
#include "request.h"
#include "response.h"

struct stream {
    struct hub *hub;
    struct sse_emitter *emitter;
    int fd;
    bool admitted;   /**< before, nothing is written: who is refused gets another response */
    bool blocked;    /**< the socket has no room: call stream_flush when it does */
    size_t replayed; /**< events that were sent again, and of which the client is not told yet */
    bool ended;      /**< the emitter has ended, and touches the socket no more */
    bool graceful;   /**< with `ended`: every byte was written */
};

/**
 * Begins the stream that a request asks for. Returns 1 if it runs, 0 if `response` is to be sent
 * in its place, or a negative errno if the connection is of no use any more.
 */
int stream_begin(struct stream *stream, struct hub *hub, int fd, const struct request *request,
                 struct response *response);

/** For the options of the registry: it tells a stream that it has been admitted. */
void stream_on_trace(struct sse_registry *registry, struct sse_emitter *emitter, enum sse_trace step,
                     void *user);

/** HEAD /events: what the head of the stream would be. */
void stream_describe(const struct hub *hub, const struct request *request, struct response *response);

/**
 * Appends to `wire` a whole response that makes an EventSource come back later; an error status
 * would stop it for good. Returns 0 or a negative errno.
 */
int stream_send_away(struct hub *hub, enum sse_http_version version, struct buffer *wire);

/** The socket has room again. */
void stream_flush(struct stream *stream);

/** The client has closed its sending side, or all of it. Sends a comment, so that it shows which. */
void stream_probe(struct stream *stream);

/** Ends the stream at once with a negative errno; -EIO if that is one that nobody may end it with. */
void stream_break(struct stream *stream, int error);

/** Gives the emitter back; one that still lives is detached from the socket first. */
void stream_end(struct stream *stream);

#endif
