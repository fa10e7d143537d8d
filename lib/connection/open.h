/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_OPEN_H
#define CONNECTION_OPEN_H

#include "connection/emitter.h"

/** Opens an emitter when everything that could fail has succeeded: writes what is queued (FD), and marks the
 *  emitter. No lock held. */
void sse_emitter_open(struct sse_emitter *emitter);

#endif
