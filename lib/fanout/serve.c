/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "fanout/registry.h"

/*
 * The second step of a publish: without the lock, its receivers are seen to one by one. Bytes are written,
 * hooks run. What these publish is queued meanwhile, and its receivers come after.
 */

/* Some 20 microseconds in all. */
#define LOCK_TRIES 64
#define LOCK_PAUSE 200

/* A publish holds the lock for less time than it takes to sleep and to be woken: whoever publishes at the
 * same time tries again for a little while first. Two threads with topics of 10 get 1.5 of what one gets
 * done, and 0.9 if they sleep at once. */
void sse_publisher_lock(struct sse_registry *registry)
{
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        if (!pthread_mutex_trylock(&registry->lock))
            return;
        /* Each try takes the cache line from the one who holds the lock. */
        for (volatile int pause = 0; pause < LOCK_PAUSE; pause++)
            continue;
    }
    pthread_mutex_lock(&registry->lock);
}

void sse_publisher_init(struct publisher *publisher)
{
    publisher->thread = pthread_self();
    publisher->next = NULL;
    publisher->first = NULL;
    publisher->last = &publisher->first;
    publisher->small = (struct roster){.emitters = publisher->emitters, .capacity = ROSTER_SMALL};
}

struct publisher *sse_publisher_find(const struct sse_registry *registry)
{
    struct publisher *publisher = registry->publishers;

    while (publisher && !pthread_equal(publisher->thread, pthread_self()))
        publisher = publisher->next;
    return publisher;
}

void sse_publisher_enter(struct sse_registry *registry, struct publisher *publisher)
{
    publisher->next = registry->publishers;
    registry->publishers = publisher;
}

static void remove_publisher(struct sse_registry *registry, struct publisher *publisher)
{
    struct publisher **at = &registry->publishers;

    while (*at != publisher)
        at = &(*at)->next;
    *at = publisher->next;
}

void sse_publisher_leave(struct publisher *publisher, struct roster *roster)
{
    roster->next = NULL;
    *publisher->last = roster;
    publisher->last = &roster->next;
}

static inline void count_outcome(struct sse_delivery *delivery, struct emitter_outcome outcome)
{
    if (outcome.error)
        delivery->closed++;
    else if (outcome.queued)
        delivery->queued++;
    else
        delivery->written++;
}

/* The roster has a reference, and cancellation is off. */
static struct emitter_outcome service(struct sse_emitter *emitter, uint64_t now, struct tally_part *part)
{
    pthread_mutex_lock(&emitter->lock);
    return sse_emitter_settle(emitter, now, part);
}

/* Writes to all on the roster, and gives the references back. */
static void serve_all(struct roster *roster, uint64_t now, struct tally_part *part,
                      struct sse_delivery *counts)
{
    for (size_t i = 0, count = roster->count; i < count; i++) {
        struct sse_emitter *emitter = roster->emitters[i];

        count_outcome(counts, service(emitter, now, part));
        sse_emitter_give_back(emitter);
    }
    roster->count = 0;
    roster->next = NULL;
}

/* The reading behind the last write tells how long the deliveries took at most. */
static void serve_own(struct sse_registry *registry, struct roster *roster, uint64_t now,
                      struct sse_delivery *counts)
{
    struct tally_part part = {.tally = &registry->owner.tally};
    uint64_t later, took;

    serve_all(roster, now, &part, counts);
    if (!counts->written)
        return;
    later = sse_host_now(registry->host);
    took = later > now ? later - now : 0;
    sse_tally_correct(part.tally, took, counts->written - part.at_once);
    sse_tally_add(&part, took);
}

/* What a hook has published meanwhile, or what was held: how long it takes is not asked. Returns how many had
 * to wait. */
static size_t serve_left(struct sse_registry *registry, struct roster *roster, uint64_t now)
{
    struct tally_part part = {.tally = &registry->owner.tally};
    struct sse_delivery delivery = {.size = sizeof(delivery)};

    serve_all(roster, now, &part, &delivery);
    sse_tally_add(&part, 0);
    return delivery.queued;
}

/* The next roster that was left here, in the place of one that was served; NULL if there is none, and the
 * thread publishes no more. */
static struct roster *next_roster(struct sse_registry *registry, struct publisher *publisher,
                                  struct roster *served, size_t queued)
{
    struct roster *next;

    sse_publisher_lock(registry);
    if (served && served != &publisher->small)
        sse_roster_put_back(registry, served);
    registry->counts.queued += queued;
    next = publisher->first;
    if (next)
        publisher->first = next->next;
    else
        remove_publisher(registry, publisher);
    if (!publisher->first)
        publisher->last = &publisher->first;
    pthread_mutex_unlock(&registry->lock);
    return next;
}

void sse_publisher_serve(struct sse_registry *registry, struct publisher *publisher, struct roster *own,
                         uint64_t now, struct sse_delivery *counts)
{
    struct roster *roster;
    int cancel_state;

    /* A cancelled thread must take neither a sink nor a hook with it. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (own)
        serve_own(registry, own, now, counts);
    roster = next_roster(registry, publisher, own, counts->queued);
    while (roster)
        roster = next_roster(registry, publisher, roster, serve_left(registry, roster, now));
    pthread_setcancelstate(cancel_state, NULL);
}

void sse_registry_write_held(struct sse_registry *registry, uint64_t now)
{
    struct publisher *outer = sse_publisher_find(registry);
    struct sse_delivery delivery = {.size = sizeof(delivery)};
    struct roster *roster = sse_cork_take(&registry->cork);
    struct publisher self;

    if (!roster)
        return;
    sse_publisher_init(&self);
    while (roster) {
        struct roster *next = roster->next;

        sse_publisher_leave(outer ? outer : &self, roster);
        roster = next;
    }
    if (outer)
        return;
    sse_publisher_enter(registry, &self);
    pthread_mutex_unlock(&registry->lock);
    sse_publisher_serve(registry, &self, NULL, now, &delivery);
    sse_budget_enforce(registry, now);
    pthread_mutex_lock(&registry->lock);
}
