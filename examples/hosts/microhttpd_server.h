/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_MICROHTTPD_SERVER_H
#define HOSTS_MICROHTTPD_SERVER_H

/** What the two programs for libmicrohttpd have in common: requests, and answers that are no streams. */

#include "service.h"

#include <microhttpd.h>

struct server {
    struct service service;
    struct sse_loop *streams; /**< NULL: each connection has a thread */
};

/** The adapter: makes the emitter and the response that reads from it. 0, or the error of sse_emitter_new. */
int open_stream(struct MHD_Response **response, struct sse_emitter_options options,
                struct MHD_Connection *connection);

/** Starts the daemon. A connection on which nothing happens for ten seconds is closed, unless it is suspended
 * or has a time-out of its own. NULL: it could not start. */
struct MHD_Daemon *start_server(struct server *server, unsigned flags);

#endif
