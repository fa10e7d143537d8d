/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_PEER_H
#define INJECTION_PEER_H

/** The descriptors of a client: the server's end, and its own. None of these calls can fail by a fault. */

#include "client.h"

/** Opens the file that all clients of that kind share: new ones cost more than all the rest. */
void peers_init(void);

/** Opens both ends, if there are to be any. */
void peer_open(struct client *client);
void peer_make_nonblocking(int fd);

/** Takes what has come. */
void peer_take(struct client *client);

/** Whether the server's end has room. */
bool peer_has_room(const struct client *client);
/** Whether the server's end is open: its number may have been closed, and be another client's by now. */
bool peer_is_open(const struct client *client);

/** Closes an end that is open. */
void peer_close_fd(int *fd);

#endif
