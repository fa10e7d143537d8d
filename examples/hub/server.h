/* SPDX-License-Identifier: MIT */
#ifndef HUB_SERVER_H
#define HUB_SERVER_H

/** The loop: one poll(2) over listener, signals, standard input and all connections. */

#include "connection.h"
#include "ending.h"
#include "input.h"
#include "signals.h"

#include <poll.h>

struct server {
    struct hub *hub;
    int listener; /**< not polled if -1 */
    struct signals signals;
    struct input input;

    struct connection **connections;
    size_t count;
    struct pollfd *polls;
    size_t capacity; /**< connections that there is memory for; `polls` holds a few more */

    size_t served_max;       /**< above so many connections, new ones are sent away */
    size_t connections_max;  /**< those that are sent away included */
    int64_t accept_again_ms; /**< accepting rests until then */
    bool stopping;
    struct ending ending;
    int64_t stop_deadline_ms;
};

/** Takes over `listener`. Returns 0; or a negative errno, and `listener` is closed. */
int server_begin(struct server *server, struct hub *hub, int listener);

/** Serves until a signal stops it and all is drained. Returns 0 or a negative errno. */
int server_run(struct server *server);

void server_end(struct server *server);

#endif
