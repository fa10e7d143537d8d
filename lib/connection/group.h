/* SPDX-License-Identifier: MIT */
#ifndef CONNECTION_GROUP_H
#define CONNECTION_GROUP_H

#include "connection/tally.h"
#include "data/releases.h"

#include <stdbool.h>

struct sse_emitter;

/** The registry, as its emitters see it. No lock of an emitter is held during the calls. */
struct emitter_group {
    /** Keeps the registry in memory. */
    void (*ref)(struct emitter_group *group);
    void (*unref)(struct emitter_group *group);
    /** Forgets an emitter that has ended. Does nothing if the registry has forgotten it already. */
    void (*forget)(struct emitter_group *group, struct sse_emitter *emitter, uint64_t now);
    /** The owner of an emitter is done with it. Called once for each emitter that was admitted. */
    void (*done)(struct emitter_group *group);
    /** Ends emitters if the backlog is over the budget. */
    void (*relieve)(struct emitter_group *group, uint64_t now);
    size_t backlog_max; /* SIZE_MAX: no budget */
    struct emitter_tally tally;
};

/** What a turn has counted and not yet added to the tally of a registry. If each delivery changed the tally,
 *  threads would compete for its cache lines. */
struct turn_account {
    struct emitter_group *group; /* a reference, or NULL */
    struct tally_part part;
    struct releases releases; /* of the messages that were written */
};

static inline void sse_turn_account_begin(struct turn_account *account)
{
    account->group = NULL;
    account->part = (struct tally_part){.bytes = 0};
    sse_releases_begin(&account->releases);
}

/** Adds what was counted to the tally, and begins to count for another registry. It does not call `relieve`, so
 *  locks may be held. */
struct tally_part *sse_turn_account_change(struct turn_account *account, struct emitter_group *group);

/** What the turn has counted for a registry. */
static inline struct tally_part *sse_turn_account_part(struct turn_account *account,
                                                       struct emitter_group *group)
{
    return account->group == group ? &account->part : sse_turn_account_change(account, group);
}

/** Releases the messages that were written, adds what was counted to the tally, and calls `relieve` if the registry
 *  is over its budget. No lock held. */
void sse_turn_account_finish(struct turn_account *account, uint64_t now);

/** The budget for bytes that no owner has tried to write yet. */
size_t sse_group_untried_max(const struct emitter_group *group);

/** Whether the backlog of its registry is over the budget. */
bool sse_group_is_over_budget(const struct emitter_group *group);

#endif
