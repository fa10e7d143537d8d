/* SPDX-License-Identifier: MIT */
#include "fanout/subscriptions.h"
#include "base/growth.h"

/* The number of places of the index, a power of two, fits into 32 bits. */
#define SUBSCRIPTIONS_MAX (UINT32_MAX / 4)

/* A list with more subscriptions has an index. */
#define LISTED_WITHOUT_INDEX 16

/** The subscriptions of an emitter that is, or was, subscribed to more than one topic. */
struct subscription_list {
    uint32_t count;
    uint32_t capacity;
    uint32_t places; /* of the index, which is behind the items; a power of two, or 0 if there is none */
    struct subscription items[];
};

static bool is_listed(const struct emitter_membership *membership)
{
    return membership->place == SUBSCRIPTIONS_LISTED;
}

/* The index: a hash table by topic. A place has a position plus one, or 0 if it is free. */
static uint32_t *index_of(struct subscription_list *list)
{
    return (uint32_t *)(void *)&list->items[list->capacity];
}

static uint32_t home_of(const struct subscription_list *list, const struct topic *topic)
{
    return (uint32_t)((uintptr_t)topic * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (list->places - 1);
}

/* The place of a topic in the index, or the free place for it. */
static uint32_t place_of(struct subscription_list *list, const struct topic *topic)
{
    const uint32_t *index = index_of(list);
    uint32_t place = home_of(list, topic);

    while (index[place] && list->items[index[place] - 1].topic != topic)
        place = (place + 1) & (list->places - 1);
    return place;
}

static void set_index(struct subscription_list *list, const struct topic *topic, uint32_t position)
{
    if (list->places)
        index_of(list)[place_of(list, topic)] = position + 1;
}

/* Removes a topic from the index. The entries behind it move forward if the hole would hide them. */
static void remove_from_index(struct subscription_list *list, const struct topic *topic)
{
    uint32_t *index = index_of(list);
    uint32_t mask = list->places - 1, hole, place;

    if (!list->places)
        return;
    hole = place_of(list, topic);
    for (place = (hole + 1) & mask; index[place]; place = (place + 1) & mask) {
        uint32_t home = home_of(list, list->items[index[place] - 1].topic);

        if (((place - home) & mask) < ((place - hole) & mask))
            continue;
        index[hole] = index[place];
        hole = place;
    }
    index[hole] = 0;
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

uint32_t sse_subscriptions_find(const struct emitter_membership *membership, const struct topic *topic)
{
    uint32_t count = sse_subscriptions_count(membership), position = 0, entry;

    if (is_listed(membership) && membership->list->places) {
        entry = index_of(membership->list)[place_of(membership->list, topic)];
        return entry ? entry - 1 : count;
    }
    while (position < count && sse_subscriptions_at(membership, position).topic != topic)
        position++;
    return position;
}

void sse_subscriptions_move(struct emitter_membership *membership, uint32_t position, uint32_t place)
{
    if (is_listed(membership))
        membership->list->items[position].place = place;
    else
        membership->place = place;
}

/* As many places that at most two thirds are used. */
static uint32_t places_for(size_t capacity)
{
    size_t places = 1;

    if (capacity <= LISTED_WITHOUT_INDEX)
        return 0;
    while (places < capacity + capacity / 2)
        places *= 2;
    return (uint32_t)places;
}

static struct subscription_list *new_list(size_t capacity, const struct sse_platform *platform)
{
    uint32_t places = places_for(capacity);
    struct subscription_list *list = sse_platform_allocate(
        platform, sizeof(*list) + capacity * sizeof(struct subscription) + places * sizeof(uint32_t));

    if (!list)
        return NULL;
    *list = (struct subscription_list){.capacity = (uint32_t)capacity, .places = places};
    memset(index_of(list), 0, places * sizeof(uint32_t));
    return list;
}

static void add_to_list(struct subscription_list *list, struct subscription subscription)
{
    set_index(list, subscription.topic, list->count);
    list->items[list->count++] = subscription;
}

bool sse_subscriptions_reserve(struct emitter_membership *membership, const struct sse_platform *platform)
{
    uint32_t count = sse_subscriptions_count(membership);
    size_t capacity = growth_after(count);
    struct subscription_list *list;

    if (!count || (is_listed(membership) && count < membership->list->capacity))
        return true;
    /* not reached: this many subscriptions need more than 16 GB */
    if (capacity > SUBSCRIPTIONS_MAX)
        return false;
    list = new_list(capacity, platform);
    if (!list)
        return false;
    for (uint32_t i = 0; i < count; i++)
        add_to_list(list, sse_subscriptions_at(membership, i));
    if (is_listed(membership))
        sse_platform_deallocate(platform, membership->list);
    membership->list = list;
    membership->place = SUBSCRIPTIONS_LISTED;
    return true;
}

void sse_subscriptions_add(struct emitter_membership *membership, struct subscription subscription)
{
    if (is_listed(membership)) {
        add_to_list(membership->list, subscription);
        return;
    }
    membership->topic = subscription.topic;
    membership->place = subscription.place;
}

/* The last subscription moves to the position. */
static void remove_from_list(struct subscription_list *list, uint32_t position)
{
    uint32_t last = list->count - 1;

    remove_from_index(list, list->items[position].topic);
    if (position != last)
        set_index(list, list->items[last].topic, position);
    list->items[position] = list->items[last];
    list->count = last;
}

void sse_subscriptions_remove(struct emitter_membership *membership, uint32_t position,
                              const struct sse_platform *platform)
{
    struct subscription_list *list = is_listed(membership) ? membership->list : NULL;

    if (list && list->count > 1) {
        remove_from_list(list, position);
        return;
    }
    sse_platform_deallocate(platform, list);
    membership->topic = NULL;
    membership->place = 0;
}
