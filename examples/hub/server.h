/* SPDX-License-Identifier: MIT */
#ifndef HUB_SERVER_H
#define HUB_SERVER_H

/** One wait for listener, signals, standard input, requests, and the loop that serves the streams. */

#include "connection.h"
#include "input.h"
#include "signals.h"
#include "waiter.h"

struct server {
    struct hub *hub;
    int listener; /**< -1 once it is closed */
    int streams;  /**< of the loop that serves them; negative if it has no descriptor */
    struct signals signals;
    struct input input;

    struct connection **connections; /**< requests: a connection that becomes a stream leaves */
    size_t count;
    struct waiter waiter;
    bool listens;       /**< the waiter waits for the listener */
    bool input_is_file; /**< which cannot be waited for, and is always ready */

    size_t served_max;       /**< above that many requests and streams, new ones are refused */
    size_t connections_max;  /**< those that are refused included */
    int64_t accept_again_ms; /**< accepting rests until then */
    bool is_short;           /**< of descriptors or memory; it has been said */
    int64_t check_ms;        /**< when to look at deadlines again */
    bool stopping;
    int64_t stop_deadline_ms;
};

/** Takes over `listener`. Returns 0; or a negative errno, and `listener` is closed. */
int server_begin(struct server *server, struct hub *hub, int listener);

/** Serves until a signal stops it and every stream has ended. Returns 0 or a negative errno. */
int server_run(struct server *server);

void server_end(struct server *server);

#endif
