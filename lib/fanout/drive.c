/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "fanout/registry.h"

#include <errno.h>

/* How many due emitters one turn takes from the heap: they are ticked without the lock. */
#define DUE_COUNT_MAX 32

bool sse_ready_add(struct sse_registry *registry, struct sse_emitter *emitter)
{
    struct emitter_link *link = &emitter->membership.ready;
    bool was_empty = !registry->first_ready;

    if (!registry->on_wake || emitter->standing & STANDING_READY)
        return false;
    *link = (struct emitter_link){.previous = registry->last_ready};
    emitter->standing |= STANDING_READY;
    if (was_empty)
        registry->first_ready = emitter;
    else
        registry->last_ready->membership.ready.next = emitter;
    registry->last_ready = emitter;
    sse_emitter_ref(emitter);
    return was_empty;
}

bool sse_ready_remove(struct sse_registry *registry, struct sse_emitter *emitter)
{
    struct emitter_link *link = &emitter->membership.ready;

    if (!(emitter->standing & STANDING_READY))
        return false;
    if (link->previous)
        link->previous->membership.ready.next = link->next;
    else
        registry->first_ready = link->next;
    if (link->next)
        link->next->membership.ready.previous = link->previous;
    else
        registry->last_ready = link->previous;
    emitter->standing &= (unsigned char)~STANDING_READY;
    return true;
}

void sse_registry_wake(struct sse_registry *registry)
{
    int cancel_state;

    if (!registry->on_wake || registry->closed)
        return;
    registry->wake_again = true;
    if (registry->waking)
        return;
    registry->waking = true;
    registry->waking_thread = pthread_self();
    /* A cancelled thread must not stay the one that wakes. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    while (registry->wake_again && registry->on_wake && !registry->closed) {
        void (*on_wake)(struct sse_registry * registry, void *user) = registry->on_wake;
        void *user = registry->wake_user;

        registry->wake_again = false;
        pthread_mutex_unlock(&registry->lock);
        on_wake(registry, user);
        pthread_mutex_lock(&registry->lock);
    }
    pthread_setcancelstate(cancel_state, NULL);
    registry->waking = false;
    pthread_cond_broadcast(&registry->wake_done);
}

/* Whether the host waits for a later deadline than this. Lock held. */
static bool announce(struct sse_registry *registry, uint64_t deadline)
{
    if (deadline >= registry->announced)
        return false;
    registry->announced = deadline;
    return true;
}

bool sse_timer_note(struct sse_registry *registry, struct sse_emitter *emitter)
{
    struct heap_node *timer = &emitter->membership.timer;
    uint64_t deadline = sse_emitter_deadline(emitter);

    /* While bytes wait it is another deadline than when they have left: charged, they are not forgotten. */
    sse_emitter_account(emitter);
    /* A tick that took it from the heap puts it back when it is done with it. */
    if (timer->position == HEAP_NOWHERE) {
        timer->deadline = deadline;
        return false;
    }
    sse_heap_update(&registry->timers, timer, deadline);
    return announce(registry, deadline);
}

bool sse_expiry_note(struct sse_registry *registry)
{
    uint64_t deadline = sse_archive_deadline(&registry->archive);

    if (deadline >= registry->announced)
        return false;
    registry->announced = deadline;
    return true;
}

void sse_registry_introduce(struct sse_registry *registry, struct sse_emitter *emitter)
{
    bool wake;

    pthread_mutex_lock(&emitter->lock);
    wake = sse_timer_note(registry, emitter);
    if (emitter->queue.count && sse_ready_add(registry, emitter))
        wake = true;
    pthread_mutex_unlock(&emitter->lock);
    if (wake)
        sse_registry_wake(registry);
}

void sse_registry_notice(struct emitter_owner *owner, struct sse_emitter *emitter, bool ready)
{
    struct sse_registry *registry = (struct sse_registry *)(void *)owner;
    bool wake = false;

    pthread_mutex_lock(&registry->lock);
    if (sse_members_has(registry, emitter)) {
        pthread_mutex_lock(&emitter->lock);
        wake = sse_timer_note(registry, emitter);
        pthread_mutex_unlock(&emitter->lock);
        if (ready && sse_ready_add(registry, emitter))
            wake = true;
    }
    if (wake)
        sse_registry_wake(registry);
    pthread_mutex_unlock(&registry->lock);
}

static bool is_detached(struct sse_emitter *emitter)
{
    bool detached;

    pthread_mutex_lock(&emitter->lock);
    detached = emitter->detached;
    pthread_mutex_unlock(&emitter->lock);
    return detached;
}

struct sse_emitter *sse_registry_next_ready(struct sse_registry *registry)
{
    struct sse_emitter *emitter;

    if (sse_registry_check(registry))
        return NULL;
    sse_owner_hold(&registry->owner);
    for (;;) {
        pthread_mutex_lock(&registry->lock);
        emitter = registry->first_ready;
        if (emitter)
            (void)sse_ready_remove(registry, emitter);
        pthread_mutex_unlock(&registry->lock);
        if (!emitter || !is_detached(emitter))
            break;
        sse_emitter_give_back(emitter);
    }
    sse_owner_release(&registry->owner);
    return emitter;
}

int sse_registry_next_timeout(struct sse_registry *registry)
{
    const struct heap_node *first;
    uint64_t deadline;
    int error = sse_registry_check(registry);

    if (error)
        return error;
    pthread_mutex_lock(&registry->lock);
    first = sse_heap_first(&registry->timers);
    deadline =
        deadline_earlier(first ? first->deadline : DEADLINE_NEVER, sse_archive_deadline(&registry->archive));
    registry->announced = deadline;
    pthread_mutex_unlock(&registry->lock);
    return deadline_timeout_ms(deadline, sse_host_now(registry->host));
}

static struct sse_emitter *emitter_of_timer(struct heap_node *timer)
{
    return (struct sse_emitter *)(void *)((char *)timer - offsetof(struct sse_emitter, membership.timer));
}

static size_t take_due(struct sse_registry *registry, struct sse_emitter **due, uint64_t now)
{
    struct heap_node *first;
    size_t count = 0;

    pthread_mutex_lock(&registry->lock);
    while (count < DUE_COUNT_MAX && (first = sse_heap_first(&registry->timers)) &&
           deadline_is_due(first->deadline, now)) {
        sse_heap_remove(&registry->timers, first);
        due[count++] = sse_emitter_ref(emitter_of_timer(first));
    }
    pthread_mutex_unlock(&registry->lock);
    return count;
}

static bool is_member(struct sse_registry *registry, struct sse_emitter *emitter)
{
    bool member;

    pthread_mutex_lock(&registry->lock);
    member = sse_members_has(registry, emitter);
    pthread_mutex_unlock(&registry->lock);
    return member;
}

/* The deadline that was due may have been passed by: a send does not touch the heap. */
static void schedule_again(struct sse_registry *registry, struct sse_emitter *emitter)
{
    struct heap_node *timer = &emitter->membership.timer;

    pthread_mutex_lock(&registry->lock);
    if (sse_members_has(registry, emitter) && timer->position == HEAP_NOWHERE) {
        bool wake;

        pthread_mutex_lock(&emitter->lock);
        sse_heap_push(&registry->timers, timer, DEADLINE_NEVER);
        wake = sse_timer_note(registry, emitter);
        pthread_mutex_unlock(&emitter->lock);
        if (wake)
            sse_registry_wake(registry);
    }
    pthread_mutex_unlock(&registry->lock);
}

int sse_registry_tick(struct sse_registry *registry)
{
    struct sse_emitter *due[DUE_COUNT_MAX];
    uint64_t now;
    size_t count;
    int error = sse_registry_check(registry);

    if (error)
        return error;
    now = sse_host_now(registry->host);
    sse_owner_hold(&registry->owner);
    pthread_mutex_lock(&registry->lock);
    sse_archive_expire(&registry->archive, now);
    pthread_mutex_unlock(&registry->lock);
    while ((count = take_due(registry, due, now))) {
        for (size_t i = 0; i < count; i++) {
            /* A hook of one before may have removed it. */
            if (is_member(registry, due[i]))
                sse_emitter_tick_at(due[i], now);
            schedule_again(registry, due[i]);
            sse_emitter_give_back(due[i]);
        }
    }
    sse_owner_release(&registry->owner);
    return 0;
}
