/* SPDX-License-Identifier: MIT */
#ifndef INJECTION_PEER_H
#define INJECTION_PEER_H

/** The descriptors of a client: the server's end, and its own. A fault never affects these calls. */

#include "client.h"

/** Opens the file that all clients of that kind share, because new files would be too expensive. */
void peers_init(void);

/** Opens both ends, if the kind has any. */
void peer_open(struct client *client);
void peer_make_nonblocking(int fd);

/** Reads what has arrived. */
void peer_take(struct client *client);

/** Whether the server's end has room. */
bool peer_has_room(const struct client *client);
/** Whether the server's end is open. Its number may have been closed and may belong to another client now. */
bool peer_is_open(const struct client *client);

/** Closes an end that is open. */
void peer_close_fd(int *fd);

#endif
