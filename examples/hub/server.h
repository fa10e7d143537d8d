/* SPDX-License-Identifier: MIT */
#ifndef HUB_SERVER_H
#define HUB_SERVER_H

/** One loop that waits for the listener, signals, standard input, requests, and the loop of the streams. */

#include "connection.h"
#include "input.h"
#include "signals.h"
#include "waiter.h"

struct server {
    struct hub *hub;
    int listener; /**< -1 once it is closed */
    int streams;  /**< the descriptor of the streams' loop; negative if it has none */
    struct signals signals;
    struct input input;

    struct connection **connections; /**< requests; a connection that becomes a stream is removed */
    size_t count;
    struct waiter waiter;
    bool listens;       /**< the waiter waits for the listener */
    bool input_is_file; /**< it cannot be waited for, and is always readable */

    size_t served_max;       /**< new ones are refused when there are this many requests and streams */
    size_t connections_max;  /**< with those that are refused */
    int64_t accept_again_ms; /**< accepting pauses until then */
    bool is_short;           /**< of descriptors or memory; it has been reported */
    int64_t check_ms;        /**< when to check the deadlines again */
    bool stopping;
    int64_t stop_deadline_ms;
};

/** Takes over `listener`. Returns 0, or a negative errno after it has closed `listener`. */
int server_begin(struct server *server, struct hub *hub, int listener);

/** Serves until a signal stops the hub and every stream has ended. Returns 0 or a negative errno. */
int server_run(struct server *server);

void server_end(struct server *server);

#endif
