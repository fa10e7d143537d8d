/* SPDX-License-Identifier: MIT */
#ifndef HUB_CONNECTION_H
#define HUB_CONNECTION_H

/**
 * One connection: it reads one request, and answers it, or gives its descriptor to a stream. Nothing here
 * frees a connection; the server does, once its state is CONNECTION_CLOSED.
 */

#include "body.h"
#include "hub.h"

enum connection_state {
    CONNECTION_READING,    /**< the request comes in */
    CONNECTION_RESPONDING, /**< the response goes out */
    CONNECTION_LINGERING,  /**< all is written; waits for the client to close */
    CONNECTION_CLOSED
};

struct connection {
    struct hub *hub;
    int fd;
    enum connection_state state;
    bool shed;         /**< one too many: it is refused once its request is known */
    bool has_begun;    /**< some of the request has come */
    bool reading_body; /**< the head has come */
    bool input_ended;  /**< the client has closed its sending side */
    int64_t deadline_ms;
    struct request request;
    struct body body;
    struct buffer output;
    size_t output_sent;

    /* The server's. */
    size_t index;
    int waited_fd;
    short waited_events;
};

/** Takes over `fd`, which does not block. With `shed`, the client is refused: a stream with a time to come
 *  back, others with an error. NULL, and `fd` closed, if there is no memory. */
struct connection *connection_new(struct hub *hub, int fd, bool shed);

/** Closes it if it is open, and frees it. */
void connection_free(struct connection *connection);

/** What to wait for, as poll(2) has it. */
short connection_events(const struct connection *connection);

/** Acts on what poll(2) would report. */
void connection_on_events(struct connection *connection, short events);

/** Lets a deadline that has passed take effect. */
void connection_check_deadline(struct connection *connection, int64_t now_ms);

/** Gives up a request that is not complete. */
void connection_stop(struct connection *connection);

#endif
