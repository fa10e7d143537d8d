/* SPDX-License-Identifier: MIT */
#ifndef HUB_LISTENER_H
#define HUB_LISTENER_H

/** The listening socket. */

#include "options.h"

/** Large enough for `http://[address%scope]:port/`. */
#define LISTENER_URL_SIZE 384

/** Binds and listens. Returns the descriptor, or -1 after it has printed a message. */
int listener_open(const struct options *options);

/** Writes the URL of a listening socket, with its real port. Returns 0 or a negative errno. */
int listener_url(int fd, char *url);

/**
 * Accepts a connection and makes it non-blocking. Returns the descriptor or a negative errno.
 *
 * -EAGAIN: no connection is waiting. -ECONNABORTED: the waiting client has disconnected. Any other error: the
 * system has no descriptors or memory left, so do not try again at once.
 */
int listener_accept(int fd);

#endif
