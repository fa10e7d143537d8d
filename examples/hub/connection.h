/* SPDX-License-Identifier: MIT */
#ifndef HUB_CONNECTION_H
#define HUB_CONNECTION_H

/**
 * One connection. It reads one request and answers it, or gives its descriptor to a stream. These functions do not
 * free a connection: the server does, once its state is CONNECTION_CLOSED.
 */

#include "body.h"
#include "hub.h"

enum connection_state {
    CONNECTION_READING,    /**< reads the request */
    CONNECTION_RESPONDING, /**< writes the response */
    CONNECTION_LINGERING,  /**< everything is written; waits for the client to close */
    CONNECTION_CLOSED
};

struct connection {
    struct hub *hub;
    int fd;
    enum connection_state state;
    bool shed;         /**< above the limit: refused once its request is known */
    bool has_begun;    /**< a part of the request has arrived */
    bool reading_body; /**< the head has arrived */
    bool input_ended;  /**< the client has closed its sending side */
    int64_t deadline_ms;
    struct request request;
    struct body body;
    struct buffer output;
    size_t output_sent;

    /* For server.c only. */
    size_t index;
    int waited_fd;
    short waited_events;
};

/** Takes over `fd`, which must be non-blocking. With `shed`, the client is refused: a stream gets a reconnection
 *  time, other requests an error. Returns NULL, and closes `fd`, without memory. */
struct connection *connection_new(struct hub *hub, int fd, bool shed);

/** Closes it if it is open, and frees it. */
void connection_free(struct connection *connection);

/** The events that poll(2) must wait for. */
short connection_events(const struct connection *connection);

/** Handles the events that poll(2) has reported. */
void connection_on_events(struct connection *connection, short events);

/** Ends the connection if its deadline has passed. */
void connection_check_deadline(struct connection *connection, int64_t now_ms);

/** Aborts a request that is not complete. */
void connection_stop(struct connection *connection);

#endif
