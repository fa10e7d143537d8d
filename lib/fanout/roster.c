/* SPDX-License-Identifier: MIT */
#include "fanout/registry.h"

struct roster *sse_roster_take(struct sse_registry *registry, size_t capacity)
{
    struct roster *roster = registry->spare;

    if (roster && roster->capacity >= capacity) {
        registry->spare = NULL;
        return roster;
    }
    roster = sse_host_allocate(registry->host, sizeof(*roster) + capacity * sizeof(struct sse_emitter *));
    if (roster)
        *roster =
            (struct roster){.emitters = (struct sse_emitter **)(void *)(roster + 1), .capacity = capacity};
    return roster;
}

void sse_roster_put_back(struct sse_registry *registry, struct roster *roster)
{
    struct roster *unused = roster;

    if (!registry->spare || registry->spare->capacity < roster->capacity) {
        unused = registry->spare;
        registry->spare = roster;
    }
    sse_host_release(registry->host, unused);
}

void sse_roster_clear(struct roster *roster)
{
    for (size_t i = 0; i < roster->count; i++)
        sse_emitter_give_back(roster->emitters[i]);
    roster->count = 0;
    roster->next = NULL;
}

void sse_roster_give_back(struct sse_registry *registry, struct roster *roster)
{
    sse_roster_clear(roster);
    pthread_mutex_lock(&registry->lock);
    sse_roster_put_back(registry, roster);
    pthread_mutex_unlock(&registry->lock);
}
