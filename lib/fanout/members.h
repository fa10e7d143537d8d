/* SPDX-License-Identifier: MIT */
#ifndef FANOUT_MEMBERS_H
#define FANOUT_MEMBERS_H

/** The emitters of a registry. The registry's lock is held. "Its lock held" means the emitter's, too. */

#include "fanout/audience.h"

/** Makes room for one more member. False if there is no memory. */
bool sse_members_reserve(struct sse_registry *registry);

/** Adds the emitter as the newest member. The room must have been reserved. Its lock held. */
void sse_members_join(struct sse_registry *registry, struct sse_emitter *emitter);

/** Whether it is a member of this registry. Its lock held. */
static inline bool sse_members_has(const struct sse_registry *registry, const struct sse_emitter *emitter)
{
    return emitter->member && emitter->group == &registry->group;
}

/** Removes the emitter, so that nothing more is published to it. Does nothing if it is no member. Its lock held. */
void sse_members_leave(struct sse_registry *registry, struct sse_emitter *emitter);

/** Removes an emitter that has ended, and counts its end, once. Its lock held. */
void sse_members_forget(struct sse_registry *registry, struct sse_emitter *emitter);

/** Forgets the emitters of an audience that have ended. */
void sse_members_forget_ended(struct sse_registry *registry, const struct audience *audience);

/** Tells the owner of an emitter that its state has changed. Its lock held. */
void sse_members_notify(struct sse_emitter *emitter, struct mark_chain *chain);

/** Whether the message fits into the empty queue of every receiver. If the receivers are all members, it remembers
 *  the smallest queue. */
bool sse_members_have_room(struct sse_registry *registry, struct sse_text topic,
                           const struct sse_message *message);

#endif
