/* SPDX-License-Identifier: MIT */
#include "fanout/subscriptions.h"
#include "base/growth.h"

/** Of an emitter that is, or was, subscribed to more than one topic. */
struct subscription_list {
    uint32_t count;
    uint32_t capacity;
    struct subscription items[];
};

static bool is_listed(const struct emitter_membership *membership)
{
    return membership->place == SUBSCRIPTIONS_LISTED;
}

uint32_t sse_subscriptions_count(const struct emitter_membership *membership)
{
    if (is_listed(membership))
        return membership->list->count;
    return membership->topic != NULL;
}

struct subscription sse_subscriptions_at(const struct emitter_membership *membership, uint32_t position)
{
    if (is_listed(membership))
        return membership->list->items[position];
    return (struct subscription){.topic = membership->topic, .place = membership->place};
}

void sse_subscriptions_move(struct emitter_membership *membership, uint32_t position, uint32_t place)
{
    if (is_listed(membership))
        membership->list->items[position].place = place;
    else
        membership->place = place;
}

bool sse_subscriptions_reserve(struct emitter_membership *membership, const struct sse_platform *platform)
{
    uint32_t count = sse_subscriptions_count(membership);
    size_t capacity = growth_after(count);
    struct subscription_list *list;

    if (!count || (is_listed(membership) && count < membership->list->capacity))
        return true;
    if (capacity > UINT32_MAX)
        return false;
    list = sse_platform_allocate(platform, sizeof(*list) + capacity * sizeof(struct subscription));
    if (!list)
        return false;
    *list = (struct subscription_list){.count = count, .capacity = (uint32_t)capacity};
    for (uint32_t i = 0; i < count; i++)
        list->items[i] = sse_subscriptions_at(membership, i);
    if (is_listed(membership))
        sse_platform_deallocate(platform, membership->list);
    membership->list = list;
    membership->place = SUBSCRIPTIONS_LISTED;
    return true;
}

void sse_subscriptions_add(struct emitter_membership *membership, struct subscription subscription)
{
    if (is_listed(membership)) {
        membership->list->items[membership->list->count++] = subscription;
        return;
    }
    membership->topic = subscription.topic;
    membership->place = subscription.place;
}

void sse_subscriptions_remove(struct emitter_membership *membership, uint32_t position,
                              const struct sse_platform *platform)
{
    struct subscription_list *list = is_listed(membership) ? membership->list : NULL;

    if (list && --list->count) {
        list->items[position] = list->items[list->count];
        return;
    }
    sse_platform_deallocate(platform, list);
    membership->topic = NULL;
    membership->place = 0;
}
