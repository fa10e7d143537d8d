/* SPDX-License-Identifier: MIT */
#ifndef HOSTS_MICROHTTPD_SERVER_H
#define HOSTS_MICROHTTPD_SERVER_H

/** The common part of the two programs for libmicrohttpd: requests, and answers that are not streams. */

#include "service.h"

#include <microhttpd.h>

struct server {
    struct service service;
    struct sse_loop *streams; /**< NULL: each connection has its own thread */
};

/** The adapter: makes the emitter and the response that reads from it. Returns 0, or the error of
 *  sse_emitter_new. */
int open_stream(struct MHD_Response **response, struct sse_emitter_options options,
                struct MHD_Connection *connection);

/** Starts the daemon. It closes a connection that is inactive for ten seconds, unless the connection is suspended
 *  or has its own time-out. Returns NULL on failure. */
struct MHD_Daemon *start_server(struct server *server, unsigned flags);

#endif
