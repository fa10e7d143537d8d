/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_MARK_H
#define CONNECTION_MARK_H

/** Tells the owner of an emitter that there is work, and wakes the threads that wait for it. Lock held. */

#include "connection/emitter.h"

/** Marks the emitter if its loop's next turn has work for it. */
void sse_emitter_mark(struct sse_emitter *emitter, struct mark_chain *chain);

/** Marks the emitter if it has a loop, even if there is no work. Must not be called once it has finished. */
static inline void sse_emitter_mark_always(struct sse_emitter *emitter, struct mark_chain *chain)
{
    if (!emitter->marks || emitter->marked)
        return;
    emitter->marked = true;
    sse_mark_chain_add(chain, emitter->marks, emitter);
}

void sse_emitter_add_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter);
void sse_emitter_remove_waiter(struct sse_emitter *emitter, struct emitter_waiter *waiter);
void sse_emitter_wake_waiters(struct sse_emitter *emitter);

#endif
