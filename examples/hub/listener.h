/* SPDX-License-Identifier: MIT */
#ifndef HUB_LISTENER_H
#define HUB_LISTENER_H

/** The listening socket. */

#include "options.h"

/** Large enough for `http://[address%scope]:port/`. */
#define LISTENER_URL_SIZE 384

/** Binds and listens. Returns the descriptor; -1 after a message to standard error. */
int listener_open(const struct options *options);

/** The URL of a listening socket, with the port that it really has. Returns 0 or a negative errno. */
int listener_url(int fd, char *url);

/**
 * Accepts a connection and prepares it. Returns the descriptor, or a negative errno: -EAGAIN when
 * nobody waits, -ECONNABORTED when one who waited has left; anything else means that the system
 * has no more to give, and that it is no use to try again at once.
 */
int listener_accept(int fd);

#endif
