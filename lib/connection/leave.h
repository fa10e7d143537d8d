/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_LEAVE_H
#define CONNECTION_LEAVE_H

/** The last step of every call that changed something. */

#include "connection/emitter.h"

/** Does the work of an emitter without a loop: writes, runs timers and callbacks. In its owner's thread. Lock
 *  held; released meanwhile; cancellation disabled. The caller has its own reference. */
void sse_emitter_work(struct sse_emitter *emitter, uint64_t now);

/** Accounts, wakes waiters and marks. `owner`: if the emitter has no loop, the calling thread is its owner and does
 *  its work. Lock held on entry, released on return. The caller has its own reference. */
void sse_emitter_leave(struct sse_emitter *emitter, bool owner, uint64_t now);

/** Whether a call of send, complete and the like comes from the owner. */
static inline bool sse_emitter_caller_owns(const struct sse_emitter *emitter)
{
    return !emitter->looped && emitter->output_kind != OUTPUT_PULL;
}

#endif
