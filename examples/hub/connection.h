/* SPDX-License-Identifier: MIT */
#ifndef HUB_CONNECTION_H
#define HUB_CONNECTION_H

/**
 * One connection: it reads one request, and answers it with a response or a stream. It owns the
 * descriptor. Nothing here frees a connection; the loop does, once connection_is_closed says so.
 */

#include "body.h"
#include "hub.h"
#include "stream.h"

enum connection_state {
    CONNECTION_READING,    /**< the request comes in */
    CONNECTION_RESPONDING, /**< the response goes out */
    CONNECTION_STREAMING,
    CONNECTION_LINGERING, /**< all is said; waits for the client to close */
    CONNECTION_CLOSED
};

struct connection {
    struct hub *hub;
    int fd;
    enum connection_state state;
    bool shed;        /**< one too many: it is sent away once its request is known */
    bool input_ended; /**< the client has closed its sending side */
    int64_t deadline_ms;
    struct request *request; /**< NULL before the first byte, and once it has been answered */
    bool reading_body;
    struct body body;
    struct buffer output;
    size_t output_sent;
    struct stream stream;
};

/** Takes over `fd`, which does not block. NULL, and `fd` closed, if there is no memory. */
struct connection *connection_new(struct hub *hub, int fd);

/** As connection_new, for a client that is sent away: a stream with a time to come back, others with
 *  an error. */
struct connection *connection_new_shed(struct hub *hub, int fd);

/** Closes it if it is open, and frees it. */
void connection_free(struct connection *connection);

/** What to poll for. */
short connection_events(const struct connection *connection);

/** Acts on what poll reported. */
void connection_on_events(struct connection *connection, short events);

/** Lets a stream that has ended, or a deadline that has passed, take effect. */
void connection_settle(struct connection *connection, int64_t now_ms);

/** Gives up what has not been answered yet. */
void connection_stop(struct connection *connection);

#endif
