/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_ENDING_H
#define CONNECTION_ENDING_H

/** Begins the end of an emitter. Lock held. */

#include "connection/emitter.h"

/** Begins to end the emitter. False if it has ended already, or is draining and the reason is graceful. After true,
 *  the caller must mark it, and make its registry forget it: sse_emitter_leave does both. */
bool sse_emitter_end(struct sse_emitter *emitter, enum sse_reason reason, int error, uint64_t now);

/** Ends an emitter that has not drained in time. */
bool sse_emitter_end_drain(struct sse_emitter *emitter, uint64_t now);

/** If the emitter is draining and its queue is empty: queues the last chunk or, after that, ends it. */
void sse_emitter_continue_draining(struct sse_emitter *emitter, uint64_t now);

/** Whether a closed emitter ended gracefully. */
bool sse_emitter_ended_gracefully(const struct sse_emitter *emitter);

/** What a call on an emitter that is not open returns; 0 for an open one. */
int sse_emitter_end_error(const struct sse_emitter *emitter);

#endif
