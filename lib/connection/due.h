/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_DUE_H
#define CONNECTION_DUE_H

/** The timers of an emitter. */

#include "connection/emitter.h"

/** Runs the timers that are due. True if that queued something, or ended the emitter. Lock held. */
bool sse_emitter_run_timers(struct sse_emitter *emitter, uint64_t now);

/** Queues a comment that finds out whether the client is there, unless bytes are queued that do so. Lock held. */
void sse_emitter_queue_ping(struct sse_emitter *emitter, uint64_t now);

#endif
