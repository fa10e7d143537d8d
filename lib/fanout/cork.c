/* SPDX-License-Identifier: MIT */
#include "base/host.h"
#include "fanout/registry.h"

#include <errno.h>

/* What a socket takes at once, whatever the queues would hold. */
#define HELD_BYTES_MAX ((size_t)64 << 10)
#define HELD_MESSAGES_MAX 1024

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

void sse_cork_init(struct cork *cork)
{
    *cork = (struct cork){.bytes_max = HELD_BYTES_MAX, .messages_max = HELD_MESSAGES_MAX};
}

/* Half of it: the event that is one too many is queued before all of them are written. */
void sse_cork_note_limits(struct cork *cork, const struct queue *queue)
{
    cork->bytes_max = smaller(cork->bytes_max, queue->bytes_max / 2);
    cork->messages_max = smaller(cork->messages_max, queue->count_max / 2);
}

bool sse_cork_is_full(const struct cork *cork)
{
    return cork->messages && (cork->messages >= cork->messages_max || cork->bytes >= cork->bytes_max);
}

/* A roster has room for a whole audience, and only those are on it who are newly held: while clients come and
 * go, there would else be one for each event. */
static bool add_to_last(struct roster *last, struct roster *roster)
{
    if (!last || last->capacity - last->count < roster->count)
        return false;
    for (size_t i = 0; i < roster->count; i++)
        last->emitters[last->count++] = roster->emitters[i];
    roster->count = 0;
    return true;
}

bool sse_cork_add(struct sse_registry *registry, struct roster *roster, const struct sse_message *message)
{
    struct cork *cork = &registry->cork;
    bool was_empty = !cork->first;

    cork->bytes += sse_message_wire_size(message, true);
    cork->messages++;
    if (add_to_last(cork->last, roster) || !roster->count) {
        sse_roster_put_back(registry, roster);
        return false;
    }
    roster->next = NULL;
    if (was_empty)
        cork->first = roster;
    else
        cork->last->next = roster;
    cork->last = roster;
    return was_empty;
}

struct roster *sse_cork_take(struct cork *cork)
{
    struct roster *first = cork->first;

    for (struct roster *roster = first; roster; roster = roster->next)
        for (size_t i = 0; i < roster->count; i++)
            roster->emitters[i]->standing &= (unsigned char)~STANDING_HELD;
    cork->first = NULL;
    cork->last = NULL;
    cork->bytes = 0;
    cork->messages = 0;
    return first;
}

bool sse_cork_remove(struct cork *cork, struct sse_emitter *emitter)
{
    if (!(emitter->standing & STANDING_HELD))
        return false;
    emitter->standing &= (unsigned char)~STANDING_HELD;
    for (struct roster *roster = cork->first; roster; roster = roster->next)
        for (size_t i = 0; i < roster->count; i++)
            if (roster->emitters[i] == emitter) {
                roster->emitters[i] = roster->emitters[--roster->count];
                return true;
            }
    return false;
}

int sse_registry_hold(struct sse_registry *registry)
{
    int error = sse_registry_check(registry);

    if (error)
        return error;
    pthread_mutex_lock(&registry->lock);
    registry->cork.holds++;
    pthread_mutex_unlock(&registry->lock);
    return 0;
}

/* Lock held; let go meanwhile. */
static int release(struct sse_registry *registry, uint64_t now)
{
    if (!registry->cork.holds)
        return -EALREADY;
    if (!--registry->cork.holds)
        sse_registry_write_held(registry, now);
    else if (registry->cork.first)
        sse_registry_wake(registry);
    return 0;
}

/* What others hold as well is for their release to tell of. Lock held; let go meanwhile. */
static int flush(struct sse_registry *registry, uint64_t now)
{
    if (!registry->cork.holds)
        return -EALREADY;
    if (registry->cork.holds == 1)
        sse_registry_write_held(registry, now);
    return 0;
}

static int with_lock(struct sse_registry *registry, int (*act)(struct sse_registry *registry, uint64_t now))
{
    uint64_t now;
    int error = sse_registry_check(registry);

    if (error)
        return error;
    now = sse_host_now(registry->host);
    /* A hook may give back the reference that the caller came with. */
    sse_owner_hold(&registry->owner);
    pthread_mutex_lock(&registry->lock);
    error = act(registry, now);
    pthread_mutex_unlock(&registry->lock);
    sse_owner_release(&registry->owner);
    return error;
}

int sse_registry_release(struct sse_registry *registry)
{
    return with_lock(registry, release);
}

int sse_registry_flush(struct sse_registry *registry)
{
    return with_lock(registry, flush);
}
