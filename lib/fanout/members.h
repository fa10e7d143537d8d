/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_MEMBERS_H
#define FANOUT_MEMBERS_H

/** Who belongs to a registry. The registry's lock is held, and where it says so the emitter's too. */

#include "fanout/audience.h"

/** Makes room for one more. False without memory. */
bool sse_members_reserve(struct sse_registry *registry);

/** The emitter becomes the newest member. Needs room that was reserved. Its lock held. */
void sse_members_join(struct sse_registry *registry, struct sse_emitter *emitter);

/** Whether it is a member of this registry. Its lock held. */
static inline bool sse_members_has(const struct sse_registry *registry, const struct sse_emitter *emitter)
{
    return emitter->member && emitter->group == &registry->group;
}

/** Nothing is published to it any more. Nothing happens if that is so already. Its lock held. */
void sse_members_leave(struct sse_registry *registry, struct sse_emitter *emitter);

/** It has ended: it leaves, and its end is counted, once. Its lock held. */
void sse_members_forget(struct sse_registry *registry, struct sse_emitter *emitter);

/** Forgets those of an audience that have ended. */
void sse_members_forget_ended(struct sse_registry *registry, const struct audience *audience);

/** Tells the owner of an emitter that its state has changed. Its lock held. */
void sse_members_notify(struct sse_emitter *emitter, struct mark_chain *chain);

#endif
