/* SPDX-License-Identifier: MIT */
#include "connection/group.h"
#include "data/queue.h"

struct tally_part *sse_turn_account_change(struct turn_account *account, struct emitter_group *group)
{
    if (account->group) {
        sse_tally_add(&account->group->tally, &account->part);
        account->group->unref(account->group);
    }
    group->ref(group);
    account->group = group;
    return &account->part;
}

size_t sse_group_untried_max(const struct emitter_group *group)
{
    if (group->backlog_max > SIZE_MAX / QUEUE_UNTRIED_FACTOR)
        return SIZE_MAX;
    return group->backlog_max * QUEUE_UNTRIED_FACTOR;
}

/* The sum may be below zero for a moment, if one thread subtracts before another has added. */
static size_t sum_of(const atomic_size_t *counter)
{
    size_t sum = atomic_load_explicit(counter, memory_order_relaxed);

    return sum > SIZE_MAX / 2 ? 0 : sum;
}

bool sse_group_is_over_budget(const struct emitter_group *group)
{
    size_t tried = sum_of(&group->tally.tried);
    size_t queued = sum_of(&group->tally.queued);

    return tried > group->backlog_max || queued > sse_group_untried_max(group);
}

void sse_turn_account_finish(struct turn_account *account, uint64_t now)
{
    struct emitter_group *group = account->group;

    sse_releases_finish(&account->releases);
    if (!group)
        return;
    sse_tally_add(&group->tally, &account->part);
    account->group = NULL;
    if (sse_group_is_over_budget(group))
        group->relieve(group, now);
    group->unref(group);
}
