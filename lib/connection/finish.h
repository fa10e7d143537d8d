/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_FINISH_H
#define CONNECTION_FINISH_H

/** The end of an emitter, in its owner's thread. */

#include "connection/emitter.h"

/** Whether the emitter has ended. If so, the caller must run the callbacks at its end, in the owner's thread, and
 *  not inside the output or a callback. Lock held. */
bool sse_emitter_claim_end(struct sse_emitter *emitter);

/** Runs the callbacks at the end. No lock held, cancellation disabled, after sse_emitter_claim_end. */
void sse_emitter_finish(struct sse_emitter *emitter, uint64_t now);

/** Whether the emitter is not marked. After sse_emitter_finish it will not be marked again. Takes the lock. */
bool sse_emitter_is_done(struct sse_emitter *emitter);

/** Waits until no other thread is busy. Lock held; released meanwhile. */
void sse_emitter_wait_for_others(struct sse_emitter *emitter);

/** Makes the registry of an emitter that has ended forget it, once. No lock held. */
void sse_emitter_forget_ended(struct sse_emitter *emitter, uint64_t now);

/** Tells the registry, once, that the owner is done with the emitter. No lock held. */
void sse_emitter_owner_is_done(struct sse_emitter *emitter);

#endif
