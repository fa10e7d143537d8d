/* SPDX-License-Identifier: MIT */
#include "connection/account.h"

void sse_emitter_account(struct sse_emitter *emitter, bool tried, struct turn_account *account)
{
    struct tally_part own = {.bytes = 0}, *part = &own;
    size_t queued = 0;

    if (!emitter->group || !emitter->member)
        return;
    /* After the end nothing counts as queued, even if a reader still uses bytes that a peek has shown. */
    if (emitter->state != SSE_STATE_CLOSED)
        queued = sse_emitter_backlog(emitter);
    if (queued == emitter->charged && tried == emitter->tried)
        return;
    if (account)
        part = sse_turn_account_part(account, emitter->group);
    part->queued += queued - emitter->charged;
    part->tried += (tried ? queued : 0) - (emitter->tried ? emitter->charged : 0);
    emitter->charged = queued;
    emitter->tried = tried;
    if (!account)
        sse_tally_add(&emitter->group->tally, part);
}

void sse_emitter_count_dropped(struct sse_emitter *emitter, uint64_t events)
{
    emitter->dropped += events;
    if (emitter->group && events)
        atomic_fetch_add_explicit(&emitter->group->tally.dropped, events, memory_order_relaxed);
}

/* Counts what a send writes: it was not published, so it has no latency. */
static void count_sent(struct emitter_tally *tally, const struct sse_message *message, size_t bytes)
{
    atomic_fetch_add_explicit(&tally->bytes, bytes, memory_order_relaxed);
    if (message)
        atomic_fetch_add_explicit(&tally->events, message->events, memory_order_relaxed);
}

static bool was_published(const struct sse_message *message)
{
    return message && atomic_load_explicit(&message->published, memory_order_relaxed);
}

void sse_emitter_count_written(struct sse_emitter *emitter, const struct sse_message *message, size_t bytes,
                               bool live, uint64_t now, struct turn_account *account)
{
    struct tally_part own = {.bytes = 0}, *part = &own;
    struct emitter_group *group = emitter->group;

    emitter->bytes += bytes;
    if (!group)
        return;
    if (!account && !was_published(message)) {
        count_sent(&group->tally, message, bytes);
        return;
    }
    if (account)
        part = sse_turn_account_part(account, group);
    part->bytes += bytes;
    if (message)
        sse_tally_event(&group->tally, part, message, live, now);
    if (!account)
        sse_tally_add(&group->tally, part);
}
